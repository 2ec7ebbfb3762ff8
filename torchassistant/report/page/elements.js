// Elements of the page. Texts come from sessions and may be anything: they are only ever set as
// text, never as HTML.

/** An element. Attributes that are null or false are left out; `on` holds listeners, `css` custom
 * properties. Children are nodes, texts, or lists of them; null is left out. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "css") {
      for (const [key, given] of Object.entries(value)) node.style.setProperty(key, given);
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

let lastId = 0;
const newId = (what) => `${what}-${++lastId}`;

/** A section of the page with its heading; it has a place in the navigation. */
function section(id, title, ...children) {
  return h("section", { id, class: "part", "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title), children);
}

/** What opens when it is wanted; its content is made then. */
function disclosure(summary, content, attributes = {}) {
  const node = h("details", attributes, h("summary", {}, summary));
  const fill = () => {
    if (!node.open || node.dataset.filled) return;
    node.dataset.filled = "1";
    add(node, content());
  };
  node.addEventListener("toggle", fill);
  return node;
}

/** A table. A cell is a text, a node, or `{value, attributes}`; numbers stand at the right. */
function table({ caption, head, rows, attributes = {}, rowHead = true }) {
  const cell = (tag, given, extra) => {
    const it = given !== null && typeof given === "object" && !(given instanceof Node) && !Array.isArray(given)
      ? given : { value: given };
    const shown = typeof it.value === "number" ? shortNumber(it.value) : it.value;
    const isNumber = typeof it.value === "number" || it.number;
    return h(tag, { ...extra, class: isNumber ? "number" : null, ...it.attributes }, shown);
  };
  return h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": caption },
    h("table", attributes,
      caption ? h("caption", { class: "unseen" }, caption) : null,
      h("thead", {}, h("tr", {}, head.map((name) => (name === "" ? h("td", {}) : cell("th", name, { scope: "col" }))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((given, place) =>
        place === 0 && rowHead ? cell("th", given, { scope: "row" }) : cell("td", given)))))));
}

const MOST_ROWS = 200;

/** All values behind a chart, as a table and as a file. `rows()` gives lists of values. */
function valuesOf(name, head, rows) {
  return disclosure("Data", () => {
    const all = rows();
    const place = h("div");
    const show = (count) => {
      const some = all.slice(0, count).map((row) => row.map((value) =>
        typeof value === "number" ? { value: String(value), number: true } : value));
      place.replaceChildren(table({ caption: `Values of ${name}`, head, rows: some }));
    };
    show(MOST_ROWS);
    const more = all.length <= MOST_ROWS ? null : h("button", {
      type: "button", class: "quiet",
      on: { click: () => { show(all.length); more.remove(); } },
    }, `Show all ${all.length.toLocaleString("en")} rows`);
    const save = h("button", {
      type: "button", class: "quiet", on: { click: () => saveCsv(name, head, all) },
    }, "Save as CSV");
    return [place, h("p", { class: "buttons" }, more, save)];
  }, { class: "values" });
}

function saveCsv(name, head, rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const text = [head, ...rows].map((row) => row.map(cell).join(",") + "\n").join("");
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = h("a", { href: url, download: `${name.replace(/[^\w. -]+/g, "_")}.csv` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** A choice of a few, of which one is on. */
function choice(label, options, chosen, choose) {
  const name = newId("choice");
  return h("fieldset", { class: "choice" }, h("legend", {}, label),
    h("div", { class: "choice-options" }, options.map(([value, text]) => h("label", {},
      h("input", {
        type: "radio", name, value, checked: value === chosen,
        on: { change: () => choose(value) },
      }), h("span", {}, text)))));
}

/** A list to choose from. */
function selection(label, options, chosen, choose) {
  const id = newId("select");
  return h("div", { class: "field" }, h("label", { for: id }, label),
    h("select", { id, on: { change: (event) => choose(event.target.value) } },
      options.map(([value, text]) => h("option", { value, selected: value === chosen }, text))));
}

let speaking;
/** Tell screen readers something, when nothing newer comes. */
function say(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => { document.getElementById("spoken").textContent = text; }, 150);
}
