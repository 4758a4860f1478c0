/* The page: its state, its controls, and the loop that trains and draws. */

const $ = (id) => document.getElementById(id);
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

let { settings, drawn } = fromAddress(location.hash);
let gan, histories, shown, fields, failure;
let playing = false;
let speed = "1";
let staged = null; // in slow motion: the stage on show, when it began, and what the picture needs of it
let frames = 0;
let rhythm = { time: 0, interval: 1000 / 60 }; // when the last frame was, and the usual time between two of them, in ms

const sampleReals = (count, random) => DATA[settings.data](count, random, drawn);
const saveAddress = () => history.replaceState(null, "", `#${toAddress(settings, drawn)}`);
const hasData = () => settings.data !== "drawn" || drawn.length > 0;

/* ---- State ---- */

/** New networks from the seed, and what is needed to show them. */
function restart() {
  gan = new Gan(settings);
  histories = { d: new History(), g: new History() };
  fields = {};
  showNoStage();
  sampleShown();
  measure();
  draw();
}

/** The points on show. They stay the same from frame to frame, so that you can follow one. */
function sampleShown() {
  const asDrawn = () => new Matrix(drawn.length, 2, Float64Array.from(drawn.flat()));
  shown = {
    reals: settings.data === "drawn" ? asDrawn() : sampleReals(400, new Random(1e6 + settings.seed)),
    latents: new Random(2e6 + settings.seed).normals(300, settings.latent),
  };
}

/** Change settings. Networks of another shape and other data need a new start; the rest takes effect at once. */
function change(given, { fresh = false } = {}) {
  const before = settings;
  settings = { ...settings, ...given };
  gan.settings = settings;
  saveAddress();
  showSettings();
  if (fresh || ["width", "latent", "data", "seed"].some((name) => before[name] !== settings[name])) restart();
  else if (before.loss !== settings.loss) histories = { d: new History(), g: new History() };
}

function play(on) {
  if (on && !hasData()) {
    say("Draw some points first: there is nothing to learn yet.");
    on = false;
  }
  playing = on;
  if (on && speed !== "slow") leaveStages();
  $("play").textContent = on ? "Pause" : "Play";
}

/* ---- Slow motion ---- */

const STORIES = {
  latents: [
    "1 of 5 · Draw latents.",
    "The game draws 64 random vectors for the generator and 64 real points. Nothing has been made yet.",
  ],
  generate: [
    "2 of 5 · Generate.",
    "The generator turns each latent vector into a point in the plane. These are the fakes.",
  ],
  judge: [
    "3 of 5 · Judge.",
    "The discriminator says how real each point looks. The larger a point, the more it counts as real.",
  ],
  learnD: [
    "4 of 5 · Gradient to the discriminator.",
    "It learns from its mistakes: the larger a point, the more it was misjudged. One step changes the colours only a little.",
  ],
  learnG: [
    "5 of 5 · Gradient to the generator.",
    "Each arrow shows where its fake would look more real. They all move at once and share the generator’s weights, so not each goes where its arrow points.",
  ],
};

function nextStage() {
  const before = gan.next === "learnD" ? judgedField(gan) : null;
  const stage = gan.stage(sampleReals);
  const { now } = gan;
  staged = { stage, began: performance.now(), before };
  if (stage === "learnG") {
    staged.pulls = gan.arrows(now.fakes, now.reals);
    staged.moved = gan.generator.forward(now.latents);
    record();
  }
  if (stage === "learnD") staged.after = judgedField(gan);
  const [title, text] = STORIES[stage];
  const caption = $("caption");
  caption.replaceChildren(Object.assign(document.createElement("b"), { textContent: title }), ` ${text}`);
  $("diagram").classList.add("staged");
  diagram.light(stage);
}

/** Back to normal speed: finish the step that slow motion began. */
function leaveStages() {
  if (gan.next !== "latents") {
    gan.step(sampleReals);
    record();
  }
  showNoStage();
}

function showNoStage() {
  staged = null;
  $("diagram").classList.remove("staged");
  diagram.light("");
  say("");
}

