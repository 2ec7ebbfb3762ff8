// The curves of losses, metrics, learning rates and gradients: one chart for names that belong together.

const AXES = {
  epochs: { name: "epoch", title: "Epoch", text: (x) => `epoch ${shortNumber(x, 5)}` },
  steps: { name: "step", title: "Step", text: (x) => `step ${shortNumber(x, 6)}` },
  elapsed: { name: "training time", title: "Time", text: (x) => duration(x) },
};

const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8];
const TIMES = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800];

/** Which names share a chart: a name and the same with a word before it ("val loss" with "loss"),
 * and the keys of one name ("F1/0", "F1/1", …). */
function families(names) {
  const known = new Set(names);
  const prefixes = new Map();
  for (const name of names) {
    const cut = name.indexOf("/");
    if (cut > 0) prefixes.set(name.slice(0, cut), (prefixes.get(name.slice(0, cut)) || 0) + 1);
  }
  const familyOf = (name) => {
    for (const end of name.matchAll(/[ /_.-]/g)) {
      const rest = name.slice(end.index + 1);
      if (known.has(rest)) return familyOf(rest);
    }
    const cut = name.indexOf("/");
    return cut > 0 && prefixes.get(name.slice(0, cut)) > 2 ? name.slice(0, cut) : name;
  };
  const found = new Map();
  for (const name of names) {
    const family = familyOf(name);
    found.set(family, [...(found.get(family) || []), name]);
  }
  return found;
}

/** The names of all sessions that show something of certain kinds, in their order. */
function namesOfKinds(sessions, kinds) {
  const names = new Set();
  for (const session of sessions) {
    for (const name of [...session.rows.names, ...session.within.names]) {
      if (kinds.includes(session.kinds[name].kind)) names.add(name);
    }
  }
  return [...names];
}

/** The lines of some columns of all sessions. */
function linesOf(sessions, names) {
  const several = sessions.length > 1;
  const lines = [];
  for (const session of sessions) {
    names.forEach((name, place) => {
      const kind = session.kinds[name];
      if (!kind) return;
      const style = several
        ? { tint: session.index, color: color(session.index), dash: DASHES[(place + 2 * Math.floor(session.index / COLORS)) % DASHES.length] }
        : { tint: place, color: color(place), dash: DASHES[(names.length <= 4 ? place : Math.floor(place / COLORS)) % DASHES.length] };
      const label = several ? (names.length > 1 ? `${session.name} · ${name}` : session.name) : name;
      const rows = chosenRows(session.rows, name);
      const within = chosenRows(session.within, name);
      const shared = { ...style, label, group: label, session, name, kind, hidden: isHidden(session) };
      if (rows.x.length) lines.push(...withSmooth({ ...shared, ...rows, table: session.rows }));
      if (within.x.length) {
        const isAlone = !rows.x.length;
        lines.push(...withSmooth({
          ...shared, ...within, table: session.within, width: isAlone ? 2 : 1.25, isWithin: true, isAlone,
          label: isAlone ? label : `${label} (within epochs)`,
          dash: isAlone ? style.dash : [],
        }));
      }
    });
  }
  return lines;
}

/** A line, and behind it what it was before it was smoothed. */
function withSmooth(line) {
  const best = line.kind.mode && !line.isWithin ? bestPlace(line.raw, line.kind.mode) : -1;
  if (!settings.smoothing) return [{ ...line, y: line.raw, best }];
  const y = smoothed(line.raw, settings.smoothing);
  return [{ ...line, y: line.raw, best: -1, faint: true, width: 1, dash: [] }, { ...line, y, best: -1 }];
}

/** Where a column has values in the stages that are shown. */
function chosenRows(source, name) {
  const values = source.values(name), stages = source.place("stages"), axis = source.place(settings.axis);
  const x = [], raw = [], places = [];
  values.forEach((value, place) => {
    if (value === null || (settings.stage !== "all" && stages[place] !== Number(settings.stage))) return;
    x.push(axis[place]);
    raw.push(value);
    places.push(place);
  });
  return { x, raw, places };
}

/** Where stages begin, and where something was changed. */
function bordersOf(sessions) {
  const shown = sessions.filter((session) => !isHidden(session));
  if (shown.length !== 1 || settings.stage !== "all") return [];
  const [session] = shown;
  const stages = session.rows.place("stages"), axis = session.rows.place(settings.axis);
  const borders = [];
  stages.forEach((stage, place) => {
    if (place && stage !== stages[place - 1]) borders.push({ x: axis[place - 1], text: stageName(session, stage) });
  });
  const steps = session.rows.place("steps");
  const at = new Set(session.changes.map((one) => one.step).filter((step) => Number.isInteger(step) && step > 0));
  for (const step of at) {
    const place = steps.findLastIndex((other) => other <= step);
    const x = settings.axis === "steps" ? step : place < 0 ? 0 : axis[place];
    borders.push({ x, text: "changed" });
  }
  return borders;
}

