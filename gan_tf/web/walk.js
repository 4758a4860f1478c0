/* The tab Walk: between two or four fakes. */

const LETTERS = ["A", "B", "C", "D"];
const CANDIDATES = 12;

const Walk = {
  stops: [],
  chosen: 0,
  seed: 0,
  position: { u: 0.5, v: 0.5 },
  playing: null,

  open() {
    this.pause();
    this.seed = 0;
    this.chosen = 0;
    this.position = { u: 0.5, v: 0.5 };
    this.stops = seededFakes(1, 4);
    const stops = LETTERS.map((letter, i) => {
      const stop = tile(`Stop ${letter}`, { role: "radio", onclick: () => this.choose(i) });
      stop.append(make("b", { textContent: letter }));
      return stop;
    });
    $("stops").replaceChildren(...stops);
    roving($("stops"));
    const candidates = Array.from({ length: CANDIDATES }, (_, i) => tile("", { onclick: () => this.replace(i) }));
    $("candidates").replaceChildren(...candidates);
    roving($("candidates"), () => columnsOf($("candidates")));
    for (const id of ["map-canvas", "walk-picture"]) Object.assign($(id), { width: run.shape[1], height: run.shape[0] });
    this.drawn = false;
  },

  show() {
    if (!this.drawn) {
      this.drawn = true;
      this.offer();
      this.choose(0);
      this.changed();
    } else this.changed();
  },

  hide() {
    this.pause();
  },

  count() {
    return Number(document.querySelector("[name=stops]:checked").value);
  },

  /** The stops that count: two at the ends of a line, or four at the corners of a square. */
  current() {
    return this.stops.slice(0, this.count());
  },

  /** New candidates for the stops. */
  offer() {
    this.candidates = seededFakes(this.seed, CANDIDATES);
    const tiles = [...$("candidates").children];
    tiles.forEach((element, i) => element.setAttribute("aria-label", `Put here: ${this.candidates[i].title}`));
    drawFakes("candidates", this.candidates, tiles.map((element) => element.firstChild));
  },

  choose(number) {
    this.chosen = number;
    [...$("stops").children].forEach((element, i) => element.setAttribute("aria-checked", i === number));
  },

  replace(candidate) {
    this.stops[this.chosen] = this.candidates[candidate];
    this.choose((this.chosen + 1) % this.count());
    this.changed();
  },

  /** Other stops: draw them, the map and the picture. */
  changed() {
    const stops = this.current();
    const line = stops.length === 2;
    $("down-field").hidden = line;
    $("map").classList.toggle("line", line);
    const tiles = [...$("stops").children];
    tiles.forEach((element, i) => {
      element.hidden = i >= stops.length;
      element.title = this.stops[i].title;
    });
    drawFakes("stops", stops, tiles.map((element) => element.firstChild));
    this.drawMap(stops, line);
    this.move(this.position);
  },

  /** The map: pictures of evenly spaced points between the stops. */
  drawMap(stops, line) {
    const [rows, columns] = line ? [1, 9] : [7, 7];
    const [height, width] = run.shape;
    const canvas = $("map-canvas");
    const same = canvas.width === columns * width && canvas.height === rows * height;
    if (!same) Object.assign(canvas, { width: columns * width, height: rows * height });
    const context = canvas.getContext("2d");
    const order = Array.from({ length: rows * columns }, (_, i) => i);
    const points = order.map((i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      return between(stops, column / (columns - 1), rows > 1 ? row / (rows - 1) : 0);
    });
    machine.ask("map", "draw", { inputs: points.map(inputOf) }, ({ index, pixels }) => {
      if (!pixels) return;
      context.putImageData(imageData(pixels), (index % columns) * width, Math.floor(index / columns) * height);
    });
  },

  /** Go to a point of the map, both coordinates from 0 to 1. Cells of the map are centred on their points. */
  move({ u, v }) {
    this.position = { u, v };
    const [rows, columns] = this.count() === 2 ? [1, 9] : [7, 7];
    const place = (share, cells) => `${(100 * (0.5 + share * (cells - 1))) / cells}%`;
    $("dot").style.left = place(u, columns);
    $("dot").style.top = place(v, rows);
    $("across").value = Math.round(100 * u);
    $("down").value = Math.round(100 * v);
    for (const [id, share] of [["across", u], ["down", v]]) $(`${id}-value`).textContent = `${Math.round(100 * share)}%`;
    this.drawPicture();
  },

  drawPicture: oncePerFrame(() => {
    const { u, v } = Walk.position;
    drawFakes("walk", [between(Walk.current(), u, v)], [$("walk-picture")], { urgent: true });
  }),

  /* ---- Animation ---- */

  /** The point at share t of the way along all stops and back to the first: along the line and back, or around the
   * square. It slows down at each stop. */
  along(t) {
    const corners = this.count() === 2 ? [[0, 0], [1, 0]] : [[0, 0], [1, 0], [1, 1], [0, 1]];
    const at = t * corners.length;
    const [from, to] = [corners[Math.floor(at) % corners.length], corners[(Math.floor(at) + 1) % corners.length]];
    const linear = at % 1;
    const share = linear * linear * (3 - 2 * linear);
    return { u: from[0] + (to[0] - from[0]) * share, v: from[1] + (to[1] - from[1]) * share };
  },

  animate() {
    if (this.playing) return this.pause();
    const began = performance.now();
    const seconds = 2 * this.count();
    const frame = (now) => {
      if (!this.playing) return;
      // The first frame's time may lie before the click.
      this.move(this.along((Math.max(0, now - began) / 1000 / seconds) % 1));
      this.playing = requestAnimationFrame(frame);
    };
    this.playing = requestAnimationFrame(frame);
    $("animate").textContent = "Pause";
  },

  pause() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    $("animate").textContent = "Animate";
  },

  /** The fakes of a whole round, `perLeg` between one stop and the next. */
  round(perLeg) {
    const frames = perLeg * this.count();
    return Array.from({ length: frames }, (_, i) => {
      const { u, v } = this.along(i / frames);
      return inputOf(between(this.current(), u, v));
    });
  },

  say(text) {
    $("walk-status").textContent = text;
  },

  saveGif() {
    const [, width, channels] = run.shape;
    const scale = Math.max(1, Math.floor(256 / longerSide()));
    $("save-gif").disabled = true;
    machine.ask("gif", "gif", { inputs: this.round(16), width, channels, scale, hundredths: 6 }, (part) => {
      this.say(`Drawing the GIF: ${Math.round(100 * (part.share ?? 1))}%.`);
      if (!part.done) return;
      const blob = new Blob(part.chunks, { type: "image/gif" });
      save(`${fileName("walk")}.gif`, blob);
      this.say(`Saved ${fileName("walk")}.gif, ${Math.ceil(blob.size / 1000)} kB.`);
      $("save-gif").disabled = false;
    });
  },

  /** Record a round from a canvas, in its own time: the browser's recorder knows no other. */
  saveWebm() {
    const scale = enlargement();
    const canvas = make("canvas", { width: run.shape[1] * scale, height: run.shape[0] * scale });
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = isSmooth();
    const inputs = this.round(32);
    const pictures = [];
    $("save-webm").disabled = true;
    machine.ask("webm", "draw", { inputs }, ({ index, pixels, done }) => {
      this.say(`Drawing the film: ${Math.round((100 * (index ?? inputs.length)) / inputs.length)}%.`);
      if (!done) {
        pictures[index] = blank();
        return paint(pictures[index], pixels);
      }
      const recorder = new MediaRecorder(canvas.captureStream(30), { videoBitsPerSecond: 4e6 });
      const parts = [];
      recorder.ondataavailable = (event) => parts.push(event.data);
      recorder.onstop = () => {
        const blob = new Blob(parts, { type: "video/webm" });
        save(`${fileName("walk")}.webm`, blob);
        this.say(`Saved ${fileName("walk")}.webm, ${Math.ceil(blob.size / 1000)} kB.`);
        $("save-webm").disabled = false;
      };
      this.say("Recording the film.");
      let frame = 0;
      context.fillStyle = "#fff"; // behind transparent pictures
      const next = () => {
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.drawImage(pictures[Math.min(frame, pictures.length - 1)], 0, 0, canvas.width, canvas.height);
        if (frame++ <= pictures.length) setTimeout(next, 1000 / 30);
        else recorder.stop();
      };
      recorder.start();
      next();
    });
  },

  begin() {
    document.querySelectorAll("[name=stops]").forEach((radio) => (radio.onchange = () => {
      this.choose(0);
      this.changed();
    }));
    $("mix").onclick = () => {
      this.stops = seededFakes(1 + Math.floor(Math.random() * 2 ** 31), 4);
      this.changed();
    };
    $("others").onclick = () => {
      this.seed++;
      this.offer();
    };
    const drag = (event) => {
      const box = $("map").getBoundingClientRect();
      const [rows, columns] = this.count() === 2 ? [1, 9] : [7, 7];
      const share = (at, cells) => Math.min(1, Math.max(0, (at * cells - 0.5) / (cells - 1)));
      this.pause();
      const u = share((event.clientX - box.left) / box.width, columns);
      this.move({ u, v: rows === 1 ? this.position.v : share((event.clientY - box.top) / box.height, rows) });
    };
    $("map").onpointerdown = (event) => {
      $("map").setPointerCapture(event.pointerId);
      drag(event);
    };
    $("map").onpointermove = (event) => event.buttons && drag(event);
    for (const id of ["across", "down"]) {
      $(id).oninput = () => {
        this.pause();
        this.move({ u: $("across").value / 100, v: $("down").value / 100 });
      };
    }
    $("animate").onclick = () => this.animate();
    $("save-gif").onclick = () => this.saveGif();
    $("save-webm").onclick = () => this.saveWebm();
    $("save-webm").hidden = !window.MediaRecorder?.isTypeSupported("video/webm");
  },
};