const REST = "Press “Next stage” to see what happens within one step of the game.";
const say = (text) => ($("caption").textContent = text || REST);

/* ---- The loop ---- */

function record() {
  histories.d.push(gan.now.dLoss);
  histories.g.push(gan.now.gLoss);
  if (!Number.isFinite(gan.largestWeight())) {
    play(false);
    say("The weights grew until they were no longer numbers. The game is over: start again, or cure it.");
  }
}

/** How many frames share one drawing of what is slow to draw: `few` at 60 frames a second, more on a slow machine. */
const shareOf = (few) => Math.max(few, Math.round((few * rhythm.interval) / (1000 / 60)));

function frame(time) {
  requestAnimationFrame(frame);
  frames++;
  // A tab in the background has no frames: what it missed is no sign of a slow machine.
  const interval = Math.min(100, time - rhythm.time);
  rhythm = { time, interval: rhythm.interval + 0.05 * (interval - rhythm.interval) };
  if (playing && speed === "slow") {
    if (!staged || time - staged.began > 2600) nextStage();
  } else if (playing) {
    // As many steps as fit into half a frame: on a slow machine the game is slower, but the page stays smooth.
    const until = performance.now() + 8;
    for (let i = 0; i < Number(speed) && playing && (i === 0 || performance.now() < until); i++) {
      gan.step(sampleReals);
      record();
    }
  }
  const moving = staged && time - staged.began < 1200;
  if (playing || moving) draw(time);
  if (playing && frames % 20 === 0) measure();
}

/** Two decimals, and no minus before 0.00. */
const LOSS_FORMAT = new Intl.NumberFormat("en", {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
  signDisplay: "negative",
});

/** Two digits, and no powers of ten. */
function short(x) {
  if (x === undefined) return "–";
  if (x < 0.0001) return "< 0.0001";
  return x < 100 ? x.toPrecision(2) : Math.round(x).toLocaleString("en");
}

/** The numbers beside the plane. They change a few times a second: faster, nobody could read them. */
function measure() {
  const percent = (x) => (Number.isFinite(x) ? `${Math.round(100 * x)}%` : "–");
  const fakes = gan.generator.forward(shown.latents);
  const { covered, onData } = compare(shown.reals, fakes);
  $("covered").textContent = percent(covered);
  $("onData").textContent = percent(onData);
  $("pull").textContent = short(gan.now.gGradient);
  $("steps").textContent = gan.steps.toLocaleString("en");
  const chance = chanceLosses(settings.loss);
  for (const player of ["d", "g"]) {
    const loss = gan.now[`${player}Loss`];
    const now = loss === undefined ? "–" : LOSS_FORMAT.format(loss);
    $(`${player}-loss`).textContent = `${now} · chance ${chance[player].toFixed(2)}`;
  }
  if (settings.data !== "drawn") {
    $("plane").setAttribute(
      "aria-label",
      `The plane after ${gan.steps} steps: the fakes cover ${percent(covered)} of the data, and ${percent(onData)} of them lie on it.`,
    );
  }
}

function draw(time = performance.now()) {
  const { context, width: size } = fit($("plane"));
  const fakes = gan.generator.forward(shown.latents);
  // The fields take most of a frame's time and change slowly: while the game runs, each has frames of its own.
  if (!playing || frames % shareOf(2) === 0 || !fields.judged) fields.judged = judgedField(gan);
  if (!playing || frames % shareOf(4) === 1 || !fields.optimal) fields.optimal = optimalField(shown.reals, fakes);
  const { optimal } = fields;
  let field = fields.judged;
  // How far the stage on show has moved, from 0 to 1, slow at both ends.
  const linear = staged && !reducedMotion.matches ? Math.min(1, Math.max(0, (time - staged.began) / 1100)) : 1;
  const share = linear * linear * (3 - 2 * linear);
  if (staged?.before) field = staged.before.map((x, i) => x + (staged.after[i] - x) * share);
  drawField(context, size, $("show-optimal").checked ? optimal : field);
  if (staged) drawStage(context, size, share);
  else {
    drawPoints(context, size, shown.reals, colours.real, 3, 0.75);
    drawPoints(context, size, fakes, colours.fake, 3.5);
    if (gan.now.reals) {
      const first = new Matrix(BATCH, 2, fakes.data.subarray(0, 2 * BATCH));
      drawArrows(context, size, first, gan.arrows(first, gan.now.reals), 0.8);
    }
  }
  if (settings.data === "drawn") drawPen(context, size);
  if (playing && frames % shareOf(4)) return;
  const chance = chanceLosses(settings.loss);
  drawChart($("d-chart"), histories.d, chance.d, colours.ink);
  drawChart($("g-chart"), histories.g, chance.g, colours.fake);
  const mini = fit($("optimal"));
  drawField(mini.context, mini.width, optimal);
  diagram.show(gan);
}