function tipHead(line, at) {
  const place = line.places[at];
  const { table: source, session } = line;
  const stage = session.stages.length > 1 ? ` · ${stageName(session, source.place("stages")[place])}` : "";
  const clock = source.place("clock")[place];
  return `epoch ${shortNumber(source.place("epochs")[place], 5)} · step ${shortNumber(source.place("steps")[place], 7)} · ` +
    `${duration(source.place("elapsed")[place])}${clock === null ? "" : ` · ${moment(clock)}`}${stage}`;
}

const MOST_LINES = 12;

/** Whether the lines of several sessions would be too many for one chart. */
function isCrowded(sessions, names) {
  return sessions.length > 1 && names.length > 3 && sessions.length * names.length > MOST_LINES;
}

/** A card with the chart of some columns, its lines as a table, and the values behind it. Where
 * there would be too many lines, one name at a time is shown. */
function curveCard(sessions, family, every, key) {
  let names = isCrowded(sessions, every) ? every.slice(0, 1) : every;
  const picker = names === every ? null : selection("Shown", every.map((name) => [name, name]), every[0], (name) => {
    names = [name];
    chart.build();
    showLegend();
  });
  const legend = h("div", { class: "legend" });
  const chart = new Chart({
    key, name: family,
    axis: () => settings.axis,
    xName: () => AXES[settings.axis].name,
    xText: (x, isTick) => (settings.axis === "elapsed" ? duration(x) : isTick ? axisNumber(x, 1) : AXES[settings.axis].text(x)),
    steps: () => (settings.axis === "elapsed" ? TIMES : WHOLE),
    lines: () => linesOf(sessions, names),
    log: () => settings.log,
    borders: () => bordersOf(sessions),
    tipHead,
  });
  const showLegend = () => legend.replaceChildren(legendOf(chart, linesOf(sessions, names).filter((line) => !line.faint), names));
  showLegend();
  chart.showLegend = showLegend;
  const rows = () => linesOf(sessions, every).filter((line) => !line.faint).flatMap((line) => line.places.map((place, at) => [
    line.session.name, stageName(line.session, line.table.place("stages")[place]), line.name,
    line.table.place("epochs")[place], line.table.place("steps")[place], line.table.place("elapsed")[place],
    line.raw[at],
  ]));
  const thinned = sessions.filter((session) => every.some((name) => session.within.names.includes(name)) && session.within.count < session.within.of);
  return h("article", { class: "card", "aria-label": family },
    h("h3", {}, family), picker, chart.node, legend, notesOf(sessions, every),
    thinned.map((session) => h("p", { class: "hint" },
      `${session.name}: ${counted(session.within.count, "row")} of ${session.within.of.toLocaleString("en")} within epochs are shown, evenly; metrics/steps-*.csv of the session has all.`)),
    valuesOf(family, ["session", "stage", "name", "epoch", "step", "seconds", "value"], rows));
}

/** The lines of a chart as a table; its buttons show and hide them. */
function legendOf(chart, lines, names) {
  const hasBest = lines.some((line) => line.kind.mode && !line.isWithin);
  const head = h("tr", {}, h("th", { scope: "col" }, h("span", { class: "unseen" }, "Line")), h("th", { scope: "col", class: "number" }, "last"),
    hasBest ? h("th", { scope: "col", class: "number" }, "best") : null);
  const rows = lines.filter((line) => !line.hidden && (!line.isWithin || line.isAlone)).map((line) => {
    const best = line.kind.mode && !line.isWithin ? bestPlace(line.raw, line.kind.mode) : -1;
    const isOn = !chart.hidden.has(line.group);
    const button = h("button", {
      type: "button", class: "line-toggle", "aria-pressed": String(isOn),
      on: { click: () => {
        const now = chart.hidden.has(line.group);
        chart.toggle(line.group, now);
        button.setAttribute("aria-pressed", String(now));
      } },
    }, swatch(line), h("span", { class: "line-name" }, line.label));
    return h("tr", {}, h("th", { scope: "row" }, button),
      h("td", { class: "number" }, shortNumber(lastValue(line.raw))),
      hasBest ? h("td", { class: "number" }, best < 0 ? "" : [h("span", { class: "best-mark", "aria-hidden": "true" }),
        shortNumber(line.raw[best]), h("span", { class: "at" }, ` ${settings.axis === "elapsed" ? duration(line.x[best]) : `@ ${shortNumber(line.x[best], 6)}`}`)]) : null);
  });
  return h("table", {}, h("caption", { class: "unseen" }, "Lines of the chart; a button shows or hides one"),
    h("thead", {}, head), h("tbody", {}, rows));
}

