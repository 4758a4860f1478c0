/* The tab Draw: a grid of fakes, and one of them large. */

const Draw = {
  fakes: [],
  seed: 0,
  large: 0,

  /** Another run. */
  open() {
    this.seed = 0;
    this.fakes = [];
    this.count = longerSide() <= 64 ? 40 : 24;
    $("grid").classList.toggle("larger", longerSide() > 32);
    $("draw-label-field").hidden = !run.labels.length;
    fillSelect($("draw-label"), run.labels, "any label");
    $("grid").replaceChildren(...Array.from({ length: this.count }, (_, i) => tile("", { onclick: () => this.enlarge(i) })));
    roving($("grid"), () => columnsOf($("grid")));
  },

  show() {
    if (!this.fakes.length) this.draw();
  },

  draw() {
    $("seed").value = this.seed;
    this.fakes = seededFakes(this.seed, this.count, chosen($("draw-label")));
    const tiles = [...$("grid").children];
    tiles.forEach((element, i) => {
      const { title } = this.fakes[i];
      element.setAttribute("aria-label", title);
      element.title = title;
    });
    drawFakes("grid", this.fakes, tiles.map((element) => element.firstChild));
  },

  next() {
    this.seed = (this.seed + 1) % 2 ** 32;
    this.draw();
  },

  enlarge(number) {
    this.large = (number + this.count) % this.count;
    const from = $("grid").children[this.large].firstChild;
    const to = $("large-canvas");
    Object.assign(to, { width: from.width, height: from.height });
    to.getContext("2d").drawImage(from, 0, 0);
    $("large-title").textContent = this.fakes[this.large].title;
    if (!$("large").open) $("large").showModal();
  },

  /** All fakes in one picture, with white lines between them, or with nothing between and behind transparent ones. */
  saveGrid() {
    const [height, width, channels] = run.shape;
    const columns = Math.ceil(Math.sqrt(this.count));
    const scale = Math.max(1, Math.round(56 / longerSide()));
    const [stepX, stepY] = [width * scale + 2, height * scale + 2];
    const picture = make("canvas", { width: columns * stepX + 2, height: Math.ceil(this.count / columns) * stepY + 2 });
    const context = picture.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.fillStyle = channels === 4 ? "transparent" : "#fff";
    context.fillRect(0, 0, picture.width, picture.height);
    [...$("grid").children].forEach((element, i) => {
      const [x, y] = [2 + (i % columns) * stepX, 2 + Math.floor(i / columns) * stepY];
      context.drawImage(element.firstChild, x, y, width * scale, height * scale);
    });
    savePng(fileName("seed", this.seed) + ".png", picture);
  },

  begin() {
    $("new").onclick = () => this.next();
    $("draw-label").onchange = () => this.draw();
    $("seed").onchange = () => {
      const seed = Math.round(Number($("seed").value));
      this.seed = seed >= 0 && seed < 2 ** 32 ? seed : this.seed;
      this.draw();
    };
    $("save-grid").onclick = () => this.saveGrid();
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input, select, dialog");
      if (event.key.toLowerCase() !== "n" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      if (!$("draw").hidden) this.next();
    });
    $("previous").onclick = () => this.enlarge(this.large - 1);
    $("following").onclick = () => this.enlarge(this.large + 1);
    $("large").onkeydown = (event) => {
      if (event.key === "ArrowLeft") this.enlarge(this.large - 1);
      if (event.key === "ArrowRight") this.enlarge(this.large + 1);
    };
    $("large").onclick = (event) => event.target === $("large") && $("large").close(); // beside the picture
    $("close").onclick = () => $("large").close();
    $("large").onclose = () => $("grid").children[this.large].focus();
    $("save-large").onclick = () =>
      savePng(`${fileName("seed", this.seed, "fake", this.large + 1)}.png`, $("large-canvas"), enlargement());
    $("turn-large").onclick = () => {
      const fake = this.fakes[this.large];
      $("large").close();
      Directions.take(fake);
      openTab("directions");
    };
  },
};
