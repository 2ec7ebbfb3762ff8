// The whole report.

function sectionsOf(data) {
  const { sessions } = data;
  return [
    summarySection(data),
    curvesSection(sessions, "curves", "Curves", ["loss", "metric", "other"], true),
    curvesSection(sessions, "rates", "Learning rates and gradients", ["rate", "gradient"], false),
    differencesSection(data),
    classesSection(sessions),
    predictionsSection(data),
    graphSection(sessions),
    timeSection(sessions),
    detailsSection(data),
  ].filter(Boolean);
}

function themeButton() {
  const names = { auto: "As the system", light: "Light", dark: "Dark" };
  const order = ["auto", "light", "dark"];
  const signs = { auto: "◐", light: "☀", dark: "☾" };
  const label = () => `Colours: ${names[settings.theme].toLowerCase()}`;
  const button = h("button", {
    type: "button", class: "tool", id: "theme", "aria-label": label(), title: label(),
    on: { click: () => {
      change("theme", order[(order.indexOf(settings.theme) + 1) % order.length]);
      button.firstChild.textContent = signs[settings.theme];
      button.setAttribute("aria-label", label());
      button.title = label();
      showTheme();
      redraw();
    } },
  }, h("span", { "aria-hidden": "true" }, signs[settings.theme]));
  return button;
}

/** Draw again what has its colours from a script. */
function redraw() {
  changed("hidden");
}

/** A report that follows a training is loaded again; the reader may want that to wait. */
function liveButton(data) {
  if (!data.watched) return null;
  const text = () => (settings.paused ? "Paused" : "Live");
  const button = h("button", {
    type: "button", class: "tool live", "aria-pressed": String(!settings.paused), title: "Load the report again while the training runs",
    on: { click: () => {
      change("paused", !settings.paused);
      button.lastChild.textContent = text();
      button.setAttribute("aria-pressed", String(!settings.paused));
    } },
  }, h("span", { class: "pulse", "aria-hidden": "true" }), h("span", {}, text()));
  let isHeld = false;
  addEventListener("pointerdown", () => { isHeld = true; });
  addEventListener("pointerup", () => { isHeld = false; });
  setInterval(() => {
    if (settings.paused || isHeld || document.hidden) return;
    keep();
    location.reload();
  }, data.watched * 1000);
  return button;
}

/** Which part of the page is in sight. */
function followSections(links) {
  if (!("IntersectionObserver" in window)) return;
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const [id, link] of links) {
        if (id === target.id) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const id of links.keys()) watch.observe(document.getElementById(id));
}

function showReport() {
  restore();
  showTheme();
  const data = readData();
  const { sessions } = data;
  const main = document.getElementById("main");
  const one = sessions.length === 1;
  const title = one ? sessions[0].name : `${sessions.length} sessions`;
  main.replaceChildren(h("div", { class: "title" },
    h("h1", {}, title, one ? badge(sessions[0].state) : null),
    h("p", { class: "sub" }, one ? sessions[0].path : sessions.map((session) => session.name).join(", "))));
  const parts = sectionsOf(data);
  main.append(...parts);
  const links = new Map(parts.map((part) => [part.id, h("a", { href: `#${part.id}` }, part.querySelector("h2").textContent)]));
  document.getElementById("sections").append(...[...links.values()].map((link) => h("li", {}, link)));
  add(document.getElementById("tools"), [liveButton(data), themeButton()]);
  document.getElementById("foot").append(h("p", {}, `Written ${moment(data.written)} by TorchAssistant ${data.version}`));
  followSections(links);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (settings.theme === "auto") redraw(); });
}

showReport();