/** What the picture cannot show. */
function notesOf(sessions, names) {
  const notes = [];
  for (const session of sessions) {
    for (const name of names) {
      if (!session.kinds[name]) continue;
      const values = session.rows.values(name);
      const wrong = values.map((value, place) => [value, place]).filter(([value]) => value !== null && !Number.isFinite(value));
      if (!wrong.length) continue;
      const first = wrong[0][1];
      const whose = sessions.length > 1 ? `${session.name} · ${name}` : name;
      notes.push(h("p", { class: "warn" }, `${whose}: ${counted(wrong.length, "value")} ${wrong.length === 1 ? "is" : "are"} not finite, first ${shortNumber(wrong[0][0])} at epoch ${shortNumber(session.rows.place("epochs")[first])}`));
    }
  }
  return notes;
}

function curvesSection(sessions, id, title, kinds, controls) {
  const names = namesOfKinds(sessions, kinds);
  const cards = [...families(names)].map(([family, members]) => curveCard(sessions, family, members, `${id} ${family}`));
  if (kinds.includes("rate")) cards.push(...sessions.flatMap((session) => rangeTests(session, sessions.length > 1)));
  if (!cards.length) return null;
  return section(id, title, controls ? controlsOf(sessions) : null,
    h("div", { class: `cards${cards.length === 1 ? " single" : ""}` }, cards));
}

/** The curves of learning rate range tests: the loss over the logarithm of the rate. */
function rangeTests(session, several) {
  return Object.entries(session.range_tests).map(([optimizer, { points, suggestion }]) => {
    const title = `Range test of ${optimizer}${several ? ` · ${session.name}` : ""}`;
    const numbers = (place) => points.map((point) => (typeof point[place] === "number" ? point[place] : null));
    const x = numbers(0).map(Math.log10);
    const lines = () => [
      { label: "loss", x, y: numbers(1), tint: 5, color: color(5), width: 1.25, best: -1 },
      { label: "smoothed", x, y: numbers(2), tint: 0, color: color(0), best: -1 },
    ];
    const chart = new Chart({
      key: title, name: title, axis: () => "rate", xName: () => "learning rate",
      xText: (at) => shortNumber(10 ** at, 2), steps: () => [1, 2, 5], lines,
      borders: () => (typeof suggestion === "number" && suggestion > 0 ? [{ x: Math.log10(suggestion), text: shortNumber(suggestion, 3) }] : []),
    });
    return h("article", { class: "card", "aria-label": title }, h("h3", {}, title), chart.node,
      h("p", { class: "hint" }, "Loss over the learning rate. ", typeof suggestion === "number" ? `find-lr suggests ${shortNumber(suggestion, 3)}.` : "find-lr suggests nothing."),
      valuesOf(title, ["learning rate", "loss", "smoothed"], () => points));
  });
}

/** What applies to all charts of curves. */
function controlsOf(sessions) {
  const most = Math.max(...sessions.map((session) => session.stages.length));
  const longest = sessions.find((session) => session.stages.length === most);
  const smoothing = newId("smoothing");
  const shown = h("output", { for: smoothing }, settings.smoothing ? settings.smoothing.toFixed(2) : "off");
  return h("div", { class: "controls", role: "group", "aria-label": "How curves are shown" },
    choice("Over", Object.entries(AXES).map(([value, axis]) => [value, axis.title]), settings.axis, (value) => change("axis", value)),
    h("div", { class: "field" }, h("label", { for: smoothing }, "Smoothing"),
      h("div", { class: "slider" }, h("input", {
        id: smoothing, type: "range", min: 0, max: 0.98, step: 0.02, value: settings.smoothing,
        on: { input: (event) => {
          shown.textContent = Number(event.target.value) ? Number(event.target.value).toFixed(2) : "off";
          change("smoothing", Number(event.target.value));
        } },
      }), shown)),
    h("label", { class: "switch" }, h("input", {
      type: "checkbox", role: "switch", checked: settings.log, on: { change: (event) => change("log", event.target.checked) },
    }), h("span", {}, "Log scale")),
    most > 1 ? selection("Stage", [["all", "all stages"], ...longest.stages.map((_, stage) => [String(stage), stageName(longest, stage)])],
      String(settings.stage), (value) => change("stage", value)) : null,
    sessions.length > 1 ? h("fieldset", { class: "choice sessions" }, h("legend", {}, "Sessions"),
      h("div", { class: "chips" }, sessions.map((session) => sessionChip(session)))) : null);
}

function sessionChip(session) {
  const button = h("button", {
    type: "button", class: "chip", "aria-pressed": String(!isHidden(session)),
    on: { click: () => toggleSession(session) },
  }, swatch({ tint: session.index, dash: DASHES[2 * Math.floor(session.index / COLORS) % DASHES.length] }), h("span", {}, session.name));
  listeners.push(() => button.setAttribute("aria-pressed", String(!isHidden(session))));
  return button;
}

listeners.push((keys) => {
  if (!keys.some((key) => ["axis", "smoothing", "log", "stage", "hidden"].includes(key))) return;
  for (const chart of built) if (chart.showLegend) chart.showLegend();
  rebuildCharts();
});
