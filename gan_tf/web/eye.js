/* The tab The discriminator's eye: how real a picture looks to it, why, and which fake is closest. */

const FINE = 8; // The paper has so many dots along each pixel of a picture, so that strokes get soft edges.
const MOST_BYTES = 20e6;
const MOST_PIXELS = 8000; // of a side
const MOST_LABELS = 26; // that the search for the closest fake tries; otherwise only the one that is judged
const thousands = (number) => number.toLocaleString("en");

const Eye = {
  available: () => run.discriminator !== null,

  open() {
    const [height, width] = run.shape;
    this.seed = 0;
    this.label = 0; // whose judge is asked
    this.light = null; // the grey level of an empty paper
    this.found = null;
    Object.assign($("paper"), { width: width * FINE, height: height * FINE });
    Object.assign($("gradient"), { width, height });
    Object.assign($("closest"), { width, height });
    $("probability-field").hidden = !run.threshold;
    $("logit-help").textContent = run.threshold ? "above 0 means real" : "higher means more real";
    $("eye-note").textContent =
      (run.batch ? "It was trained to compare the pictures of a batch, but sees one alone here, and counts that against it. " : "") +
      (run.threshold
        ? "It learned to tell real pictures from its generator’s fakes, nothing else. A doodle may fool it."
        : "This run’s loss compares pictures with each other: there is no probability, and only differences between logits count.");
    $("judge-field").hidden = !run.labels.length;
    const judges = run.labels.map((label, i) => make("button", { textContent: label, onclick: () => this.judgeAs(i) }));
    $("judge-labels").replaceChildren(...judges);
    this.penDown = false;
    this.placePen({ x: width / 2, y: height / 2 });
  },

  show() {
    if (this.light !== null) return this.judge();
    // An empty paper looks like the edges of what the generator draws: black for handwriting, white for others.
    machine.ask("edges", "draw", { inputs: seededFakes(0, 8).map(inputOf) }, ({ pixels, done }) => {
      const [height, width] = run.shape;
      this.edges ??= [];
      if (!done) {
        for (let x = 0; x < width; x++) this.edges.push(pixels[x], pixels[(height - 1) * width + x]);
        return;
      }
      this.light = this.edges.reduce((sum, value) => sum + value, 0) / this.edges.length > 127 ? 255 : 0;
      this.edges = null;
      this.clear();
      this.takeFake();
    });
  },

  /* ---- The paper ---- */

  clear() {
    const context = this.pencil;
    context.fillStyle = this.light ? "#fff" : "#000";
    context.fillRect(0, 0, $("paper").width, $("paper").height);
    this.changed();
  },

  /** A stroke between two points, in pixels of the picture. */
  stroke(from, to) {
    const context = this.pencil;
    Object.assign(context, { lineCap: "round", lineWidth: ($("brush").value / 10) * FINE });
    context.strokeStyle = this.light ? "#000" : "#fff";
    context.beginPath();
    context.moveTo(from.x * FINE, from.y * FINE);
    context.lineTo(to.x * FINE + 0.01, to.y * FINE); // A point is a very short line.
    context.stroke();
    this.changed();
  },

  /** What the discriminator sees: the mean of each pixel's dots, as numbers in [-1, 1]. */
  picture() {
    const [height, width] = run.shape;
    const { data } = this.pencil.getImageData(0, 0, width * FINE, height * FINE);
    const sums = new Float64Array(height * width);
    for (let y = 0; y < height * FINE; y++) {
      for (let x = 0; x < width * FINE; x++) {
        const i = 4 * (y * width * FINE + x);
        const grey = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
        sums[Math.floor(y / FINE) * width + Math.floor(x / FINE)] += grey;
      }
    }
    return sums.map((sum) => Math.round(sum / FINE ** 2) / 127.5 - 1);
  },

  /** Put an image or canvas on the paper: its middle, in the paper's proportions. */
  put(image, { smooth }) {
    const { width, height } = $("paper");
    const scale = Math.min(image.width / width, image.height / height);
    const [x, y] = [(image.width - scale * width) / 2, (image.height - scale * height) / 2];
    const context = this.pencil;
    Object.assign(context, { imageSmoothingEnabled: smooth, imageSmoothingQuality: "high" });
    context.drawImage(image, x, y, scale * width, scale * height, 0, 0, width, height);
    this.changed();
  },

  takeFake() {
    const canvas = blank();
    const [fake] = seededFakes(this.seed++, 1);
    const done = () => {
      this.label = Math.max(0, fake.mixture.indexOf(1));
      this.put(canvas, { smooth: false });
    };
    drawFakes("taken", [fake], [canvas], { done });
  },

  invert() {
    const context = this.pencil;
    context.globalCompositeOperation = "difference";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, $("paper").width, $("paper").height);
    context.globalCompositeOperation = "source-over";
    this.changed();
  },

  placePen(point) {
    const [height, width] = run.shape;
    this.pen = { x: Math.min(width, Math.max(0, point.x)), y: Math.min(height, Math.max(0, point.y)) };
    $("pen").style.left = `${(100 * this.pen.x) / width}%`;
    $("pen").style.top = `${(100 * this.pen.y) / height}%`;
    $("pen").classList.toggle("down", this.penDown);
  },

  /* ---- Pictures of the reader's own ---- */

  async openFile(file) {
    const error = await this.tryFile(file);
    $("file-error").textContent = error ?? "";
  },

  /** Put a file on the paper. Returns what is wrong with it, if anything is. */
  async tryFile(file) {
    const choose = "choose a PNG, JPEG, GIF or WebP";
    const shrink = "make it smaller first";
    if (file.size > MOST_BYTES) {
      const size = `${Math.round(file.size / 1e6)} MB`;
      return `${file.name} has ${size}, and this page takes at most ${MOST_BYTES / 1e6}: ${shrink}.`;
    }
    const sides = pictureSize(new DataView(await file.arrayBuffer()));
    if (!sides) return `${file.name} is no picture that this page can read: ${choose}.`;
    if (Math.max(...sides) > MOST_PIXELS) {
      const size = `${sides.map(thousands).join(" × ")} pixels`;
      return `${file.name} is ${size}, and this page takes at most ${thousands(MOST_PIXELS)} on a side: ${shrink}.`;
    }
    try {
      const image = await createImageBitmap(file);
      this.put(image, { smooth: true });
      image.close();
    } catch {
      return `${file.name} is damaged, so it cannot be shown: ${choose}.`;
    }
  },

  /* ---- The verdict ---- */

  changed() {
    this.found = null;
    $("turn-closest").disabled = true;
    machine.forget("match");
    $("find-progress").value = 0;
    this.judgeSoon();
  },

  judgeSoon: oncePerFrame(() => Eye.judge()),

  judgeAs(label) {
    this.label = label;
    this.judge();
  },

  judge() {
    const { label } = this;
    machine.ask("eye", "judge", { picture: this.picture(), label, urgent: true }, ({ logits, gradient }) => {
      $("logit").textContent = logits[label].toFixed(2).replace("-", "−");
      $("probability").textContent = `${Math.round(100 / (1 + Math.exp(-logits[label])))}%`;
      [...$("judge-labels").children].forEach((button, i) => button.setAttribute("aria-pressed", i === label));
      this.showGradient(gradient);
    });
  },

  /** Blue where a brighter pixel would raise the logit, orange where a darker one would. */
  showGradient(gradient) {
    const [height, width] = run.shape;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
    const [well, real, fake] = ["--well", "--real", "--fake"].map(colour);
    const sizes = gradient.map(Math.abs).sort();
    const strong = sizes[Math.floor(0.99 * sizes.length)] || 1; // A single pixel must not pale all others.
    const data = new ImageData(width, height);
    gradient.forEach((value, i) => {
      const share = Math.min(1, Math.abs(value) / strong);
      const towards = value > 0 ? real : fake;
      for (let c = 0; c < 3; c++) data.data[4 * i + c] = well[c] + share * (towards[c] - well[c]);
      data.data[4 * i + 3] = 255;
    });
    $("gradient").getContext("2d").putImageData(data, 0, 0);
  },

  /* ---- The closest fake ---- */

  find() {
    const picture = this.picture();
    const tried = run.labels.length <= MOST_LABELS ? run.labels.map((_, i) => i) : [this.label];
    const mixtures = run.labels.length ? tried.map(only) : [[]];
    $("find-status").textContent = "Looking among random fakes.";
    machine.ask("match", "match", { picture, latents: run.latents, mixtures, seed: 4 }, (part) => {
      paint($("closest"), part.pixels);
      $("find-progress").value = part.share;
      const label = run.labels.length ? ` as ${run.labels[part.mixture.indexOf(1)]}` : "";
      const distance = `${Math.round(255 * part.error)} of 255 grey levels away`;
      $("find-status").textContent = part.done
        ? `The closest that was found${label}: ${distance} (root mean square).`
        : `Following the gradient${label}: ${distance}.`;
      if (part.done) {
        this.found = { latent: part.latent, mixture: part.mixture, title: "The closest fake" };
        $("turn-closest").disabled = false;
      }
    });
  },

  begin() {
    const paper = $("paper");
    this.pencil = paper.getContext("2d", { willReadFrequently: true });
    const pointOf = (event) => {
      const box = paper.getBoundingClientRect();
      return { x: ((event.clientX - box.left) / box.width) * run.shape[1], y: ((event.clientY - box.top) / box.height) * run.shape[0] };
    };
    paper.onpointerdown = (event) => {
      paper.setPointerCapture(event.pointerId);
      const point = pointOf(event);
      this.placePen(point);
      this.stroke(point, point);
    };
    paper.onpointermove = (event) => {
      if (!event.buttons) return;
      const point = pointOf(event);
      this.stroke(this.pen, point);
      this.placePen(point);
    };
    paper.onkeydown = (event) => {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key !== " " && !(event.key in steps)) return;
      event.preventDefault();
      if (event.key === " ") this.penDown = !this.penDown;
      const [dx, dy] = steps[event.key] ?? [0, 0];
      const from = this.pen;
      this.placePen({ x: from.x + dx, y: from.y + dy });
      if (this.penDown) this.stroke(from, this.pen);
    };
    $("clear").onclick = () => this.clear();
    $("take-fake").onclick = () => this.takeFake();
    $("invert").onclick = () => this.invert();
    const showBrush = () => ($("brush-value").textContent = `${($("brush").value / 10).toFixed(1)} pixels`);
    $("brush").oninput = showBrush;
    showBrush();
    $("choose-file").onclick = () => $("file").click();
    $("file").onchange = () => {
      if ($("file").files[0]) this.openFile($("file").files[0]);
      $("file").value = "";
    };
    // A file dropped anywhere must not replace this page.
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      paper.classList.toggle("over", !$("eye").hidden);
    });
    document.addEventListener("dragleave", () => paper.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      paper.classList.remove("over");
      if (!$("eye").hidden && event.dataTransfer.files[0]) this.openFile(event.dataTransfer.files[0]);
    });
    $("find").onclick = () => this.find();
    $("turn-closest").onclick = () => {
      Directions.take(this.found);
      openTab("directions");
    };
  },
};

/** The width and height that a picture's first bytes state, without decoding it: a small file can hold a picture that
 * fills the memory. Null for anything but a PNG, GIF, JPEG or WebP. */
function pictureSize(view) {
  const text = (at, count) => String.fromCharCode(...Array.from({ length: count }, (_, i) => view.getUint8(at + i)));
  try {
    if (text(1, 3) === "PNG") return [view.getUint32(16), view.getUint32(20)];
    if (text(0, 4) === "GIF8") return [view.getUint16(6, true), view.getUint16(8, true)];
    if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") return webpSize(view, text(12, 4));
    if (view.getUint16(0) !== 0xffd8) return null;
    for (let at = 2; ; at += 2 + view.getUint16(at + 2)) {
      const marker = view.getUint8(at + 1);
      if (view.getUint8(at) !== 0xff) return null;
      // A frame's header; three markers among these are tables.
      if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
        return [view.getUint16(at + 7), view.getUint16(at + 5)];
      }
    }
  } catch {
    return null; // The file ends too early.
  }
}

function webpSize(view, kind) {
  const three = (at) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
  if (kind === "VP8X") return [1 + three(24), 1 + three(27)];
  if (kind === "VP8 ") return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
  const bits = view.getUint32(21, true);
  return [1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff)];
}