/** The points of this step alone, and what this stage does to them. */
function drawStage(context, size, share) {
  const { stage, pulls, moved } = staged;
  const { latents, reals, fakes, realLogits, fakeLogits } = gan.now;
  const between = (from, to, t) =>
    new Matrix(
      BATCH,
      2,
      from.map((x, i) => x + (to[i] - x) * t),
    );
  // The latents' first two dimensions, made small enough to fit into the plane.
  const flat = Float64Array.from({ length: 2 * BATCH }, (_, i) =>
    i % 2 < latents.cols ? latents.data[(i >> 1) * latents.cols + (i % 2)] / 3 : 0,
  );
  if (stage === "latents") {
    drawPoints(context, size, reals, colours.real, 4, share);
    drawPoints(context, size, new Matrix(BATCH, 2, flat), colours.quiet, 4, share);
    return;
  }
  if (stage === "generate") {
    drawPoints(context, size, reals, colours.real, 4);
    drawPoints(context, size, between(flat, fakes.data, share), colours.fake, 4);
    return;
  }
  const zero = threshold(gan);
  // Judged: the larger, the more real a point counts as. Learning: the larger, the more it was misjudged.
  const radii = (logits, sign) => {
    if (stage === "learnG") return null;
    return Array.from(logits.data, (t) => 4 + share * (7 / (1 + Math.exp(sign * (zero - t))) - 2));
  };
  drawPoints(context, size, reals, colours.real, 4, 1, radii(realLogits, stage === "judge" ? 1 : -1));
  if (stage !== "learnG") drawPoints(context, size, fakes, colours.fake, 4, 1, radii(fakeLogits, 1));
  else {
    drawPoints(context, size, fakes, colours.fake, 4, 0.35);
    drawArrows(context, size, fakes, pulls);
    drawPoints(context, size, between(fakes.data, moved.data, share), colours.fake, 4);
  }
}

/* ---- Drawing your own data ---- */

const pen = { x: 0, y: 0, visible: false, random: new Random(5) };

function drawPen(context, size) {
  context.fillStyle = context.strokeStyle = colours.ink;
  if (!drawn.length) {
    context.font = "16px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillText("Draw here", size / 2, size / 2 - 12);
    context.font = "13px system-ui, sans-serif";
    context.fillText("with mouse or finger, or with arrow keys and Enter", size / 2, size / 2 + 12);
  }
  if (!pen.visible) return;
  const [x, y] = [toPixel(pen.x, size), size - toPixel(pen.y, size)];
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x - 9, y);
  context.lineTo(x + 9, y);
  context.moveTo(x, y - 9);
  context.lineTo(x, y + 9);
  context.stroke();
}

/** Points around the pen, on the lattice that the address can name. */
function drop(count) {
  for (let i = 0; i < count && drawn.length < MOST_POINTS; i++) {
    const near = (x) => fromDigit(toDigit(x + 0.06 * pen.random.normal()));
    drawn.push([near(pen.x), near(pen.y)]);
  }
  drawingChanged();
}

function drawingChanged() {
  $("clear").disabled = settings.data !== "drawn" || !drawn.length;
  if (!drawn.length) play(false);
  sampleShown();
  measure();
  draw();
  $("plane").setAttribute(
    "aria-label",
    `Drawing area with ${drawn.length} points. Arrow keys move the pen, Enter drops points, Delete clears.`,
  );
}

