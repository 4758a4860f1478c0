/* The tab Directions: what the numbers that a fake is made from do. */

const FOLLOWERS = 6;
const FIRST = 6; // Directions on show; the button shows as many more.
const REACH = 4; // How far a slider goes either way, in standard deviations of a latent number.
const PREVIEW = 3; // How far the small pictures beside it go.

const Directions = {
  base: null, // the fake before any slider
  moves: [], // of each direction
  truncation: 1,
  vectors: null,

  open() {
    this.seed = 2;
    this.vectors = null;
    this.taken = null;
    $("label-controls").hidden = !run.labels.length;
    $("label-buttons").replaceChildren(
      ...run.labels.map((label, i) => make("button", { textContent: label, onclick: () => this.setLabel(i) })),
    );
    fillSelect($("second-label"), run.labels);
    $("followers").replaceChildren(...Array.from({ length: FOLLOWERS }, blank));
    Object.assign($("turned"), { width: run.shape[1], height: run.shape[0] });
    this.moves = Array(run.latents).fill(0);
    $("direction-sliders").replaceChildren();
    this.addSliders(FIRST); // Before their directions are known, so that nothing below them moves later.
    $("numbers").replaceChildren(
      ...Array.from({ length: run.latents }, (_, i) =>
        make("input", {
          type: "number",
          step: 0.1,
          "aria-label": `Latent number ${i + 1}`,
          oninput: ({ target }) => Number.isFinite(target.valueAsNumber) && this.setNumber(i, target.valueAsNumber),
        }),
      ),
    );
  },

  show() {
    if (this.vectors) return this.changed();
    machine.ask("directions", "directions", { latents: run.latents }, ({ vectors }) => {
      this.vectors = vectors;
      this.start(this.taken ?? seededFakes(this.seed, 1)[0]);
    });
  },

  /** Start with this fake when the tab opens next. */
  take(fake) {
    this.taken = fake;
    if (this.vectors) this.start(fake);
  },

  start(fake) {
    this.base = { ...fake, latent: [...fake.latent] };
    this.labels = { first: Math.max(0, fake.mixture.indexOf(Math.max(...fake.mixture))), second: null, share: 0 };
    this.labels.second = this.labels.first === 0 ? Math.min(1, run.labels.length - 1) : 0;
    // A fake from a walk may be a mixture already.
    const other = fake.mixture.findIndex((value, i) => value > 0 && i !== this.labels.first);
    if (other >= 0) Object.assign(this.labels, { second: other, share: fake.mixture[other] });
    this.others = seededFakes(this.seed + 1000, FOLLOWERS);
    this.reset();
  },

  reset() {
    this.moves.fill(0);
    this.truncation = 1;
    this.changed({ previews: true });
  },

  addSliders(count) {
    const shown = $("direction-sliders").children.length;
    const total = Math.min(run.latents, shown + count);
    for (let i = shown; i < total; i++) {
      const slider = make("input", {
        type: "range",
        id: `direction-${i}`,
        min: -REACH,
        max: REACH,
        step: 0.1,
        oninput: ({ target }) => {
          this.moves[i] = target.valueAsNumber;
          if (this.vectors) this.changed();
        },
      });
      const field = make(
        "div",
        { className: "slider" },
        make("label", { htmlFor: slider.id, textContent: `Direction ${i + 1}` }),
        make("output", {}),
        slider,
      );
      $("direction-sliders").append(make("div", { className: "direction" }, blank(), field, blank()));
    }
    $("more").hidden = total === run.latents || total >= 4 * FIRST;
  },

  setLabel(number) {
    this.labels.first = number;
    if (this.labels.second === number) this.labels.second = number === 0 ? 1 : 0;
    this.changed({ previews: true });
  },

  /** A raw number was changed: move the fake below the sliders so that it comes out like this. */
  setNumber(i, value) {
    const now = this.latent(this.base.latent)[i];
    if (this.truncation > 0) this.base.latent[i] += (value - now) / this.truncation;
    this.changed({ numbers: false });
  },

  /** A latent after the sliders: moved along the directions, then pulled towards 0, where the average picture is. */
  latent(start) {
    const { vectors, moves, truncation } = this;
    return start.map((value, i) => truncation * (value + moves.reduce((sum, move, k) => sum + move * vectors[k][i], 0)));
  },

  mixture() {
    const { first, second, share } = this.labels;
    return run.labels.map((_, i) => (i === first ? 1 - share : 0) + (i === second ? share : 0));
  },

  fake(start = this.base) {
    return { latent: this.latent(start.latent), mixture: run.labels.length ? this.mixture() : [] };
  },

  changed({ previews = false, numbers = true } = {}) {
    this.showControls(numbers);
    this.draw();
    if (previews) this.drawPreviews();
  },

  showControls(numbers) {
    const form = (value) => value.toFixed(1).replace("-", "−");
    [...$("direction-sliders").children].forEach((element, i) => {
      element.querySelector("input").value = this.moves[i];
      element.querySelector("output").textContent = form(this.moves[i]);
    });
    $("truncation").value = Math.round(100 * this.truncation);
    $("truncation-value").textContent = this.truncation.toFixed(2);
    [...$("label-buttons").children].forEach((button, i) => button.setAttribute("aria-pressed", i === this.labels.first));
    if (run.labels.length) {
      $("second-label").value = this.labels.second;
      [...$("second-label").options].forEach((option, i) => (option.disabled = i === this.labels.first));
      $("share").value = Math.round(100 * this.labels.share);
      $("share-value").textContent = `${Math.round(100 * this.labels.share)}% “${run.labels[this.labels.second]}”`;
    }
    if (numbers) {
      const latent = this.latent(this.base.latent);
      [...$("numbers").children].forEach((input, i) => (input.value = latent[i].toFixed(2)));
    }
  },

  draw: oncePerFrame(() => {
    const fakes = [Directions.fake(), ...Directions.others.map((other) => Directions.fake(other))];
    drawFakes("turned", fakes.slice(0, 1), [$("turned")], { urgent: true });
    drawFakes("followers", fakes.slice(1), [...$("followers").children]);
  }),

  /** The small pictures at the ends of the sliders: the fake, moved along that direction only. */
  drawPreviews() {
    const ends = [...$("direction-sliders").children].flatMap((element, k) =>
      [-PREVIEW, PREVIEW].map((move, side) => ({
        canvas: side ? element.lastElementChild : element.firstElementChild,
        fake: { latent: this.base.latent.map((value, i) => value + move * this.vectors[k][i]), mixture: this.fake().mixture },
      })),
    );
    drawFakes("previews", ends.map(({ fake }) => fake), ends.map(({ canvas }) => canvas));
  },

  begin() {
    $("another").onclick = () => {
      this.seed++;
      const [fake] = seededFakes(this.seed, 1, run.labels.length ? this.labels.first : null);
      this.base = { ...fake, latent: [...fake.latent] };
      this.changed({ previews: true });
    };
    $("zero").onclick = () => {
      this.labels.share = 0;
      this.reset();
    };
    $("more").onclick = () => {
      this.addSliders(FIRST);
      this.changed({ previews: true });
    };
    $("truncation").oninput = () => {
      this.truncation = $("truncation").value / 100;
      this.changed();
    };
    $("second-label").onchange = () => {
      this.labels.second = chosen($("second-label"));
      this.labels.share ||= 0.5;
      this.changed();
    };
    $("share").oninput = () => {
      this.labels.share = $("share").value / 100;
      this.changed();
    };
    for (const id of ["share", "second-label"]) $(id).addEventListener("change", () => this.drawPreviews());
    $("save-turned").onclick = () => savePng(`${fileName("turned")}.png`, $("turned"), enlargement());
  },
};
