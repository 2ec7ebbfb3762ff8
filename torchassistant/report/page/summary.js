// The first thing that is seen: how each session stands, and how good it has become.

const STATES = { running: "running", finished: "finished", stopped: "stopped", damaged: "damaged" };

const badge = (state) => h("span", { class: `badge ${state}` }, STATES[state] || state);

/** The columns whose best values count: what is monitored, else what is validated. */
function keyColumns(sessions) {
  const found = new Map();
  for (const session of sessions) {
    for (const best of session.best) found.set(best.monitor, best.mode);
  }
  const add = (wanted) => {
    for (const session of sessions) {
      for (const name of session.rows.names) {
        const kind = session.kinds[name];
        if (kind.mode && !name.includes("/") && wanted(kind) && !found.has(name)) found.set(name, kind.mode);
      }
    }
  };
  add((kind) => kind.is_validated && kind.kind === "metric");
  add((kind) => kind.is_validated && kind.kind === "loss");
  add((kind) => kind.kind === "metric");
  add((kind) => kind.kind === "loss");
  return [...found].slice(0, 4);
}

function bestOf(session, name, mode) {
  const values = session.rows.values(name);
  const place = bestPlace(values, mode);
  return place < 0 ? null : { value: values[place], epoch: session.rows.place("epochs")[place], step: session.rows.place("steps")[place] };
}

function summarySection(data) {
  const { sessions } = data;
  const content = sessions.length === 1 ? tiles(sessions[0]) : comparison(sessions);
  return section("summary", "Summary", sessions.map(problemsOf), content);
}

function problemsOf(session) {
  if (!session.problems.length) return null;
  return h("div", { class: "note", role: "note" }, h("p", {}, h("strong", {}, `${session.name}: `),
    "some of it cannot be read; the rest is shown."), h("ul", {}, session.problems.map((text) => h("li", {}, text))));
}

function tile(label, value, more) {
  return h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, h("span", { class: "tile-value" }, value), more ? h("span", { class: "tile-more" }, more) : null));
}

function tiles(session) {
  const results = keyColumns([session]).map(([name, mode]) => {
    const best = bestOf(session, name, mode);
    return tile(name, best ? shortNumber(best.value) : "–", best ? `best, epoch ${shortNumber(best.epoch)}` : "not measured yet");
  });
  const stage = session.stages.length > 1 ? `stage ${session.stage ?? "–"} of ${session.stages.length}` : null;
  return h("dl", { class: "tiles" }, results,
    tile("state", badge(session.state), session.written ? `last change ${moment(session.written)}` : null),
    tile("epochs", shortNumber(session.epoch), [stage, session.step === null ? null : counted(session.step, "step")].filter(Boolean).join(", ")),
    tile("training time", duration(session.elapsed), session.created ? `created ${moment(session.created)}` : null));
}

function comparison(sessions) {
  const columns = keyColumns(sessions);
  const bests = sessions.map((session) => columns.map(([name, mode]) => bestOf(session, name, mode)));
  const winners = columns.map(([, mode], column) => bestPlace(bests.map((row) => (row[column] ? row[column].value : null)), mode));
  return table({
    caption: "Sessions",
    attributes: { class: "comparison" },
    head: ["session", "state", ...columns.map(([name]) => ({ value: `best ${name}`, number: true })), { value: "epochs", number: true }, { value: "steps", number: true }, { value: "training time", number: true }],
    rows: sessions.map((session, index) => [
      h("span", { class: "named" }, swatch({ tint: session.index, width: 3 }), h("span", {}, session.name)),
      badge(session.state),
      ...columns.map((_, column) => {
        const best = bests[index][column];
        if (!best) return { value: "–", number: true };
        const wins = winners[column] === index && sessions.length > 1;
        return { number: true, attributes: wins ? { class: "number wins" } : {}, value: [
          wins ? h("span", { class: "unseen" }, "best of all: ") : null, shortNumber(best.value), h("span", { class: "at" }, ` @ ${shortNumber(best.epoch)}`)] };
      }),
      { value: shortNumber(session.epoch), number: true }, { value: shortNumber(session.step), number: true }, { value: duration(session.elapsed), number: true },
    ]),
  });
}

// --- what differs -------------------------------------------------------------------------------

function differencesSection(data) {
  const { sessions } = data;
  if (sessions.length < 2) return null;
  const parts = ["config", "environment"].map((what) => differenceTable(data, what));
  const code = data.differences.flatMap((one, place) => Object.entries((one && one.code) || {}).map(([name, lines]) =>
    disclosure(`${name}: ${sessions[0].name} → ${sessions[place + 1].name}`, () => diffOf(lines))));
  return section("differences", "What differs", parts,
    h("h3", {}, "Code"), code.length ? code : h("p", { class: "hint" }, "All sessions were trained with the same code of your own, as far as it is stored."));
}

const isWithin = (inner, outer) => inner.startsWith(`${outer}.`) || inner.startsWith(`${outer}[`);

function differenceTable({ sessions, differences }, what) {
  const paths = new Set(differences.flatMap((one) => Object.keys((one && one[what]) || {})));
  if (what === "environment") for (const path of ["time", "command"]) paths.delete(path);
  const title = what === "config" ? "Config" : "Environment";
  if (!paths.size) return [h("h3", {}, title), h("p", { class: "hint" }, "No difference.")];
  const shown = (value) => {
    if (value === null || value === undefined) return "–";
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return text.length > 300 ? `${text.slice(0, 300)}…` : text;
  };
  return [h("h3", {}, title), table({
    caption: `Differences: ${title}`,
    attributes: { class: "differences" },
    head: ["", ...sessions.map((session) => session.name)],
    rows: [...paths].map((path) => {
      const first = differences.map((one) => one && one[what][path]).find(Boolean)[0];
      return [h("code", {}, path), shown(first), ...differences.map((one) => {
        if (!one) return "?";
        const pair = one[what][path];
        if (pair) return { value: h("mark", {}, shown(pair[1])) };
        // It differs as a whole from one session, and in its parts from another.
        const isElsewhere = Object.keys(one[what]).some((other) => isWithin(other, path) || isWithin(path, other));
        return isElsewhere ? h("span", { class: "hint" }, "in other rows") : shown(first);
      })];
    }),
  })];
}

function diffOf(lines) {
  const kind = (line) => (line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : line.startsWith("@@") ? "place" : null);
  return h("pre", { class: "diff", tabindex: 0 }, lines.map((line) => h("span", { class: kind(line) }, `${line}\n`)));
}
