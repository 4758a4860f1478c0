/* The tab How it learned: the run's history, epoch by epoch. */

const SVG = "http://www.w3.org/2000/svg";
const LOGARITHMIC = "gradient norm";
// What the columns of history.csv are called here.
const COLUMNS = {
  d_loss: "discriminator",
  g_loss: "generator",
  "D(x)": "reals",
  "D(G(z))_before": "fakes, before the step",
  "D(G(z))_after": "fakes, after it",
  accuracy_real: "on reals",
  accuracy_fake: "on fakes",
  accuracy_trained: "on pictures it trained on",
  accuracy_held_out: "on pictures it never saw",
  d_gradient: "discriminator",
  g_gradient: "generator",
  spread: "spread",
  frechet_distance: "distance",
};
// A word of help for each chart, by its title in gan_tf/run/plots.py.
const HELP = {
  loss: "What each player tries to make small. Dotted: where both are if the discriminator can only guess.",
  "probability of being real": "What the discriminator says. Dotted: it cannot tell.",
  "accuracy of D": "How often the discriminator is right. Shaded: healthy.",
  "gradient norm": "How strongly each player is pushed to change.",
  "spread of fakes / spread of reals": "How much fakes differ from each other. Near 0, all look alike. Shaded: healthy.",
  "Frechet distance": "How far fakes are from real pictures. Low is good.",
};
const SECONDS = 8; // for the whole history