function connectPlane() {
  const plane = $("plane");
  let down = false;
  const follow = (event) => {
    const { left, top, width, height } = plane.getBoundingClientRect();
    pen.x = ((event.clientX - left) / width) * 2 * EXTENT - EXTENT;
    pen.y = EXTENT - ((event.clientY - top) / height) * 2 * EXTENT;
  };
  plane.addEventListener("pointerdown", (event) => {
    if (settings.data !== "drawn") return;
    down = true;
    plane.setPointerCapture(event.pointerId);
    pen.visible = false;
    follow(event);
    drop(3);
  });
  plane.addEventListener("pointermove", (event) => {
    if (!down) return;
    follow(event);
    drop(2);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    plane.addEventListener(end, () => {
      if (down) saveAddress();
      down = false;
    });
  }
  plane.addEventListener("keydown", (event) => {
    if (settings.data !== "drawn") return;
    const step = event.shiftKey ? 0.3 : 0.06;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (move) {
      pen.visible = true;
      pen.x = Math.max(-EXTENT, Math.min(EXTENT, pen.x + move[0]));
      pen.y = Math.max(-EXTENT, Math.min(EXTENT, pen.y + move[1]));
      draw();
    } else if (event.key === "Enter" || event.key === " ") {
      drop(8);
      saveAddress();
    } else if (event.key === "Delete" || event.key === "Backspace") clearDrawing();
    else return;
    event.preventDefault();
  });
}

function clearDrawing() {
  drawn = [];
  saveAddress();
  drawingChanged();
  $("plane").focus();
}

/* ---- Controls ---- */

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const sliders = {};

function buildControls() {
  for (const [name, [label, help]] of Object.entries(DATA_NAMES)) {
    const input = make("input", { type: "radio", name: "data", value: name });
    input.setAttribute("aria-describedby", "data-help");
    input.addEventListener("change", () => change({ data: name }));
    $("data").append(
      make(
        "label",
        { title: help },
        input,
        make("canvas", { id: `data-${name}` }),
        make("span", { textContent: label }),
      ),
    );
    $(`data-${name}`).setAttribute("aria-hidden", "true");
  }
  for (const [name, [label]] of Object.entries(LOSS_NAMES))
    $("loss").append(make("option", { value: name, textContent: label }));
  $("loss").addEventListener("change", () => {
    // A loss brings the penalties that it needs.
    const loss = $("loss").value;
    change({ loss, ...neededPenalties(loss) });
  });
  for (const [name, { label, values, help }] of Object.entries(CONTROLS)) {
    const input = make("input", { type: "range", id: name, min: 0, max: values.length - 1, step: 1 });
    input.setAttribute("aria-describedby", `${name}-help`);
    const output = make("output");
    output.setAttribute("aria-hidden", "true"); // The slider says its value itself.
    input.addEventListener("input", () => change({ [name]: values[input.value] }));
    const root = make(
      "div",
      { className: "slider" },
      make("label", { htmlFor: name, textContent: label }),
      output,
      input,
      make("p", { className: "help", id: `${name}-help`, textContent: help }),
    );
    $("sliders").append(root);
    sliders[name] = { input, output, root };
  }
  for (const [name, { label }] of Object.entries(FAILURES)) {
    const button = make("button", { textContent: label, id: `break-${name}` });
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => breakIt(name));
    $("failures").append(button);
  }
  $("cure").addEventListener("click", cureIt);
  $("play").addEventListener("click", () => play(!playing));
  $("next").addEventListener("click", () => {
    play(false);
    if (!hasData()) return play(true); // Says what is missing.
    nextStage();
    measure();
    draw();
  });
  $("restart").addEventListener("click", () => change({}, { fresh: true }));
  $("clear").addEventListener("click", clearDrawing);
  $("reset").addEventListener("click", () => {
    tellNothing();
    change(settingsWith(), { fresh: true });
  });
  $("seed").addEventListener("change", () => {
    const seed = Number($("seed").value);
    if (Number.isInteger(seed) && seed >= 0 && seed <= 999999) change({ seed });
    else showSettings();
  });
  for (const radio of document.querySelectorAll("[name=speed]")) {
    radio.addEventListener("change", () => {
      speed = radio.value;
      if (speed !== "slow" && staged) leaveStages();
      draw();
    });
  }
  $("show-optimal").addEventListener("change", () => draw());
}

