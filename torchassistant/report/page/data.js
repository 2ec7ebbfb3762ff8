// The data of the report: packed columns become arrays of numbers.

const TYPES = { i1: Int8Array, i2: Int16Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };

/** The numbers of a packed column; null where there is none. */
function unpacked(column) {
  const text = atob(column.data);
  const raw = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) raw[i] = text.charCodeAt(i);
  const values = Array.from(new TYPES[column.type](raw.buffer));
  for (const [start, length] of column.empty || []) values.fill(null, start, start + length);
  return values;
}

/** A table whose columns are unpacked when they are asked for. */
class Table {
  constructor(given) {
    this.given = given;
    this.count = given.count;
    this.of = given.of;
    this.names = Object.keys(given.values);
    this.known = new Map();
  }

  /** One of `stages`, `epochs`, `steps`, `elapsed`, `clock`. */
  place(name) { return this.once(`place ${name}`, this.given[name]); }

  /** The values of a column; null where the cell is empty, and all of it where there is none. */
  values(name) {
    const column = Object.hasOwn(this.given.values, name) ? this.given.values[name] : null;
    return this.once(`value ${name}`, column);
  }

  once(key, column) {
    if (!this.known.has(key)) {
      this.known.set(key, column ? unpacked(column) : new Array(this.count).fill(null));
    }
    return this.known.get(key);
  }
}

function readData() {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.sessions.forEach((session, index) => {
    session.index = index;
    session.rows = new Table(session.rows);
    session.within = new Table(session.within);
    session.phases = phasesOf(session);
  });
  return data;
}

/** The seconds of each phase of the training that took some, by row; in the order of the phases. */
function phasesOf(session) {
  return new Map(Object.entries(session.phases).map(([name, column]) => [name, unpacked(column).map((value) => value || 0)])
    .filter(([, values]) => values.some((value) => value > 0)));
}

const isFinite = (value) => value !== null && Number.isFinite(value);

/** Where the best of some values is; -1 where there is none. */
function bestPlace(values, mode) {
  let best = -1;
  values.forEach((value, place) => {
    if (!isFinite(value)) return;
    if (best < 0 || (mode === "max" ? value > values[best] : value < values[best])) best = place;
  });
  return best;
}

function lastValue(values) {
  for (let place = values.length - 1; place >= 0; place--) if (values[place] !== null) return values[place];
  return null;
}

/** Smoothed exponentially, without the bias of a mean that begins at zero; gaps stay. */
function smoothed(values, weight) {
  if (!weight) return values;
  let mean = 0, share = 0;
  return values.map((value) => {
    if (!isFinite(value)) return value;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

/** What a stage is called. */
const stageName = (session, stage) => session.stages[stage] || `stage ${stage + 1}`;
