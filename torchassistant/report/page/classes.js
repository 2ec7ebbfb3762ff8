// What metrics gave as tensors: confusion matrices, curves, values of classes.

const LARGEST_TABLE = 30;

function classesSection(sessions) {
  const cards = sessions.flatMap((session) => [
    ...session.tensors.filter((metric) => metric.look).map((metric) => tensorCard(session, metric, sessions.length > 1)),
    ...classCards(session, sessions.length > 1),
  ]);
  return cards.length ? section("classes", "Matrices, curves and classes", h("div", { class: "cards" }, cards)) : null;
}

/** A card that shows one of the rows of a metric, the last one first. */
function tensorCard(session, metric, several) {
  const place = h("div", { class: "tensor" });
  const title = several ? `${metric.name} · ${session.name}` : metric.name;
  let row = metric.rows.at(-1);
  const options = {};
  const show = () => place.replaceChildren(...[LOOKS[metric.look](row, `${title}`, options, show, session)].flat().filter(Boolean));
  show();
  const rowName = (one) => (one.epoch === null ? `step ${one.step}` : `epoch ${shortNumber(one.epoch)}`);
  const id = newId("epoch");
  const label = h("output", { for: id }, rowName(row));
  const slider = metric.rows.length < 2 ? null : h("div", { class: "field inline" }, h("label", { for: id }, "Epoch"),
    h("div", { class: "slider" }, h("input", {
      id, type: "range", min: 0, max: metric.rows.length - 1, step: 1, value: metric.rows.length - 1, "aria-valuetext": rowName(row),
      on: { input: (event) => {
        row = metric.rows[Number(event.target.value)];
        label.textContent = rowName(row);
        event.target.setAttribute("aria-valuetext", rowName(row));
        show();
      } },
    }), label));
  return h("article", { class: "card", "aria-label": title }, h("h3", {}, title), slider, place);
}

const LOOKS = {
  matrix: (row, title, options, show, session) => matrixOf(unpacked(row.data), row.shape[0], row.shape[1], title, options, show, session),
  matrices: (row, title, options, show, session) => {
    const [count, height, width] = row.shape;
    const values = unpacked(row.data);
    const most = 12;
    const all = Array.from({ length: Math.min(count, most) }, (_, at) => h("figure", {}, h("figcaption", {}, className(session, count, at)),
      matrixOf(values.slice(at * height * width, (at + 1) * height * width), height, width, `${title} ${at}`, options, show, session, true)));
    return [h("div", { class: "matrices" }, all), count > most ? h("p", { class: "hint" }, `and ${count - most} more`) : null];
  },
  roc: (row, title, options, show, session) => rateCurves(row, title, "roc", session),
  "precision-recall": (row, title, options, show, session) => rateCurves(row, title, "precision-recall", session),
  curves: (row, title, options, show, session) => rateCurves(row, title, "curves", session),
  classes: (row, title, options, show, session) => bars(unpacked(row.data).map((value, at, all) => [className(session, all.length, at), value]), title),
};

/** What a class is called, where a dataset says it; else its number. */
function className(session, count, at, otherwise = String(at)) {
  const names = session.class_names[count];
  return names ? names[at] : otherwise;
}

/** A matrix as a table whose cells are the darker, the more of their row they hold. */
function matrixOf(values, height, width, title, options, show, session, plain = false) {
  const rowName = (at) => className(session, height, at), columnName = (at) => className(session, width, at);
  const isCounts = height === width && values.every((value) => value >= 0);
  const sums = Array.from({ length: height }, (_, row) => values.slice(row * width, (row + 1) * width).reduce((a, b) => a + b, 0));
  const largest = Math.max(...values.filter(Number.isFinite).map(Math.abs), 0) || 1;
  const share = (row, column) => {
    const value = values[row * width + column];
    return isCounts ? (sums[row] ? value / sums[row] : 0) : Math.abs(value) / largest;
  };
  if (height > LARGEST_TABLE || width > LARGEST_TABLE) return heatMap(values, height, width, share, title, rowName, columnName);
  const text = (row, column) => (options.shares && isCounts ? `${Math.round(share(row, column) * 100)}` : shortNumber(values[row * width + column], 3));
  const head = h("tr", {}, h("td", {}), Array.from({ length: width }, (_, column) => h("th", { scope: "col" }, columnName(column))));
  const rows = Array.from({ length: height }, (_, row) => h("tr", {}, h("th", { scope: "row" }, rowName(row)),
    Array.from({ length: width }, (_, column) => {
      const part = Number.isFinite(share(row, column)) ? share(row, column) : 0;
      return h("td", {
        css: { "--share": part.toFixed(3) }, class: `${part > 0.74 ? "dark" : ""}${values[row * width + column] === 0 ? " zero" : ""}`,
        title: isCounts ? `${rowName(row)} given ${columnName(column)}: ${shortNumber(values[row * width + column])} of ${shortNumber(sums[row])}` : null,
      }, text(row, column));
    })));
  const switcher = plain || !isCounts ? null : h("label", { class: "switch" }, h("input", {
    type: "checkbox", role: "switch", checked: Boolean(options.shares),
    on: { change: (event) => { options.shares = event.target.checked; show(); } },
  }), h("span", {}, "Percent of each row"));
  return [
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, h("table", { class: "matrix" },
      h("caption", { class: "unseen" }, `${title}: rows are the true classes, columns the predicted ones`), h("thead", {}, head), h("tbody", {}, rows))),
    plain || !isCounts ? null : h("p", { class: "hint" }, "Rows: true class. Columns: predicted class."),
    switcher, plain || !isCounts ? null : confusions(values, height, sums, rowName),
  ];
}

