/* Pictures: the plane, the optimal discriminator, the losses' charts and the diagram of the two networks. */

const CELLS = 40; // The field is computed on CELLS x CELLS points and smoothed to the picture's size.
const centreOf = (i) => ((i + 0.5) / CELLS) * 2 * EXTENT - EXTENT;

/** The middle of each of the field's cells, top row first. */
const FIELD = new Matrix(CELLS * CELLS, 2);
for (let i = 0; i < CELLS * CELLS; i++) {
  FIELD.data[2 * i] = centreOf(i % CELLS);
  FIELD.data[2 * i + 1] = -centreOf(Math.floor(i / CELLS));
}

/** What the discriminator thinks of each cell, in [0, 1]. A critic's zero lies midway between its mean logits. */
function judgedField(gan) {
  return gan.discriminator.forward(FIELD).data.map((logit) => 1 / (1 + Math.exp(threshold(gan) - logit)));
}

function threshold({ now, settings }) {
  if (!LOSSES[settings.loss].critic || !now.realLogits) return 0;
  return (mean(now.realLogits).value + mean(now.fakeLogits).value) / 2;
}

/** The density of points in each cell: a histogram, blurred by a Gaussian along x, then along y. */
function density(points, deviation = 0.09) {
  const counts = new Float64Array(CELLS * CELLS);
  for (let i = 0; i < points.rows; i++) {
    const column = Math.floor(((points.data[2 * i] + EXTENT) / (2 * EXTENT)) * CELLS);
    const row = Math.floor(((EXTENT - points.data[2 * i + 1]) / (2 * EXTENT)) * CELLS);
    if (column >= 0 && column < CELLS && row >= 0 && row < CELLS) counts[row * CELLS + column] += 1 / points.rows;
  }
  const cells = (deviation / (2 * EXTENT)) * CELLS;
  const reach = Math.ceil(3 * cells);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-0.5 * ((i - reach) / cells) ** 2));
  const total = kernel.reduce((a, b) => a + b);
  const blurred = (from, along, across) => {
    const out = new Float64Array(CELLS * CELLS);
    for (let line = 0; line < CELLS; line++) {
      for (let i = 0; i < CELLS; i++) {
        const value = from[line * across + i * along];
        if (value === 0) continue;
        for (let k = Math.max(-reach, -i); k <= reach && i + k < CELLS; k++) {
          out[line * across + (i + k) * along] += (value * kernel[k + reach]) / total;
        }
      }
    }
    return out;
  };
  return blurred(blurred(counts, 1, CELLS), CELLS, 1);
}

/** p / (p + q) in each cell. A little is added to both: where there is no point at all, nobody can tell, so 1/2. */
function optimalField(reals, fakes) {
  const [p, q] = [density(reals), density(fakes)];
  return p.map((value, i) => (value + 1e-5) / (value + q[i] + 2e-5));
}

/* ---- Colours, from the style sheet, so that light and dark need no code ---- */

let colours = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  colours = {
    real: read("real"),
    fake: read("fake"),
    ink: read("ink"),
    quiet: read("quiet"),
    paper: read("plane"),
    accent: read("accent"),
  };
  stamps.clear();
  // The scale of the field, from sure of fake through undecided, to sure of real.
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const [fake, paper, real] = [rgb(read("field-fake")), rgb(colours.paper), rgb(read("field-real"))];
  colours.scale = Array.from({ length: 256 }, (_, i) => {
    const [end, sure] = i < 127.5 ? [fake, 1 - i / 127.5] : [real, i / 127.5 - 1];
    const share = sure ** 0.65; // Makes small differences visible: a GAN that learns well is unsure nearly everywhere.
    return paper.map((x, c) => Math.round(x + (end[c] - x) * share));
  });
}

/** Make the canvas as sharp as the screen. Returns its context, in CSS pixels, and its size. */
function fit(canvas) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

const small = document.createElement("canvas");
small.width = small.height = CELLS;
const smallContext = small.getContext("2d");
const pixels = smallContext.createImageData(CELLS, CELLS);

function drawField(context, size, field) {
  for (let i = 0; i < field.length; i++) {
    const [r, g, b] = colours.scale[Math.max(0, Math.min(255, Math.round(field[i] * 255))) || 0];
    pixels.data.set([r, g, b, 255], 4 * i);
  }
  smallContext.putImageData(pixels, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, size, size);
}

const toPixel = (x, size) => ((x + EXTENT) / (2 * EXTENT)) * size;

