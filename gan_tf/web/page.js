/* What all tabs share: the runs, the worker, fakes and how to show and save them. */

const $ = (id) => document.getElementById(id);
const RUNS = JSON.parse($("runs").textContent);
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
let run = RUNS[0];

/** A new element. Whatever comes from a run goes in as text, never as HTML. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "role") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/* ---- The worker ---- */

const machine = (() => {
  const source = new Blob([$("shared").textContent, "\n", $("worker").textContent], { type: "text/javascript" });
  const worker = new Worker(URL.createObjectURL(source));
  const waiting = new Map(); // channel -> { id, answer }
  let id = 0;
  RUNS.forEach(({ generator, discriminator }, index) => {
    worker.postMessage({ task: "load", run: index, generator, discriminator });
  });
  worker.onmessage = ({ data }) => {
    const asked = waiting.get(data.channel);
    if (asked?.id !== data.id) return;
    if (data.done) waiting.delete(data.channel);
    asked.answer(data);
  };
  worker.onerror = (event) => {
    $("speed").textContent = `The networks stopped (${event.message}). Reload the page, or open it in a newer browser. `;
  };
  return {
    /** Ask for a task of worker.js. It replaces the one before on the same channel; `answer` gets each part of what it
     * says. */
    ask(channel, task, details, answer) {
      waiting.set(channel, { id: ++id, answer });
      worker.postMessage({ channel, task, id, run: RUNS.indexOf(run), ...details });
    },
    /** Whether something that was asked for is still to come. */
    get busy() {
      return waiting.size > 0;
    },
    /** Stop what goes on. */
    forget(channel) {
      if (waiting.delete(channel)) worker.postMessage({ channel, task: "stop" });
    },
    forgetAll() {
      [...waiting.keys()].forEach((channel) => this.forget(channel));
    },
  };
})();

/* ---- Fakes ---- */

/* A fake is { latent, mixture, title }: its latent numbers, and how much of each label (empty without labels). */

const only = (label) => run.labels.map((_, i) => Number(i === label));
const inputOf = (fake) => withLabels(fake.latent, fake.mixture);

/** The first fakes of a seed, as `python -m gan_tf.generate --seed` draws them: of one label, or of any if it is null. */
function seededFakes(seed, count, label = null) {
  const labels = run.labels.length && label === null ? seededLabels(seed, count, run.shares) : Array(count).fill(label);
  return seededLatents(seed, count, run.latents).map((latent, i) => {
    const name = run.labels.length ? `, ${run.labels[labels[i]]}` : "";
    return { latent, mixture: only(labels[i]), title: `Fake ${i + 1} of seed ${seed}${name}` };
  });
}

/** Draw fakes on canvases, one by one as they are ready. */
function drawFakes(channel, fakes, canvases, { urgent = false, done = () => {} } = {}) {
  machine.ask(channel, "draw", { inputs: fakes.map(inputOf), urgent }, (part) => {
    if (part.done) return done();
    paint(canvases[part.index], part.pixels);
    measureSpeed(part.milliseconds);
  });
}

const times = [];
/** The median time of the last pictures, under the page. */
function measureSpeed(milliseconds) {
  times.push(milliseconds);
  if (times.length > 60) times.shift();
  if (times.length % 20) return;
  const median = [...times].sort((a, b) => a - b)[times.length >> 1];
  const text = median < 10 ? median.toFixed(1) : Math.round(median);
  $("speed").textContent = `One picture takes this device ${text} milliseconds. `;
}

/* ---- Pictures ---- */

/** The run's longer side in pixels. */
const longerSide = () => Math.max(run.shape[0], run.shape[1]);

/** Grey levels (height * width * channels) of the run's pictures as ImageData. A fourth channel is the opacity. */
function imageData(pixels) {
  const [height, width, channels] = run.shape;
  const data = new ImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) data.data[4 * i + c] = pixels[i * channels + (channels === 1 ? 0 : c)];
    data.data[4 * i + 3] = channels === 4 ? pixels[i * channels + 3] : 255;
  }
  return data;
}

/** Show grey levels on a canvas, which gets as many pixels. */
function paint(canvas, pixels) {
  const [height, width] = run.shape;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(imageData(pixels), 0, 0);
}

/** An empty canvas of the run's size. */
const blank = () => make("canvas", { width: run.shape[1], height: run.shape[0] });

/** Let the reader keep a file. */
function save(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** Below 64 pixels, you see each pixel that the network made. Larger pictures are shown smoothed. */
const isSmooth = () => longerSide() >= 64;

/** Save a canvas as a PNG, each of its pixels `scale` times as wide and high. */
function savePng(name, canvas, scale = 1) {
  const large = make("canvas", { width: canvas.width * scale, height: canvas.height * scale });
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = isSmooth();
  context.drawImage(canvas, 0, 0, large.width, large.height);
  large.toBlob((blob) => save(name, blob));
}

/** By how much to enlarge one picture of the run, so that it is seen well outside of this page. */
const enlargement = () => Math.max(1, Math.round(512 / longerSide()));

/** A name for a file, without what file systems dislike. */
const fileName = (...parts) => `${[run.name, ...parts].join("-").replace(/[^\p{L}\p{N}._-]+/gu, "-")}`;

/* ---- Controls ---- */

/** Run something at most once a frame, however often it is asked for. */
function oncePerFrame(action) {
  let waiting = false;
  return () => {
    if (!waiting) requestAnimationFrame(() => ((waiting = false), action()));
    waiting = true;
  };
}

/** Arrow keys move between the elements of a group, of which only one is reached by the tab key. `columns()` says how
 * many stand in a row. */
function roving(group, columns = () => 1) {
  const elements = () => [...group.children];
  group.onkeydown = (event) => {
    const all = elements();
    const here = all.indexOf(document.activeElement);
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -here, End: all.length - 1 - here };
    const there = here + steps[event.key];
    if (here < 0 || !(event.key in steps)) return;
    event.preventDefault();
    all[there]?.focus();
  };
  group.onfocusin = (event) => {
    const chosen = elements().find((element) => element.contains(event.target));
    elements().forEach((element) => (element.tabIndex = element === chosen ? 0 : -1));
  };
  elements().forEach((element, i) => (element.tabIndex = i ? -1 : 0));
}

/** How many columns a CSS grid has now. */
const columnsOf = (grid) => getComputedStyle(grid).gridTemplateColumns.split(" ").length;

/** A button that shows a fake. */
const tile = (title, properties = {}) => make("button", { className: "tile", "aria-label": title, title, ...properties }, blank());

/** Fill a select with texts; the values are their numbers. */
function fillSelect(select, texts, first) {
  const options = texts.map((text, i) => make("option", { value: i, textContent: text }));
  select.replaceChildren(...(first ? [make("option", { value: "", textContent: first })] : []), ...options);
}

/** The number that a select has chosen, or null for its first, empty choice. */
const chosen = (select) => (select.value === "" ? null : Number(select.value));