/** Every control shows what is set. */
function showSettings() {
  document.querySelector(`[name=data][value=${settings.data}]`).checked = true;
  $("data-help").textContent = DATA_NAMES[settings.data][1];
  $("loss").value = settings.loss;
  $("loss-help").textContent = LOSS_NAMES[settings.loss][1];
  $("seed").value = settings.seed;
  const usual = settingsWith({ loss: settings.loss });
  for (const [name, { input, output, root }] of Object.entries(sliders)) {
    input.value = CONTROLS[name].values.indexOf(settings[name]);
    output.textContent = String(settings[name]);
    input.setAttribute("aria-valuetext", String(settings[name]));
    root.classList.toggle("changed", settings[name] !== usual[name]);
  }
  const drawing = settings.data === "drawn";
  const plane = $("plane");
  plane.classList.toggle("drawing", drawing);
  // A drawing area takes keys; a picture does not.
  plane.setAttribute("role", drawing ? "application" : "img");
  if (drawing) {
    plane.tabIndex = 0;
    plane.setAttribute("aria-label", "Drawing area. Arrow keys move the pen, Enter drops points, Delete clears.");
  } else plane.removeAttribute("tabindex");
  $("clear").disabled = !drawing || !drawn.length;
  if (!hasData()) play(false);
}

function drawDataIcons() {
  for (const name of Object.keys(DATA)) {
    const { context, width } = fit($(`data-${name}`));
    context.clearRect(0, 0, width, width);
    if (name === "drawn") {
      context.strokeStyle = colours.real;
      context.lineWidth = 3;
      context.lineCap = "round";
      context.beginPath();
      context.moveTo(width * 0.25, width * 0.7);
      context.bezierCurveTo(width * 0.3, width * 0.1, width * 0.65, width * 0.95, width * 0.75, width * 0.3);
      context.stroke();
    } else drawPoints(context, width, DATA[name](90, new Random(3)), colours.real, 1.6);
  }
}

/* ---- Failures ---- */

const INTRO =
  "Each button sets what makes GANs fail in one way and starts again. Then cure it, and see what the cure changes.";

function tell(text, pressed) {
  $("story").textContent = text;
  for (const name of Object.keys(FAILURES)) $(`break-${name}`).setAttribute("aria-pressed", String(name === pressed));
}

function tellNothing() {
  failure = null;
  tell(INTRO, null);
  $("cure").disabled = true;
}

function breakIt(name) {
  failure = FAILURES[name];
  tell(failure.watch, name);
  $("cure").disabled = false;
  normalSpeed();
  change(settingsWith({ ...failure.causes, seed: settings.seed }), { fresh: true });
  play(!reducedMotion.matches);
}

function cureIt() {
  tell(failure.relief, null);
  $("cure").disabled = true;
  $("play").focus();
  normalSpeed();
  change(settingsWith({ ...failure.causes, ...failure.cure, seed: settings.seed }), { fresh: Boolean(failure.fresh) });
  play(!reducedMotion.matches);
}

function normalSpeed() {
  if (speed !== "slow") return;
  speed = "1";
  document.querySelector("[name=speed][value='1']").checked = true;
}

/* ---- Start ---- */

const diagram = new Diagram($("diagram"));

function start() {
  readColours();
  buildControls();
  connectPlane();
  showSettings();
  drawDataIcons();
  tellNothing();
  restart();
  const again = () => {
    readColours();
    drawDataIcons();
    draw();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("resize", again);
  addEventListener("hashchange", () => {
    ({ settings, drawn } = fromAddress(location.hash));
    tellNothing();
    showSettings();
    restart();
  });
  play(!reducedMotion.matches && hasData());
  requestAnimationFrame(frame);
}

start();
