// A chart of lines, drawn by uPlot: with what it shows at the pointer, zoom, and keys.

const HEIGHT = 260;
const built = new Set();
const near = "IntersectionObserver" in window ? new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) entry.target.chart.build();
  }
}, { rootMargin: "300px" }) : null;
const waiting = new Set();

/** Build charts that are out of sight while nothing else is to be done. */
function buildInTime(deadline) {
  for (const chart of waiting) {
    if (deadline.timeRemaining() < 5) break;
    chart.build();
  }
  if (waiting.size) requestIdleCallback(buildInTime);
}
if ("requestIdleCallback" in window) addEventListener("load", () => requestIdleCallback(buildInTime));
addEventListener("beforeprint", () => { for (const chart of waiting) chart.build(); });

const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) entry.target.chart.resize();
});

/** The numbers in the order of x, each x once: uPlot wants them like this. */
function ordered(x, y) {
  let isOrdered = true;
  for (let i = 1; i < x.length && isOrdered; i++) isOrdered = x[i] > x[i - 1];
  if (isOrdered) return [x, y];
  const order = x.map((_, i) => i).sort((a, b) => x[a] - x[b] || a - b);
  const last = order.filter((at, i) => i + 1 === order.length || x[order[i + 1]] !== x[at]);
  return [last.map((at) => x[at]), last.map((at) => y[at])];
}

/** The place of the number that is nearest to another in a list in order. */
function nearest(list, wanted) {
  let low = 0, high = list.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] < wanted) low = middle; else high = middle;
  }
  return high >= 0 && Math.abs(list[high] - wanted) < Math.abs(list[low] - wanted) ? high : low;
}

class Chart {
  /**
   * @param options `key`: by which a zoom is kept; `name`: what it shows; `xName`; `xText(x)`;
   *   `lines()`: a list of `{label, x, y, raw, color, dash, width, best, faint, fill}`, where `raw` has
   *   the values before they were smoothed, or stacked; `fill` is the colour below a line; `log`; `fromZero`: whether y begins there; `limits`: the range of x and y, where that is
   *   fixed; `borders()`: a list of `{x, text}`.
   */
  constructor(options) {
    this.options = options;
    this.hidden = new Set();
    this.tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
    this.reset = h("button", {
      type: "button", class: "quiet reset", hidden: true, on: { click: () => this.zoom(null) },
    }, "Reset zoom");
    this.plot = h("div", {
      class: "plot", tabindex: 0, role: "group", "aria-roledescription": "chart",
      on: {
        keydown: (event) => this.key(event),
        blur: () => this.leave(),
      },
    });
    this.node = h("div", { class: "chart" }, this.reset, this.plot);
    this.plot.chart = this;
    this.nameIt();
    waiting.add(this);
    if (near) near.observe(this.plot); else setTimeout(() => this.build());
  }

