// What the reader has chosen. It survives the page being loaded again, as a report that follows a
// training is.

const settings = { axis: "epochs", smoothing: 0, log: false, stage: "all", hidden: [], theme: "auto", session: 0, paused: false };
const zooms = {};
const listeners = [];
const STORE = "torchassistant-report";

function changed(...keys) {
  keep();
  for (const listener of listeners) listener(keys);
}

function change(key, value) {
  settings[key] = value;
  changed(key);
}

function keep() {
  try {
    sessionStorage.setItem(STORE, JSON.stringify({ place: location.pathname, settings, zooms }));
  } catch { /* a browser that keeps nothing for files */ }
}

function restore() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORE));
    if (!kept || kept.place !== location.pathname) return;
    for (const key of Object.keys(settings)) if (key in kept.settings) settings[key] = kept.settings[key];
    Object.assign(zooms, kept.zooms);
  } catch { /* the same, or what was kept is of another version */ }
}

const isHidden = (session) => settings.hidden.includes(session.name);

function toggleSession(session) {
  const others = settings.hidden.filter((name) => name !== session.name);
  change("hidden", others.length === settings.hidden.length ? [...others, session.name] : others);
}

/** Light, dark, or as the system says. */
function showTheme() {
  if (settings.theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", settings.theme);
}

const COLORS = 7;
const color = (number) => shade(`line-${number % COLORS}`);
const PHASES = ["data", "forward", "backward", "optimizer", "metrics", "validation", "checkpoint", "callbacks", "other"];
/** The name of the colour of a phase; what a later version may have more is like the last one. */
const phaseShade = (name) => `phase-${PHASES.includes(name) ? PHASES.indexOf(name) : PHASES.length - 1}`;
/** A colour of the style as a canvas knows it: what it is in the light, or in the dark. */
const shade = (name) => {
  const root = document.documentElement;
  root.style.setProperty("caret-color", `var(--${name})`);
  const found = getComputedStyle(root).caretColor;
  root.style.removeProperty("caret-color");
  return found;
};

// What lines are told apart by, besides their colours.
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [14, 5], [5, 2], [1, 4]];
