/* What the reader can set, and how the address carries it. */

const RATES = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3];

/** Each control's values and its word of help. Sliders stop at these values only, so an address can name each. */
const CONTROLS = {
  dRate: { label: "Step size of the discriminator", values: RATES, help: "How far it moves at each update." },
  gRate: { label: "Step size of the generator", values: RATES, help: "Too large: it jumps. Too small: it crawls." },
  beta1: {
    label: "Momentum",
    values: [0, 0.25, 0.5, 0.75, 0.9, 0.99],
    help: "How long past gradients count (Adam’s β₁).",
  },
  dSteps: {
    label: "Discriminator updates per step",
    values: [1, 2, 3, 5, 10],
    help: "How often it learns before the generator may.",
  },
  r1: {
    label: "R1 penalty",
    values: [0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    help: "Makes the discriminator less steep at the data.",
  },
  gp: { label: "Gradient penalty", values: [0, 1, 10], help: "Holds the slope near 1 between reals and fakes." },
  width: {
    label: "Width of both networks",
    values: [4, 8, 16, 32, 64],
    help: "Units per layer. Starts again when you change it.",
  },
  latent: { label: "Latent dimensions", values: [1, 2, 4, 8, 16], help: "Random numbers per point. Starts again too." },
};

const LOSS_NAMES = {
  "non-saturating": ["Non-saturating", "The usual choice. Rejected fakes still get a strong gradient."],
  minimax: ["Minimax", "The original game. The gradient vanishes when fakes are easy to reject."],
  hinge: ["Hinge", "Points judged right by a margin of 1 no longer count."],
  wasserstein: [
    "Wasserstein, gradient penalty",
    "A critic’s score instead of a probability. Give it more updates and a larger step size.",
  ],
  "least-squares": ["Least squares", "Pulls logits to fixed targets, so far fakes are pulled hardest."],
  relativistic: ["Relativistic, R1 and R2", "Asks which of two points is more real. Brings both penalties."],
};

const DATA_NAMES = {
  ring: ["Ring", "Eight clusters on a circle"],
  grid: ["Grid", "25 clusters in rows"],
  moons: ["Moons", "Two half circles"],
  spiral: ["Spiral", "One long curve"],
  cloud: ["Cloud", "A single cluster"],
  drawn: ["Draw", "Your own points"],
};

const DEFAULTS = {
  loss: "non-saturating",
  data: "ring",
  dRate: 0.003,
  gRate: 0.003,
  beta1: 0.5,
  dSteps: 1,
  r1: 0,
  gp: 0,
  width: 32,
  latent: 2,
  seed: 1,
};

/** The weights of the penalties that a loss needs to train at all. */
const neededPenalties = (loss) => ({ r1: 0, r2: 0, gp: 0, ...LOSSES[loss].penalties });

/** All settings: the defaults, what the loss needs, and `given` above both. R2 has no slider. */
const settingsWith = (given = {}) => ({ ...DEFAULTS, ...neededPenalties(given.loss ?? DEFAULTS.loss), ...given });

/* A drawn point is two characters in the address: each coordinate is one of 64 steps. */
const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const EXTENT = 1.5; // The plane reaches from -EXTENT to EXTENT.
const MOST_POINTS = 400;
const toDigit = (x) => Math.max(0, Math.min(63, Math.round(((x + EXTENT) / (2 * EXTENT)) * 63)));
const fromDigit = (i) => (i / 63) * 2 * EXTENT - EXTENT;

const encodePoints = (points) => points.map(([x, y]) => DIGITS[toDigit(x)] + DIGITS[toDigit(y)]).join("");

function decodePoints(text) {
  const digits = [...text].map((c) => DIGITS.indexOf(c)).filter((i) => i >= 0);
  const points = [];
  for (let i = 0; i + 1 < digits.length && points.length < MOST_POINTS; i += 2) {
    points.push([fromDigit(digits[i]), fromDigit(digits[i + 1])]);
  }
  return points;
}

/** The address after "#": what differs from the defaults. */
function toAddress(settings, drawn) {
  const parts = [];
  const usual = { ...settingsWith({ loss: settings.loss }), loss: DEFAULTS.loss };
  for (const name of Object.keys(DEFAULTS)) {
    if (settings[name] !== usual[name]) parts.push(`${name}=${settings[name]}`);
  }
  if (settings.data === "drawn" && drawn.length) parts.push(`points=${encodePoints(drawn)}`);
  return parts.join("&");
}

/** The settings and drawn points of an address. What it does not know, it ignores: an address may come from anyone. */
function fromAddress(text) {
  const given = {};
  const parameters = new URLSearchParams(text.replace(/^#/, ""));
  for (const [name, value] of parameters) {
    if (name === "loss" && Object.hasOwn(LOSSES, value)) given.loss = value;
    if (name === "data" && Object.hasOwn(DATA, value)) given.data = value;
    if (name === "seed" && /^\d{1,6}$/.test(value)) given.seed = Number(value);
    if (Object.hasOwn(CONTROLS, name) && value !== "" && CONTROLS[name].values.includes(Number(value)))
      given[name] = Number(value);
  }
  return { settings: settingsWith(given), drawn: decodePoints(parameters.get("points") ?? "") };
}