  build() {
    if (this.u) this.u.destroy();
    this.u = null;
    built.add(this);
    waiting.delete(this);
    if (near) near.unobserve(this.plot);
    sizes.observe(this.plot);
    const width = Math.floor(this.plot.clientWidth);
    if (!width) return;
    const { options } = this;
    const lines = options.lines().map((line) => {
      const [x, y] = ordered(line.x, line.y);
      return { ...line, x, y, raw: line.raw ? ordered(line.x, line.raw)[1] : y };
    });
    this.lines = lines;
    this.nameIt();
    const isShown = (line) => !this.hidden.has(line.group || line.label) && !line.hidden;
    const log = options.log && options.log();
    const drawn = (values) => values.map((value) =>
      value === null || !Number.isFinite(value) || (log && value <= 0) ? null : value);
    const tables = lines.map((line) => [line.x, drawn(line.y)]);
    const data = tables.length ? uPlot.join(tables) : [[], []];
    const text = shade("muted"), grid = shade("grid");
    const axis = { stroke: text, font: `12px ${getComputedStyle(document.body).fontFamily}`, gap: 8, ticks: { show: false }, grid: { stroke: grid, width: 1 } };
    const limits = options.limits;
    this.whole = [Infinity, -Infinity];
    for (const line of lines) {
      if (!isShown(line) || !line.x.length) continue;
      this.whole = [Math.min(this.whole[0], line.x[0]), Math.max(this.whole[1], line.x.at(-1))];
    }
    if (limits) this.whole = limits.x;
    if (this.whole[0] > this.whole[1]) this.whole = [0, 1];
    if (this.whole[0] === this.whole[1]) this.whole = [this.whole[0] - 0.5, this.whole[1] + 0.5];
    const kept = zooms[options.key];
    const range = kept && kept.axis === options.axis() ? kept.range : this.whole;
    this.range = range;
    this.reset.hidden = range === this.whole;
    this.u = new uPlot({
      width, height: HEIGHT, padding: [12, 14, 0, 0],
      legend: { show: false },
      focus: { alpha: 0.35 },
      cursor: {
        focus: { prox: 24 },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 8, width: 2, fill: () => shade("card") },
        dataIdx: (u, number, at, x) => (number === 0 ? at : this.placeIn(number, x)),
      },
      scales: {
        x: { time: false, auto: false, range: () => this.range },
        y: log ? { distr: 3, range: (u, low, high) => logRange(low, high) }
          : { range: limits ? () => limits.y : (u, low, high) => linearRange(options.fromZero ? 0 : low, high) },
      },
      axes: [
        {
          ...axis, size: 34, space: 60, incrs: options.steps ? options.steps() : undefined,
          values: (u, at) => at.map((value) => options.xText(value, true)),
        },
        {
          ...axis, size: (u, texts) => 18 + 7 * Math.max(3, ...(texts || []).map((t) => (t || "").length)),
          values: (u, at) => (log ? at.map((value) => (value !== null && isPowerLike(value, at.filter((other) => other !== null)) ? axisNumber(value) : null))
            : at.map((value) => axisNumber(value, at.length > 1 ? at[1] - at[0] : 0))),
        },
      ],
      series: [{}, ...lines.map((line) => ({
        label: line.label, show: isShown(line), stroke: line.color, width: line.width || 2,
        dash: line.dash, fill: line.fill, alpha: line.faint ? 0.3 : 1,
        points: { show: line.y.filter(isFinite).length < 2 || options.dots || false, size: 7, fill: line.color },
      }))],
      hooks: {
        draw: [(u) => this.drawMarks(u, log)],
        setCursor: [(u) => this.showTip(u)],
        setSelect: [(u) => {
          if (u.select.width < 6) return;
          this.zoom([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]);
        }],
      },
    }, data, this.plot);
    this.joined = data[0];
    const canvas = this.plot.querySelector("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", this.description());
    this.u.over.append(this.tip);
    this.u.over.addEventListener("mouseleave", () => this.leave());
    this.u.over.addEventListener("dblclick", () => this.zoom(null));
  }

  nameIt() {
    this.plot.setAttribute("aria-label", `${this.options.name} over ${this.options.xName()}. Left and ` +
      "right arrow keys go through the values, plus and minus zoom, 0 shows everything.");
  }

  /** What the picture says, in words. */
  description() {
    const told = this.lines.filter((line) => !line.faint).map((line) => {
      const last = lastValue(line.raw);
      const best = line.best >= 0 ? `, best ${shortNumber(line.raw[line.best])} at ${this.options.xText(line.x[line.best])}` : "";
      return `${line.label}: last ${shortNumber(last)}${best}`;
    });
    return `${this.options.name}. ${told.join("; ")}`;
  }

  /** The place among all x of the nearest value that a line has. */
  placeIn(number, x) {
    const line = this.lines[number - 1];
    if (line.faint || !line.x.length) return null;
    const at = nearest(line.x, x);
    return nearest(this.joined, line.x[at]);
  }

  drawMarks(u, log) {
    const { ctx } = u;
    const ratio = uPlot.pxRatio;
    const edge = 8 * ratio;
    ctx.save();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.rect(u.bbox.left - edge, u.bbox.top - edge, u.bbox.width + 2 * edge, u.bbox.height + 2 * edge);
    ctx.clip();
    const borders = this.options.borders ? this.options.borders() : [];
    ctx.font = `${11 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    for (const { x, text } of borders) {
      if (x < this.range[0] || x > this.range[1]) continue;
      const at = Math.round(u.valToPos(x, "x", true)) + 0.5;
      ctx.strokeStyle = shade("muted");
      ctx.globalAlpha = 0.6;
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.lineWidth = ratio;
      ctx.beginPath();
      ctx.moveTo(at, u.bbox.top);
      ctx.lineTo(at, u.bbox.top + u.bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.globalAlpha = 1;
      ctx.fillStyle = shade("muted");
      ctx.fillText(text, at + 4 * ratio, u.bbox.top);
    }
    for (const [place, line] of this.lines.entries()) {
      if (!u.series[place + 1].show) continue;
      if (line.best >= 0) {
        const value = line.y[line.best];
        const isInside = line.x[line.best] >= this.range[0] && line.x[line.best] <= this.range[1];
        if (isInside && isFinite(value) && !(log && value <= 0)) {
          ring(ctx, u.valToPos(line.x[line.best], "x", true), u.valToPos(value, "y", true), line.color, ratio);
        }
      }
      line.raw.forEach((value, at) => {
        if (value === null || Number.isFinite(value) || line.faint) return;
        if (line.x[at] < this.range[0] || line.x[at] > this.range[1]) return;
        const x = u.valToPos(line.x[at], "x", true);
        const y = value === -Infinity ? u.bbox.top + u.bbox.height - 6 * ratio : u.bbox.top + 6 * ratio;
        notFinite(ctx, x, y, value, line.color, ratio);
      });
    }
    ctx.restore();
  }

  showTip(u) {
    const { left, top } = u.cursor;
    if (left === null || left === undefined || left < 0 || !this.lines.length) { this.tip.hidden = true; return; }
    const wanted = u.posToVal(left, "x");
    let found = this.lines
      .filter((line, place) => u.series[place + 1].show && !line.faint && line.x.length)
      .map((line) => {
        const at = nearest(line.x, wanted);
        const y = isFinite(line.y[at]) ? u.valToPos(line.y[at], "y") : NaN;
        return { line, at, x: line.x[at], value: line.raw[at], away: Math.abs(y - top) };
      })
      .filter(({ x, value }) => value !== null && x >= this.range[0] - 1e-9 && x <= this.range[1] + 1e-9);
    // Lines that end before the pointer have nothing to say there.
    const closest = Math.min(...found.map(({ x }) => Math.abs(x - wanted)));
    const reach = closest + (this.range[1] - this.range[0]) * 0.02;
    found = found.filter(({ x }) => Math.abs(x - wanted) <= reach);
    if (!found.length) { this.tip.hidden = true; return; }
    const focused = found.reduce((a, b) => (b.away < a.away ? b : a));
    const most = 12;
    const shown = found.length <= most ? found
      : found.slice().sort((a, b) => a.away - b.away).slice(0, most);
    const at = focused.x;
    this.tip.replaceChildren(
      h("p", { class: "tip-head" }, this.options.tipHead ? this.options.tipHead(focused.line, focused.at) : this.options.xText(at)),
      h("table", {}, h("tbody", {}, shown.map((one) => h("tr", { class: one === focused ? "focused" : null },
        h("td", {}, swatch(one.line)), h("td", { class: "tip-name" }, one.line.label),
        h("td", { class: "number" }, shortNumber(one.value, 5)))))),
      found.length > most ? h("p", { class: "tip-more" }, `and ${found.length - most} more`) : "");
    this.tip.hidden = false;
    this.plot.classList.add("pointed");
    const room = this.tip.offsetWidth + 16;
    const beside = left + room < u.over.clientWidth ? left + 12
      : left - room >= -40 ? left - room + 4 : Math.max(0, u.over.clientWidth - room) / 2;
    this.tip.style.setProperty("left", `${beside}px`);
    this.tip.style.setProperty("top", `${Math.max(0, Math.min(top - 20, u.over.clientHeight - this.tip.offsetHeight))}px`);
    if (this.byKey) {
      say(`${this.options.xText(at)}: ${shown.map((one) => `${one.line.label} ${shortNumber(one.value)}`).join(", ")}`);
    }
  }

  leave() {
    this.byKey = false;
    this.tip.hidden = true;
    this.plot.classList.remove("pointed");
    if (this.u) this.u.setCursor({ left: -10, top: -10 });
  }

  zoom(range) {
    if (range) {
      const least = (this.whole[1] - this.whole[0]) / 1e4;
      range = [Math.max(this.whole[0], range[0]), Math.min(this.whole[1], range[1])];
      if (range[1] - range[0] < least) return;
      if (range[0] <= this.whole[0] && range[1] >= this.whole[1]) range = null;
    }
    this.range = range || this.whole;
    if (range) zooms[this.options.key] = { axis: this.options.axis(), range };
    else delete zooms[this.options.key];
    keep();
    if (document.activeElement === this.reset && !range) this.plot.focus();
    this.reset.hidden = !range;
    this.u.batch(() => {
      this.u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      this.u.setScale("x", { min: this.range[0], max: this.range[1] });
    });
    this.leave();
  }

  key(event) {
    if (!this.u || event.ctrlKey || event.metaKey || event.altKey || event.target !== this.plot) return;
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    const [low, high] = this.range;
    if (move !== undefined) {
      const places = this.joined.map((x, place) => place)
        .filter((place) => this.joined[place] >= low && this.joined[place] <= high);
      if (!places.length) return;
      const now = this.byKey ? this.at : move > 0 ? places[0] - 1 : places.at(-1) + 1;
      this.at = Math.max(places[0], Math.min(places.at(-1), now + move));
      this.byKey = true;
      const x = this.joined[this.at];
      const line = this.lines.find((one, place) => this.u.series[place + 1].show && !one.faint && isFinite(one.y[nearest(one.x, x)]));
      const y = line ? this.u.valToPos(line.y[nearest(line.x, x)], "y") : HEIGHT / 2;
      this.u.setCursor({ left: this.u.valToPos(x, "x"), top: y });
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const factor = event.key === "-" ? 2 : 0.5;
      const middle = this.byKey ? this.joined[this.at] : (low + high) / 2;
      this.zoom([middle - (middle - low) * factor, middle + (high - middle) * factor]);
      say(this.reset.hidden ? "everything is shown" : `from ${this.options.xText(this.range[0])} to ${this.options.xText(this.range[1])}`);
    } else if (event.key === "0" || event.key === "Escape") {
      if (this.reset.hidden && this.tip.hidden) return;
      this.zoom(null);
    } else return;
    event.preventDefault();
  }

  /** Show or hide a line, or the lines of a group. */
  toggle(name, isOn) {
    if (isOn) this.hidden.delete(name); else this.hidden.add(name);
    if (this.u) this.build();
  }

  resize() {
    const width = Math.floor(this.plot.clientWidth);
    if (!width) return;
    if (!this.u) this.build();
    else if (width !== this.u.width) this.u.setSize({ width, height: HEIGHT });
  }
}

function rebuildCharts() {
  for (const chart of built) if (chart.plot.isConnected) chart.build(); else built.delete(chart);
}

function linearRange(low, high) {
  if (low === null || high === null) return [0, 1];
  if (low === high) { const away = Math.abs(low) * 0.1 || 1; return [low - away, high + away]; }
  const room = (high - low) * 0.06;
  // A line that begins near zero is easier to judge with the zero in sight.
  const bottom = low >= 0 && low - room < 0 ? Math.min(0, low) : low - room;
  return [bottom, high + room];
}

function logRange(low, high) {
  if (!(low > 0)) return [0.1, 1];
  return low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.05, high * (high / low) ** 0.05];
}

/** Whether a value on a logarithmic axis has a label: powers of ten, and more where these are few. */
function isPowerLike(value, all) {
  const first = Number(value.toExponential().slice(0, 1));
  const powers = all.filter((other) => Number(other.toExponential().split("e")[0]) === 1).length;
  return first === 1 || (powers < 3 && (first === 2 || first === 5)) || powers === 0;
}

function ring(ctx, x, y, stroke, ratio) {
  ctx.beginPath();
  ctx.arc(x, y, 5 * ratio, 0, 2 * Math.PI);
  ctx.fillStyle = shade("card");
  ctx.fill();
  ctx.lineWidth = 2.5 * ratio;
  ctx.strokeStyle = stroke;
  ctx.stroke();
}

/** A value that is no number has a cross at the top, an infinite one a triangle at its side. */
function notFinite(ctx, x, y, value, stroke, ratio) {
  const size = 4.5 * ratio;
  ctx.strokeStyle = ctx.fillStyle = stroke;
  ctx.lineWidth = 2 * ratio;
  ctx.beginPath();
  if (Number.isNaN(value)) {
    ctx.moveTo(x - size, y - size); ctx.lineTo(x + size, y + size);
    ctx.moveTo(x - size, y + size); ctx.lineTo(x + size, y - size);
    ctx.stroke();
    return;
  }
  const up = value > 0 ? -1 : 1;
  ctx.moveTo(x, y + up * size); ctx.lineTo(x + size, y - up * size); ctx.lineTo(x - size, y - up * size);
  ctx.closePath();
  ctx.fill();
}

/** A piece of a line, as it is drawn. */
function swatch({ tint, dash, width, shade: own }) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  for (const [name, value] of Object.entries({ width: 26, height: 10, viewBox: "0 0 26 10", "aria-hidden": "true", class: "swatch" })) {
    svg.setAttribute(name, value);
  }
  const line = document.createElementNS(ns, "line");
  const given = { x1: 1, y1: 5, x2: 25, y2: 5, "stroke-width": (width || 2) + 0.5, "stroke-dasharray": (dash || []).join(" ") };
  for (const [name, value] of Object.entries(given)) line.setAttribute(name, value);
  line.style.setProperty("stroke", own ? `var(--${own})` : tint === undefined ? "var(--muted)" : `var(--line-${tint % COLORS})`);
  svg.append(line);
  return svg;
}
