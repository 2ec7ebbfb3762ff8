// What models have made of examples, the worst first.

const AT_ONCE = 12;

function predictionsSection(data) {
  const cards = [
    ...data.sessions.flatMap((session) => session.looks.map((look) => lookCard(look, data.sessions.length > 1 ? session.name : null, session))),
    ...data.files.map((look) => lookCard(look, null, data.sessions[0])),
  ];
  return cards.length ? section("predictions", "Predictions", cards) : null;
}

const SOURCES = { samples: "samples", evaluation: "evaluation", file: "predictions" };

function lookCard(look, whose, session) {
  const title = [look.name, whose].filter(Boolean).join(" · ");
  const place = h("div");
  let count = AT_ONCE;
  let chosen = look.looks.length - 1;
  const show = () => {
    const made = look.looks[chosen];
    const rows = made.rows.slice(0, count);
    const more = made.rows.length <= count ? null : h("button", {
      type: "button", class: "quiet", on: { click: () => { count = made.rows.length; show(); } },
    }, `Show all ${made.rows.length}`);
    const order = made.measure ? `worst first, by ${made.measure}` : "in their order";
    const part = made.rows.length < made.count ? `${made.rows.length} of ${counted(made.count, "example")}` : counted(made.count, "example");
    place.replaceChildren(
      h("p", { class: "hint" }, `${part}, ${order}`, made.left_out ? `; ${counted(made.left_out, "image")} had no room` : ""),
      isGallery(rows) ? gallery(rows, made, session) : exampleTable(rows, made, title, session), h("p", { class: "buttons" }, more));
  };
  show();
  const picker = look.looks.length < 2 ? h("span", { class: "when" }, look.looks[0].label)
    : selection("At", look.looks.map((made, at) => [String(at), made.label]), String(chosen), (value) => { chosen = Number(value); show(); });
  return h("article", { class: "card wide", "aria-label": `${SOURCES[look.source]} ${title}` },
    h("div", { class: "card-head" }, h("h3", {}, title, h("span", { class: "kind" }, SOURCES[look.source])), picker), place);
}

const isImage = (value) => value !== null && typeof value === "object" && typeof value.png === "string";
const isGallery = (rows) => rows.some(({ cells }) => Object.values(cells).some(isImage));

/** What a class is called of which an example has a score each. */
function classOf(row, number, session) {
  const scores = Object.values(row.cells).find((value) => Array.isArray(value) && session.class_names[value.length]);
  return scores ? className(session, scores.length, number) : String(number);
}

/** How an example came out, in one line. */
function verdict(row, measure, session) {
  const parts = [];
  if (row.is_wrong !== null && row.predicted !== null && typeof row.predicted !== "string") {
    parts.push(h("span", { class: row.is_wrong ? "wrong" : "right" }, row.is_wrong ? `✗ ${classOf(row, row.predicted, session)} instead of ${classOf(row, row.expected, session)}` : `✓ ${classOf(row, row.expected, session)}`));
  }
  if (row.error !== null && measure) parts.push(h("span", { class: "error" }, shortNumber(row.error, 3)));
  return parts;
}

function gallery(rows, made, session) {
  return h("ul", { class: "gallery" }, rows.map((row) => {
    const first = "index" in row.cells ? "index" : "batch";
    const shown = Object.entries(row.cells).filter(([name]) => name !== first);
    const images = shown.filter(([, value]) => isImage(value));
    const others = shown.filter(([, value]) => !isImage(value) && value !== null);
    return h("li", {}, images.map(([name, value]) => h("img", {
      src: `data:image/png;base64,${value.png}`, alt: `${name} of example ${row.cells[first] ?? ""}`, loading: "lazy", decoding: "async",
    })), h("p", { class: "verdict" }, verdict(row, made.measure, session)),
    h("dl", { class: "cells" }, first in row.cells ? [h("dt", {}, first), h("dd", {}, String(row.cells[first]))] : null,
      others.map(([name, value]) => [h("dt", {}, name), h("dd", {}, cellOf(value))])));
  }));
}

function exampleTable(rows, made, title, session) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.cells)))];
  const judged = rows.some((row) => verdict(row, made.measure, session).length);
  return table({
    caption: title, attributes: { class: "examples" },
    head: [...(judged ? [""] : []), ...names], rowHead: false,
    rows: rows.map((row) => [...(judged ? [h("span", { class: "verdict" }, verdict(row, made.measure, session))] : []), ...names.map((name) => cellOf(row.cells[name]))]),
  });
}

/** A value of an example: a vector of numbers as small bars, whatever else as text. */
function cellOf(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return shortNumber(value);
  if (Array.isArray(value) && value.length > 1 && value.length <= 64 && value.every((one) => typeof one === "number")) return vector(value);
  if (typeof value === "string") return h("span", { class: "text" }, value);
  const text = JSON.stringify(value);
  return h("span", { class: "text" }, text.length > 300 ? `${text.slice(0, 300)}…` : text);
}

function vector(values) {
  const low = Math.min(...values), high = Math.max(...values);
  const best = values.indexOf(high);
  return h("span", { class: "vector", role: "img", "aria-label": `${values.length} numbers, the largest is ${shortNumber(high)} at ${best}`, title: values.map((value, at) => `${at}: ${shortNumber(value, 3)}`).join("\n") },
    values.map((value, at) => h("span", { class: at === best ? "most" : null, css: { "--part": (high > low ? 0.08 + 0.92 * (value - low) / (high - low) : 1).toFixed(3) } })));
}
