// Where the time went, and what a session is: environment, checkpoints, changes, config.

function timeSection(sessions) {
  const told = sessions.filter((session) => session.rows.count);
  if (!told.length) return null;
  const lines = () => told.map((session) => {
    const { x, y } = epochSeconds(session);
    return { label: session.name, x, y, tint: session.index, color: color(session.index), dash: DASHES[Math.floor(session.index / COLORS) % DASHES.length], best: -1, hidden: isHidden(session) };
  });
  const chart = new Chart({
    key: "time", name: "seconds of each epoch", axis: () => "epochs", xName: () => "epoch",
    xText: (x, isTick) => (isTick ? axisNumber(x, 1) : `epoch ${x}`), steps: () => WHOLE, lines,
  });
  return section("time", "Where the time went", h("div", { class: "cards" },
    h("article", { class: "card", "aria-label": "By stage" }, h("h3", {}, "By stage"), told.map((session) => stageBar(session, told.length > 1)), timeTable(told)),
    h("article", { class: "card", "aria-label": "Seconds of each epoch" }, h("h3", {}, "Seconds of each epoch"), chart.node,
      valuesOf("seconds of each epoch", ["session", "epoch", "seconds"], () => lines().flatMap((line) => line.x.map((x, at) => [line.label, x, line.y[at]]))))));
}

/** The seconds of each whole epoch. */
function epochSeconds(session) {
  const epochs = session.rows.place("epochs"), elapsed = session.rows.place("elapsed");
  const x = [], y = [];
  let before = 0;
  epochs.forEach((epoch, place) => {
    if (!Number.isInteger(epoch) || epochs[place + 1] === epoch) return;
    x.push(epoch);
    y.push(elapsed[place] - before);
    before = elapsed[place];
  });
  return { x, y };
}

function stageSeconds(session) {
  const stages = session.rows.place("stages"), elapsed = session.rows.place("elapsed");
  const found = new Array(session.stages.length).fill(0);
  stages.forEach((stage, place) => { found[stage] += elapsed[place] - (place ? elapsed[place - 1] : 0); });
  return found;
}

function stageBar(session, several) {
  const seconds = stageSeconds(session);
  const whole = seconds.reduce((a, b) => a + b, 0) || 1;
  if (session.stages.length < 2) return null;
  return h("div", { class: "stacked" }, several ? h("p", { class: "stacked-name" }, session.name) : null,
    h("div", { class: "stack", "aria-hidden": "true" }, seconds.map((one, stage) => h("span", { css: { "--part": (one / whole).toFixed(4), "--color": `var(--line-${stage % COLORS})` } }))),
    h("ul", { class: "keys" }, seconds.map((one, stage) => h("li", {}, h("span", { class: "dot", css: { "--color": `var(--line-${stage % COLORS})` }, "aria-hidden": "true" }),
      `${stageName(session, stage)} `, h("strong", {}, duration(one)), ` ${Math.round((one / whole) * 100)} %`))));
}

function timeTable(sessions) {
  const median = (values) => {
    const sorted = values.slice().sort((a, b) => a - b);
    return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : null;
  };
  return table({
    caption: "Time", head: ["", ...sessions.map((session) => ({ value: session.name, number: true }))],
    rows: [
      ["training", (session) => duration(session.elapsed)],
      ["an epoch (median)", (session) => duration(median(epochSeconds(session).y))],
      ["slowest epoch", (session) => {
        const { x, y } = epochSeconds(session);
        const at = bestPlace(y, "max");
        return at < 0 ? "–" : `${duration(y[at])} (epoch ${x[at]})`;
      }],
      ["steps a second", (session) => (session.elapsed > 0 ? shortNumber(lastValue(session.rows.place("steps")) / session.elapsed, 3) : "–")],
      ["from the first to the last row", (session) => {
        const clock = session.rows.place("clock").filter((one) => one !== null);
        return clock.length ? duration(clock.at(-1) - clock[0]) : "–";
      }],
    ].map(([name, value]) => [name, ...sessions.map((session) => ({ value: value(session), number: true }))]),
  });
}