/** The classes that are most often taken for each other, in words. */
function confusions(values, size, sums, nameOf) {
  const pairs = [];
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const count = values[row * size + column];
      if (row !== column && count > 0) pairs.push([count, row, column]);
    }
  }
  if (!pairs.length || size < 3) return null;
  pairs.sort((a, b) => b[0] - a[0]);
  return h("p", { class: "hint" }, "Most often confused: ", pairs.slice(0, 3).map(([count, row, column], place) =>
    `${place ? ", " : ""}${nameOf(row)} taken for ${nameOf(column)} (${shortNumber(count)} of ${shortNumber(sums[row])})`));
}

/** A large matrix as a picture, with its values as a table. */
function heatMap(values, height, width, share, title, rowName, columnName) {
  const canvas = h("canvas", { class: "heat", width, height, role: "img", "aria-label": `${title}: ${height} × ${width} values; the table has them` });
  const draw = () => {
    const context = canvas.getContext("2d");
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        context.globalAlpha = 1;
        context.fillStyle = shade("card");
        context.fillRect(column, row, 1, 1);
        context.globalAlpha = Math.min(1, Math.max(0, share(row, column) || 0)) ** 0.7;
        context.fillStyle = shade("line-0");
        context.fillRect(column, row, 1, 1);
      }
    }
  };
  draw();
  const told = h("p", { class: "hint", "aria-hidden": "true" }, "Rows: true class. Columns: predicted class.");
  canvas.addEventListener("mousemove", (event) => {
    const box = canvas.getBoundingClientRect();
    const row = Math.min(height - 1, Math.floor(((event.clientY - box.top) / box.height) * height));
    const column = Math.min(width - 1, Math.floor(((event.clientX - box.left) / box.width) * width));
    told.textContent = `${rowName(row)} given ${columnName(column)}: ${shortNumber(values[row * width + column])}`;
  });
  return [canvas, told, valuesOf(title, ["row", "column", "value"], () => values.map((value, at) =>
    [rowName(Math.floor(at / width)), columnName(at % width), value]).filter(([, , value]) => value !== 0))];
}