/** A dot with a thin outline, drawn once for each colour and size: stamping it is much faster than drawing circles. */
function stamp(colour, radius) {
  const key = `${colour} ${radius}`;
  if (!stamps.has(key)) {
    const canvas = document.createElement("canvas");
    const ratio = Math.min(2, devicePixelRatio || 1);
    canvas.width = canvas.height = Math.ceil(2 * (radius + 1) * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.fillStyle = colour;
    context.strokeStyle = colours.paper;
    context.lineWidth = 0.75;
    context.arc(radius + 1, radius + 1, radius, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
    stamps.set(key, { canvas, half: radius + 1, side: canvas.width / ratio });
  }
  return stamps.get(key);
}

const stamps = new Map();

function drawPoints(context, size, points, colour, radius, alpha = 1, radii = null) {
  context.globalAlpha = alpha;
  for (let i = 0; i < points.rows; i++) {
    const [x, y] = [toPixel(points.data[2 * i], size), size - toPixel(points.data[2 * i + 1], size)];
    if (!(x > -9 && x < size + 9 && y > -9 && y < size + 9)) continue;
    const { canvas, half, side } = stamp(colour, radii ? Math.round(2 * radii[i]) / 2 : radius);
    context.drawImage(canvas, x - half, y - half, side, side);
  }
  context.globalAlpha = 1;
}

/** Arrows from points along their pulls. Long ones are shortened, or they would cover everything. */
function drawArrows(context, size, points, pulls, alpha = 1) {
  context.globalAlpha = alpha;
  context.strokeStyle = colours.ink;
  context.lineWidth = 1.5;
  context.lineCap = "round";
  context.beginPath();
  for (let i = 0; i < points.rows; i++) {
    const [dx, dy] = [pulls.data[2 * i], -pulls.data[2 * i + 1]];
    const length = Math.hypot(dx, dy);
    const shown = 0.09 * size * Math.tanh(1.5 * length);
    if (!(shown > 1.5)) continue; // Too short to see, or not a number.
    const [x, y] = [toPixel(points.data[2 * i], size), size - toPixel(points.data[2 * i + 1], size)];
    const [ux, uy] = [dx / length, dy / length];
    const [tipX, tipY, head] = [x + ux * shown, y + uy * shown, Math.min(5, shown / 2)];
    context.moveTo(x, y);
    context.lineTo(tipX, tipY);
    context.moveTo(tipX - head * (ux - 0.6 * uy), tipY - head * (uy + 0.6 * ux));
    context.lineTo(tipX, tipY);
    context.lineTo(tipX - head * (ux + 0.6 * uy), tipY - head * (uy - 0.6 * ux));
  }
  context.stroke();
  context.globalAlpha = 1;
}

/* ---- Charts ---- */

/** A loss since the start, in at most 400 values: when they are full, neighbours are averaged and each counts twice. */
class History {
  constructor() {
    this.values = [];
    this.each = 1;
    this.pending = [];
  }

  push(value) {
    this.pending.push(value);
    if (this.pending.length < this.each) return;
    this.values.push(this.pending.reduce((a, b) => a + b) / this.each);
    this.pending = [];
    if (this.values.length < 400) return;
    this.values = Array.from({ length: 200 }, (_, i) => (this.values[2 * i] + this.values[2 * i + 1]) / 2);
    this.each *= 2;
  }
}

function drawChart(canvas, history, chance, colour) {
  const { context, width, height } = fit(canvas);
  context.clearRect(0, 0, width, height);
  const finite = history.values.filter(Number.isFinite);
  // The extremes of the first steps would flatten the rest, so the scale leaves out one value in fifty on each side.
  const sorted = [...finite].sort((a, b) => a - b);
  const low = Math.min(chance - 0.5, sorted[Math.floor(sorted.length * 0.02)] ?? chance);
  const high = Math.max(chance + 0.5, sorted[Math.ceil(sorted.length * 0.98) - 1] ?? chance);
  const y = (value) => 6 + (height - 12) * (1 - (Math.max(low, Math.min(high, value)) - low) / (high - low));
  context.lineWidth = 1;
  context.strokeStyle = colours.quiet;
  context.setLineDash([4, 4]);
  context.beginPath();
  context.moveTo(0, y(chance));
  context.lineTo(width, y(chance));
  context.stroke();
  context.setLineDash([]);
  context.strokeStyle = colour;
  context.lineWidth = 1.75;
  context.lineJoin = "round";
  context.beginPath();
  let smooth = history.values[0];
  history.values.forEach((value, i) => {
    smooth += 0.25 * (value - smooth);
    if (Number.isFinite(smooth)) context.lineTo((i / Math.max(60, history.values.length - 1)) * width, y(smooth));
  });
  context.stroke();
}

/* ---- The diagram ---- */

function svg(parent, tag, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  parent.append(element);
  return element;
}

/** Boxes of points, two networks, the verdict, and arrows between them. Each part names the stages that light it. */
class Diagram {
  constructor(root) {
    this.root = root;
    const part = (stages, kind = "") => svg(root, "g", { class: `part ${kind}`, "data-stages": stages });
    const box = (stages, x, y, label, colour, labelY = y - 7) => {
      const group = part(stages);
      svg(group, "rect", { x, y, width: 58, height: 58, rx: 8 });
      svg(group, "text", { x: x + 29, y: labelY }, label);
      return svg(group, "path", { class: `points ${colour}` });
    };
    const network = (stages, x, y, label, layers) => {
      const group = part(stages, "network");
      const at = (layer, unit) => [x + layer * 30, y + 45 + (unit - (layers[layer] - 1) / 2) * 17];
      layers.slice(1).forEach((count, layer) => {
        for (let a = 0; a < layers[layer]; a++) {
          for (let b = 0; b < count; b++) {
            const [[x1, y1], [x2, y2]] = [at(layer, a), at(layer + 1, b)];
            svg(group, "line", { x1, y1, x2, y2 });
          }
        }
      });
      layers.forEach((count, layer) => {
        for (let unit = 0; unit < count; unit++) {
          const [cx, cy] = at(layer, unit);
          svg(group, "circle", { cx, cy, r: 4.5 });
        }
      });
      svg(group, "text", { x: x + 45, y: y + 104 }, label);
    };
    const flow = (stages, d) => svg(part(stages, "flow"), "path", { d });
    const back = (stages, d) => svg(part(stages, "back"), "path", { d });
    svg(svg(root, "defs"), "path", { d: "M0 0 8 4 0 8z", id: "head" });
    const marker = svg(root.firstChild, "marker", {
      id: "tip",
      viewBox: "0 0 8 8",
      refX: 7,
      refY: 4,
      markerWidth: 8,
      markerHeight: 8,
      markerUnits: "userSpaceOnUse",
      orient: "auto",
    });
    svg(marker, "path", { d: "M0 0 8 4 0 8z" });

    this.latents = box("latents generate", 8, 58, "latents", "ink");
    flow("generate", "M70 87H92");
    network("generate learnG", 106, 42, "generator", [2, 4, 4, 2]);
    flow("generate", "M206 77 230 62");
    this.fakes = box("generate judge", 234, 26, "fakes", "fake");
    this.reals = box("latents judge", 234, 98, "reals", "real", 171);
    flow("judge", "M296 56 336 80");
    flow("judge", "M296 126 336 96");
    network("judge learnD", 350, 42, "discriminator", [2, 4, 4, 1]);
    flow("judge", "M450 87H476");
    const verdict = part("judge learnD learnG", "verdict");
    svg(verdict, "rect", { x: 482, y: 52, width: 110, height: 70, rx: 8 });
    this.bars = ["real", "fake"].map((kind, i) => {
      svg(verdict, "text", { x: 492, y: 72 + i * 33, class: "start" }, kind === "real" ? "D(real)" : "D(fake)");
      svg(verdict, "rect", { x: 492, y: 77 + i * 33, width: 90, height: 5, rx: 2.5, class: "track" });
      return svg(verdict, "rect", { x: 492, y: 77 + i * 33, width: 45, height: 5, rx: 2.5, class: `bar ${kind}` });
    });
    back("learnD", "M537 126C537 168 440 172 405 154");
    back("learnG", "M537 48C520 -6 420 -4 397 28");
    back("learnG", "M389 26C340 -22 200 -22 156 34");
  }

  light(stage) {
    for (const part of this.root.querySelectorAll(".part")) {
      part.classList.toggle("on", part.dataset.stages.split(" ").includes(stage));
    }
  }

  show(gan) {
    const { latents, fakes, reals, realLogits, fakeLogits } = gan.now;
    if (!latents) return;
    const dots = (points, x, y, reach) => {
      let path = "";
      for (let i = 0; i < points.rows; i++) {
        const a = points.data[i * points.cols] / reach;
        const b = points.cols > 1 ? points.data[i * points.cols + 1] / reach : 0;
        if (Math.abs(a) < 1 && Math.abs(b) < 1)
          path += `M${(x + 29 + 27 * a).toFixed(1)} ${(y + 29 - 27 * b).toFixed(1)}h0`;
      }
      return path;
    };
    this.latents.setAttribute("d", dots(latents, 8, 58, 3));
    this.reals.setAttribute("d", dots(reals, 234, 98, EXTENT));
    if (fakes) this.fakes.setAttribute("d", dots(fakes, 234, 26, EXTENT));
    if (!realLogits) return;
    [realLogits, fakeLogits].forEach((logits, i) => {
      const share = logits.data.reduce((s, t) => s + 1 / (1 + Math.exp(threshold(gan) - t)), 0) / logits.rows;
      this.bars[i].setAttribute("width", (Number.isFinite(share) ? Math.max(5, 90 * share) : 5).toFixed(1));
    });
  }
}