const Learned = {
  timer: null,

  open() {
    this.pause();
    // The slider counts the epochs that the page has: 0, before the first step, and all of a history's unless it is long.
    this.last = run.shown.length - 1;
    this.epochs = run.shown[this.last];
    $("replay").hidden = !this.epochs;
    $("epoch").max = this.last;
    $("epoch").value = this.last;
    $("thinned").textContent =
      this.last < this.epochs
        ? `This run has ${this.epochs.toLocaleString("en")} epochs. The page has ${this.last} of them, spread evenly, ` +
          "with those that have a picture and those in which a verdict is first reached."
        : "";
    this.images = run.samples.map(({ jpeg }) => make("img", { src: `data:image/jpeg;base64,${jpeg}` }));
    const first = run.samples[0];
    if (first) {
      const [height, width] = run.shape;
      Object.assign($("samples"), { width: first.columns * (width + 1) - 1, height: first.rows * (height + 1) - 1 });
    }
    $("samples").hidden = $("grid-title").hidden = !first;
    this.drawCurves();
    this.drawTables();
  },

  show() {
    if (this.epochs) this.moved();
  },

  hide() {
    this.pause();
  },

  /** To the epoch at which the slider is. */
  moved() {
    const index = Number($("epoch").value);
    const epoch = run.shown[index];
    $("epoch-value").textContent = `${epoch} of ${this.epochs}`;
    $("epoch").setAttribute("aria-valuetext", `epoch ${epoch} of ${this.epochs}`);
    this.showSample(epoch);
    $("health").textContent = this.health(index);
    for (const { cursor, values } of this.curves) {
      cursor.setAttribute("x1", epoch);
      cursor.setAttribute("x2", epoch);
      for (const { output, column } of values) {
        const value = run.history[column][index - 1];
        output.textContent = value === undefined || value === null ? "–" : String(Number(value.toPrecision(3)));
      }
    }
  },

  /** The last stored grid up to this epoch. */
  async showSample(epoch) {
    const index = run.samples.findLastIndex((sample) => sample.epoch <= epoch);
    if (index < 0) return;
    const sample = run.samples[index];
    const when = sample.epoch ? `after epoch ${sample.epoch}` : "before the first step";
    $("grid-title").textContent = `What it drew ${when}`;
    const image = this.images[index];
    await image.decode();
    const [height, width] = run.shape;
    const context = $("samples").getContext("2d");
    for (let row = 0; row < sample.rows; row++) {
      for (let column = 0; column < sample.columns; column++) {
        const [x, y] = [column * width, row * height];
        context.drawImage(image, x, y, width, height, x + column, y + row, width, height);
      }
    }
  },

  health(index) {
    const found = run.verdicts[index].map((number) => run.sentences[number]);
    const capital = (text) => text[0].toUpperCase() + text.slice(1);
    if (found.length) return found.map(capital).join(" ");
    if (run.shown[index] < 3) return "Too early to say: a verdict rests on three epochs.";
    const columns = ["accuracy_real", "accuracy_fake", "spread"];
    const [real, fake, spread] = columns.map((name) => run.history[name][index - 1]);
    const percent = (share) => `${Math.round(100 * share)}%`;
    const right = `The discriminator is right about ${percent(real)} of real images and ${percent(fake)} of fakes`;
    return `All well. ${right}; two fakes are ${spread.toFixed(2)} times as far apart as two real images.`;
  },

  /* ---- Curves ---- */

  drawCurves() {
    this.curves = [];
    const figures = Object.entries(run.panels).map(([title, names]) => {
      const columns = names.filter((name) => name in run.history);
      return columns.length && this.epochs ? this.drawPanel(title, columns) : null;
    });
    $("curves").replaceChildren(...figures.filter(Boolean));
  },

  drawPanel(title, columns) {
    const scaled = (value) => (title === LOGARITHMIC ? Math.log10(Math.max(value, 1e-9)) : value);
    // Each healthy range once, though several columns share it.
    const ranges = columns.filter((name) => name in run.healthy).map((name) => run.healthy[name]);
    const bands = new Map(ranges.map((range) => [String(range), range])).values();
    const levels = title === "loss" ? run.chance : title.startsWith("probability") ? [0.5] : [];
    const finite = columns.flatMap((name) => run.history[name]).filter((value) => value !== null);
    const all = [...finite, ...levels].map(scaled);
    const shares = /^(probability|accuracy)/.test(title);
    let [low, high] = shares || !all.length ? [0, 1] : [Math.min(...all), Math.max(...all)];
    if (high === low) [low, high] = [low - 1, high + 1];
    const y = (value) => 100 - (100 * (Math.min(high, Math.max(low, scaled(value))) - low)) / (high - low);
    const part = (name, attributes) => {
      const element = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      return element;
    };
    const svg = part("svg", { viewBox: `0 0 ${this.epochs} 100`, preserveAspectRatio: "none", role: "img" });
    svg.setAttribute("aria-label", `${title} over ${this.epochs} epochs`);
    for (const [from, to] of bands) {
      svg.append(part("rect", { class: "band", x: 0, width: this.epochs, y: y(to), height: Math.max(0, y(from) - y(to)) }));
    }
    svg.append(part("line", { class: "base", x1: 0, x2: this.epochs, y1: 100, y2: 100 }));
    for (const level of levels) {
      svg.append(part("line", { class: "chance", x1: 0, x2: this.epochs, y1: y(level), y2: y(level) }));
    }
    columns.forEach((name, i) => {
      const points = run.history[name].map((value, row) => (value === null ? "" : `${run.shown[row + 1]},${y(value)}`));
      svg.append(part("polyline", { class: `line c${i}`, points: points.join(" ") }));
    });
    const cursor = part("line", { class: "now", x1: 0, x2: 0, y1: 0, y2: 100 });
    svg.append(cursor);
    const values = columns.map((column) => ({ column, output: make("output") }));
    const keys = values.map(({ column, output }, i) => {
      const key = part("svg", { viewBox: "0 0 18 8", "aria-hidden": "true" });
      key.append(part("line", { class: `line c${i}`, x1: 0, x2: 18, y1: 4, y2: 4 }));
      return make("span", {}, key, COLUMNS[column] ?? column, output);
    });
    this.curves.push({ cursor, values });
    const help = make("span", { className: "help", textContent: HELP[title] ?? "" });
    const limit = (value) => String(Number((title === LOGARITHMIC ? 10 ** value : value).toPrecision(3)));
    const limits = [high, low].map((value) => make("span", { textContent: limit(value) }));
    const axis = make("div", { className: "axis", "aria-hidden": "true" }, ...limits);
    const chart = make("div", { className: "chart" }, svg, axis);
    chart.onpointerdown = chart.onpointermove = (event) => {
      if (!event.buttons) return;
      const box = svg.getBoundingClientRect();
      const epoch = ((event.clientX - box.left) / box.width) * this.epochs;
      const distances = run.shown.map((other) => Math.abs(other - epoch));
      $("epoch").value = distances.indexOf(Math.min(...distances));
      this.pause();
      this.moved();
    };
    return make("figure", {}, make("figcaption", {}, make("b", { textContent: title }), help, ...keys), chart);
  },

  /* ---- Replay ---- */

  play() {
    if (this.timer) return this.pause();
    if (Number($("epoch").value) === this.last) $("epoch").value = 0;
    this.moved();
    $("play").textContent = "Pause";
    this.timer = setInterval(() => {
      $("epoch").value = Number($("epoch").value) + 1;
      this.moved();
      if (Number($("epoch").value) === this.last) this.pause();
    }, Math.max(150, (1000 * SECONDS) / this.last));
  },

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    $("play").textContent = "Play";
  },

  /* ---- Tables ---- */

  drawTables() {
    const cell = (text, tag, properties) => make(tag, { textContent: text, ...properties });
    const row = ([first, ...rest], properties = {}) =>
      make("tr", properties, cell(first, "th", { scope: "row" }), ...rest.map((text) => cell(text, "td")));
    const head = (cells) => make("thead", {}, make("tr", {}, ...cells.map((text) => cell(text, "th", { scope: "col" }))));
    const table = (caption, titles, rows) => {
      const body = make("tbody", {}, ...rows);
      return make("div", { className: "scroll" }, make("table", {}, cell(caption, "caption"), head(titles), body));
    };
    if (run.measures) {
      const { about, rows, labels } = run.measures;
      const minus = (cells) => cells.map((text) => text.replace(/^-(?=\d)/, "−"));
      const floor = "The floor is what new real images get: a perfect generator reaches it.";
      const body = rows.map((cells) => row(minus(cells)));
      const tables = [table(`${about} ${floor}`, ["measure", "fakes", "floor", "good"], body)];
      if (labels.length) {
        const titles = ["label", "drawn as asked / real", "Frechet distance / floor", "coverage / floor"];
        tables.push(table("Each label by itself.", titles, labels.map((cells) => row(cells))));
      }
      $("measures").replaceChildren(...tables);
    } else {
      const command = make("code", { textContent: "python -m gan_tf.evaluate RUN" });
      const how = ", and then this page again, puts its measures and their floors here.";
      const text = make("p", { className: "help" }, "Nobody has measured this run yet. ", command, how);
      $("measures").replaceChildren(text);
    }
    const groups = [...new Set(run.config.map(({ group }) => group))];
    const bodies = groups.map((group) => {
      const options = run.config.filter((entry) => entry.group === group);
      const rows = options.map(({ option, value, changed }) => row([option, value || "–"], { className: changed ? "changed" : "" }));
      return make("tbody", {}, make("tr", {}, make("th", { textContent: group, colSpan: 2, scope: "rowgroup" })), ...rows);
    });
    $("config").replaceChildren(head(["option", "value"]), ...bodies);
  },

  begin() {
    $("epoch").oninput = () => {
      this.pause();
      this.moved();
    };
    $("play").onclick = () => this.play();
  },
};