/** The training graphs, as pictures: whatever stands in them, a picture runs no script. */
function graphSection(sessions) {
  const drawn = sessions.filter((session) => session.graph);
  if (!drawn.length) return null;
  const several = sessions.length > 1;
  return section("graph", several ? "Training graphs" : "Training graph", drawn.map((session) => h("article", { class: "card wide", "aria-label": `Training graph of ${session.name}` },
    several ? h("h3", {}, session.name) : null,
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Training graph of ${session.name}` },
      h("img", { class: "graph", src: `data:image/svg+xml,${encodeURIComponent(session.graph)}`, alt: `Training graph of ${session.name}` })))));
}

// --- what a session is ----------------------------------------------------------------------------

function detailsSection(data) {
  const place = h("div", { class: "details" });
  const show = () => {
    const session = data.sessions[settings.session] || data.sessions[0];
    place.replaceChildren(...[environmentOf(session), statesOf(session), resultsOf(session), changesOf(session), configOf(session)].filter(Boolean));
  };
  show();
  const picker = data.sessions.length < 2 ? null : selection("Session", data.sessions.map((session) => [String(session.index), session.name]),
    String(settings.session), (value) => { change("session", Number(value)); show(); });
  return section("details", "Session", picker, place);
}

function card(title, ...content) {
  return h("article", { class: "card", "aria-label": title }, h("h3", {}, title), content);
}

function environmentOf(session) {
  const { packages, command, ...others } = session.environment;
  const pairs = [["path", session.path], ["seed", session.seed], ...Object.entries(others).filter(([name]) => name !== "seed"),
    ...Object.entries(packages && typeof packages === "object" ? packages : {})];
  const shown = (value) => (typeof value === "string" || typeof value === "number" ? String(value) : JSON.stringify(value));
  return card("Environment and seed", h("dl", { class: "pairs" }, pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) =>
    h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, name === "time" ? moment(value) : shown(value))))),
  Array.isArray(command) ? h("pre", { class: "command", tabindex: 0 }, command.join(" ")) : null);
}

function statesOf(session) {
  if (!session.states.length) return card("Checkpoints", h("p", { class: "hint" }, "None are stored."));
  const best = new Map(session.best.map((one) => {
    const found = bestOf(session, one.monitor, one.mode);
    return [found ? found.step : null, one.monitor];
  }));
  const newest = Math.max(...session.states.map((state) => state.step ?? -1));
  return card("Checkpoints", table({
    caption: "Checkpoints", head: ["", { value: "step", number: true }, { value: "size", number: true }, "written", ""],
    rows: session.states.map((state) => [h("code", {}, state.name), { value: state.step === null ? "" : shortNumber(state.step), number: true },
      { value: bytes(state.size), number: true }, moment(state.written),
      [state.step !== null && best.has(state.step) ? h("span", { class: "tag" }, `best ${best.get(state.step)}`) : null,
        state.step === newest && newest >= 0 ? h("span", { class: "tag" }, "newest") : null]]),
  }), h("p", { class: "hint" }, `${bytes(session.states.reduce((sum, state) => sum + state.size, 0))} in all; the whole session has ${bytes(session.size)}.`));
}

function resultsOf(session) {
  const steps = Object.keys(session.results);
  if (!steps.length) return null;
  const names = [...new Set(steps.flatMap((step) => Object.keys(session.results[step])))];
  return card("Evaluations", table({
    caption: "Evaluations", head: ["", ...steps.map((step) => ({ value: `step ${Number(step.split("-")[0]).toLocaleString("en")}`, number: true }))],
    rows: names.map((name) => [name, ...steps.map((step) => ({ value: shortNumber(session.results[step][name]), number: true }))]),
  }));
}

function changesOf(session) {
  if (!session.changes.length) return card("Changes", h("p", { class: "hint" }, "Nothing was changed since the session was created."));
  const shown = (value) => (value === null || value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));
  return card("Changes", h("ol", { class: "changes" }, session.changes.map((change) => h("li", {},
    h("p", {}, h("strong", {}, `step ${shortNumber(change.step)}`), ` · ${moment(change.time)} · `, h("code", {}, String(change.what))),
    Array.isArray(change.diff) ? disclosure("what has changed in the code", () => diffOf(change.diff))
      : h("p", { class: "from-to" }, h("code", {}, shown(change.before)), " → ", h("code", {}, shown(change.after)))))));
}

function configOf(session) {
  return card("Config", disclosure("The whole config", () => h("pre", { class: "config", tabindex: 0 }, JSON.stringify(session.config, null, 2))));
}
