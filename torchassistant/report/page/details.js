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
    phasesCard(told), phaseChart(told),
    h("article", { class: "card", "aria-label": "By stage" }, h("h3", {}, "By stage"), told.map((session) => stageBar(session, told.length > 1)), timeTable(told)),
    h("article", { class: "card", "aria-label": "Seconds of each epoch" }, h("h3", {}, "Seconds of each epoch"), chart.node,
      valuesOf("seconds of each epoch", ["session", "epoch", "seconds"], () => lines().flatMap((line) => line.x.map((x, at) => [line.label, x, line.y[at]]))))));
}

const timed = (sessions) => sessions.filter((session) => session.phases.size);

/** The phases that took some time, in their order. */
function phaseNames(sessions) {
  const found = new Set(sessions.flatMap((session) => [...session.phases.keys()]));
  return [...PHASES.filter((name) => found.has(name)), ...[...found].filter((name) => !PHASES.includes(name))];
}

/** Where the time of each session went, by stage, as bars that can be compared. */
function phasesCard(sessions) {
  const told = timed(sessions);
  if (!told.length) return null;
  const names = phaseNames(told);
  const several = told.length > 1;
  const bars = told.flatMap((session) => {
    const stages = session.rows.place("stages");
    return session.stages.map((_, stage) => ({
      label: [several ? session.name : null, session.stages.length > 1 ? stageName(session, stage) : null].filter(Boolean).join(" · ") || "training",
      seconds: names.map((name) => (session.phases.get(name) || []).reduce((sum, value, place) => (stages[place] === stage ? sum + value : sum), 0)),
    }));
  }).map((bar) => ({ ...bar, whole: bar.seconds.reduce((a, b) => a + b, 0) })).filter((bar) => bar.whole > 0);
  const longest = Math.max(...bars.map((bar) => bar.whole));
  const share = (part, whole) => `${((part / whole) * 100).toFixed(part < whole / 10 ? 1 : 0)} %`;
  return h("article", { class: "card", "aria-label": "By phase" }, h("h3", {}, "By phase"),
    bars.map((bar) => h("div", { class: "stacked" }, bars.length > 1 ? h("p", { class: "stacked-name" }, `${bar.label} · ${duration(bar.whole)}`) : null,
      h("div", { class: "stack", "aria-hidden": "true", css: { "--room": (bar.whole / longest).toFixed(4) } }, names.map((name, at) => (bar.seconds[at] > 0
        ? h("span", { title: `${name} ${share(bar.seconds[at], bar.whole)}`, css: { "--part": (bar.seconds[at] / bar.whole).toFixed(4), "--color": `var(--${phaseShade(name)})` } }) : null))))),
    table({
      caption: "Time by phase", head: ["", ...bars.map((bar) => ({ value: bar.label, number: true }))],
      rows: names.map((name, at) => [h("span", { class: "phase-name" }, phaseDot(name), name), ...bars.map((bar) => ({ value: `${duration(bar.seconds[at])} · ${share(bar.seconds[at], bar.whole)}`, number: true }))]),
    }));
}

const phaseDot = (name) => h("span", { class: "dot", css: { "--color": `var(--${phaseShade(name)})` }, "aria-hidden": "true" });

/** The phases of each epoch of a session, one above the other. */
function phaseChart(sessions) {
  const told = timed(sessions);
  if (!told.length) return null;
  let session = told[0];
  const lines = () => {
    const names = phaseNames([session]);
    const { x, seconds } = epochPhases(session, names);
    let below = x.map(() => 0);
    // What is drawn later lies above: the whole first, then what is below its uppermost phase.
    return names.map((name, at) => {
      below = below.map((sum, place) => sum + seconds[at][place]);
      return { label: name, x, y: below, raw: seconds[at], color: shade(phaseShade(name)), fill: shade(phaseShade(name)), shade: phaseShade(name), width: 1, best: -1 };
    }).reverse();
  };
  const chart = new Chart({
    key: "phases", name: "seconds of each phase", axis: () => "epochs", xName: () => "epoch",
    xText: (x, isTick) => (isTick ? axisNumber(x, 1) : `epoch ${x}`), steps: () => WHOLE, lines, fromZero: true,
  });
  const keys = h("ul", { class: "keys" });
  const name = () => keys.replaceChildren(...phaseNames([session]).map((phase) => h("li", {}, phaseDot(phase), phase)));
  name();
  const values = h("div");
  const list = () => values.replaceChildren(valuesOf(`phases of ${session.name}`, ["session", "epoch", "phase", "seconds"],
    () => lines().reverse().flatMap((line) => line.x.map((x, at) => [session.name, x, line.label, line.raw[at]]))));
  list();
  return h("article", { class: "card", "aria-label": "Phases of each epoch" }, h("h3", {}, "Phases of each epoch"),
    told.length < 2 ? null : selection("Session", told.map((one, at) => [String(at), one.name]), "0", (at) => {
      session = told[Number(at)];
      name();
      list();
      delete zooms.phases;
      chart.build();
    }), chart.node, keys, values);
}

/** The seconds of each phase in each epoch, of all its rows. */
function epochPhases(session, names) {
  const places = new Map();
  session.rows.place("epochs").forEach((epoch, place) => {
    const whole = Math.ceil(epoch - 1e-9);
    places.set(whole, [...(places.get(whole) || []), place]);
  });
  const of = (name, rows) => rows.reduce((sum, place) => sum + session.phases.get(name)[place], 0);
  return { x: [...places.keys()], seconds: names.map((name) => [...places.values()].map((rows) => of(name, rows))) };
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
/** Each training graph, with the names of all sessions that have it. */
function graphSection(sessions) {
  const names = new Map();
  for (const { graph, name } of sessions) if (graph) names.set(graph, [...(names.get(graph) || []), name]);
  if (!names.size) return null;
  const cards = [...names].map(([graph, whose]) => {
    const title = `Training graph of ${whose.join(", ")}`;
    return h("article", { class: "card wide", "aria-label": title },
      sessions.length > 1 ? h("h3", {}, whose.join(", ")) : null,
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
        h("img", { class: "graph", src: `data:image/svg+xml,${encodeURIComponent(graph)}`, alt: title })));
  });
  return section("graph", names.size > 1 ? "Training graphs" : "Training graph", cards);
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