/** ROC, precision-recall and other curves, one line a class. */
function rateCurves(row, title, look, session) {
  const unpackedX = row.curves.map(([x]) => unpacked(x));
  const lines = row.curves.map(([, y], at) => {
    // Where nothing was predicted a precision is no number.
    const points = unpacked(y).map((value, place) => [unpackedX[at][place], value]).filter((one) => one.every(isFinite));
    const [first, second] = [points.map((one) => one[0]), points.map((one) => one[1])];
    return look === "precision-recall" ? { x: second, y: first, at } : { x: first, y: second, at };
  });
  const names = { roc: ["false positive rate", "true positive rate"], "precision-recall": ["recall", "precision"], curves: ["x", "y"] }[look];
  const several = lines.length > 1;
  const isUnit = look !== "curves";
  const areaName = look === "roc" ? "AUC" : "average precision";
  const styled = lines.map((line) => ({
    ...line, ...(isUnit ? upright(line.x, line.y) : {}), label: several ? className(session, lines.length, line.at, `class ${line.at}`) : title, tint: line.at, color: color(line.at),
    dash: DASHES[(lines.length <= 4 ? line.at : Math.floor(line.at / COLORS)) % DASHES.length], best: -1,
    area: area(line.x, line.y, look === "precision-recall"),
  }));
  const diagonal = look === "roc" ? [{ label: "by chance", x: [0, 1], y: [0, 1], color: shade("muted"), dash: [3, 4], width: 1, faint: true, best: -1 }] : [];
  const chart = new Chart({
    key: `tensor ${title}`, name: `${title}: ${names[1]}`, axis: () => "rate", xName: () => names[0],
    xText: (x) => shortNumber(x, 3), lines: () => [...diagonal, ...styled], limits: isUnit ? { x: [0, 1], y: [0, 1.02] } : null,
    tipHead: (line, at) => `${names[0]} ${shortNumber(line.x[at], 3)}, ${names[1]} ${shortNumber(line.y[at], 3)}`,
  });
  const legend = h("table", {}, h("caption", { class: "unseen" }, "Lines of the chart"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "unseen" }, "Line")), isUnit ? h("th", { scope: "col", class: "number" }, areaName) : null)),
    h("tbody", {}, styled.map((line) => {
      const button = h("button", { type: "button", class: "line-toggle", "aria-pressed": "true", on: { click: () => {
        const now = chart.hidden.has(line.label);
        chart.toggle(line.label, now);
        button.setAttribute("aria-pressed", String(now));
      } } }, swatch(line), h("span", { class: "line-name" }, line.label));
      return h("tr", {}, h("th", { scope: "row" }, button), isUnit ? h("td", { class: "number" }, shortNumber(line.area, 4)) : null);
    })));
  return [h("p", { class: "axis-name" }, `${names[1]} over ${names[0]}`), chart.node, h("div", { class: "legend" }, legend),
    valuesOf(title, ["line", names[0], names[1]], () => styled.flatMap((line, place) => lines[place].x.map((x, at) => [line.label, x, lines[place].y[at]])))];
}

/** The area under a curve, along the way on which its points come; by steps it is the average
 * precision of a precision-recall curve. */
function area(x, y, bySteps) {
  let sum = 0;
  for (let i = 1; i < x.length; i++) sum += (x[i] - x[i - 1]) * (bySteps ? y[i - 1] : (y[i - 1] + y[i]) / 2);
  return Math.abs(sum);
}

/** A curve from the left to the right, whose upright parts lean a little: each x comes once. */
function upright(x, y) {
  const isBackwards = x.length > 1 && x[0] > x.at(-1);
  const [left, values] = isBackwards ? [x.toReversed(), y.toReversed()] : [x.slice(), y];
  for (let i = 1; i < left.length; i++) left[i] = Math.max(left[i], left[i - 1] + 1e-9);
  return { x: left, y: values };
}

/** Values of classes as bars, in a table. */
function bars(pairs, title, more = []) {
  const largest = Math.max(1e-12, ...pairs.map(([, value]) => (Number.isFinite(value) ? Math.abs(value) : 0)));
  const top = largest <= 1 ? 1 : largest;
  return table({
    caption: title, attributes: { class: "bars" }, head: ["class", { value: "value", number: true }, "", ...more.map((one) => ({ value: one.head, number: true }))],
    rows: pairs.map(([name, value], at) => [name, { value: shortNumber(value), number: true },
      { value: h("span", { class: "bar", css: { "--part": Number.isFinite(value) ? Math.max(0, value / top).toFixed(4) : "0" } }), attributes: { class: "bar-cell", "aria-hidden": "true" } },
      ...more.map((one) => ({ value: shortNumber(one.values[at]), number: true }))]),
  });
}

/** Columns such as "F1/0", "F1/1", …: the last value of each class, beside its best. */
function classCards(session, several) {
  const groups = new Map();
  for (const name of session.rows.names) {
    const cut = name.indexOf("/");
    if (cut < 1 || session.kinds[name].kind !== "metric") continue;
    groups.set(name.slice(0, cut), [...(groups.get(name.slice(0, cut)) || []), name]);
  }
  return [...groups].filter(([, names]) => names.length > 2).map(([group, names]) => {
    const title = several ? `${group} · ${session.name}` : group;
    const mode = session.kinds[names[0]].mode;
    const nameOf = (key, at) => (key === String(at) ? className(session, names.length, at) : key);
    const best = mode ? [{ head: "best", values: names.map((name) => {
      const values = session.rows.values(name);
      return values[bestPlace(values, mode)] ?? null;
    }) }] : [];
    return h("article", { class: "card", "aria-label": `${title} by class` }, h("h3", {}, `${title} by class`),
      bars(names.map((name, at) => [nameOf(name.slice(group.length + 1), at), lastValue(session.rows.values(name))]), `${title} by class, last row`, best));
  });
}
