/* The GAN: two small networks, six losses, and a step of the game in five stages.
 *
 * Losses and penalties are those of gan_tf/losses.py, and the order of a step is that of gan_tf/gan.py. The tests
 * compare every gradient with TensorFlow's.
 */

/** A seeded source of random numbers (mulberry32): the same seed gives the same numbers. */
class Random {
  constructor(seed) {
    this.state = seed >>> 0;
    this.spare = null;
  }

  /** Uniform in [0, 1). */
  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From N(0, 1), two at a time (Box and Muller). */
  normal() {
    if (this.spare !== null) {
      const value = this.spare;
      this.spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  normals(rows, cols) {
    const matrix = new Matrix(rows, cols);
    for (let i = 0; i < matrix.data.length; i++) matrix.data[i] = this.normal();
    return matrix;
  }
}

/* ---- Losses: what each player minimises, from the logits of reals and of fakes ---- */

const bce = (r, f) => add(mean(softplus(negate(r))), mean(softplus(f)));
const relu = (a) => leakyRelu(a, 0);

const LOSSES = {
  "non-saturating": { d: bce, g: (f) => mean(softplus(negate(f))) },
  minimax: { d: bce, g: (f) => negate(mean(softplus(f))) },
  hinge: {
    d: (r, f) => add(mean(relu(affine(r, -1, 1))), mean(relu(affine(f, 1, 1)))),
    g: (f) => negate(mean(f)),
  },
  wasserstein: {
    d: (r, f) => subtract(mean(f), mean(r)),
    g: (f) => negate(mean(f)),
    critic: true, // Its logits have no zero that separates real from fake.
    penalties: { gp: 10 },
  },
  "least-squares": {
    d: (r, f) => affine(add(mean(square(affine(r, 1, -1))), mean(square(affine(f, 1, 1)))), 0.5),
    g: (f) => affine(mean(square(f)), 0.5),
  },
  relativistic: {
    d: (r, f) => mean(softplus(subtract(f, r))),
    g: (f, r) => mean(softplus(subtract(r, f))),
    critic: true,
    penalties: { r1: 1, r2: 1 },
  },
};

/** The losses of both players when all logits are zero: nothing is learned yet, or nothing is left to tell apart. */
function chanceLosses(name) {
  const zero = new Matrix(1, 1);
  return { d: LOSSES[name].d(zero, zero).value, g: LOSSES[name].g(zero, zero).value };
}

/* ---- Penalties: how steep the discriminator may be ---- */

/** The squared norm of the gradient of each point's logit with respect to the point: points (N, 2) to (N, 1). */
function squaredSlopes(discriminator, points) {
  const [slopes] = gradient(sum(discriminator.forward(points)), [points]);
  return sumTo(square(slopes), points.rows, 1);
}

/** R1 at reals, R2 at fakes: the mean of the squared norms. gamma / 2 times this is added to D's loss. */
const zeroCentredPenalty = (discriminator, points) => mean(squaredSlopes(discriminator, points));

/** WGAN-GP: the mean of (norm - 1)^2 between reals and fakes. `shares` (N, 1) in [0, 1) says where between. */
function gradientPenalty(discriminator, reals, fakes, shares) {
  const between = add(reals, multiply(repeatTo(shares, reals.rows, reals.cols), subtract(fakes, reals)));
  // The small constant keeps the square root differentiable at 0.
  const norms = power(affine(squaredSlopes(discriminator, between), 1, 1e-12), 0.5);
  return mean(square(affine(norms, 1, -1)));
}

/** The weighted sum of the penalties, 1x1. */
function penalties(discriminator, reals, fakes, shares, { r1, r2, gp }) {
  let total = new Matrix(1, 1);
  if (r1) total = add(total, affine(zeroCentredPenalty(discriminator, reals), r1 / 2));
  if (r2) total = add(total, affine(zeroCentredPenalty(discriminator, fakes), r2 / 2));
  if (gp) total = add(total, affine(gradientPenalty(discriminator, reals, fakes, shares), gp));
  return total;
}

/** What G minimises. Only the relativistic loss looks at the reals. */
function generatorLoss(discriminator, fakes, reals, loss) {
  return LOSSES[loss].g(discriminator.forward(fakes), loss === "relativistic" ? discriminator.forward(reals) : null);
}

/* ---- Networks and their optimizer ---- */

/** Dense layers with leaky ReLU between them: points (N, sizes[0]) to (N, last of sizes). */
class Network {
  constructor(sizes, random) {
    this.weights = [];
    for (let i = 1; i < sizes.length; i++) {
      const kernel = random.normals(sizes[i - 1], sizes[i]);
      // Glorot and Bengio (2010): signals keep their size from layer to layer.
      kernel.data.forEach((w, j) => (kernel.data[j] = w * Math.sqrt(2 / (sizes[i - 1] + sizes[i]))));
      this.weights.push(kernel, new Matrix(1, sizes[i]));
    }
  }

  forward(x) {
    for (let i = 0; i < this.weights.length; i += 2) {
      const [kernel, bias] = [this.weights[i], this.weights[i + 1]];
      x = add(matmul(x, kernel), repeatTo(bias, x.rows, kernel.cols));
      if (i + 2 < this.weights.length) x = leakyRelu(x, 0.2);
    }
    return x;
  }
}

/** Adam as in Keras (Kingma and Ba 2015), with beta_1 as "momentum". */
class Adam {
  constructor(weights) {
    this.weights = weights;
    this.steps = 0;
    this.m = weights.map((w) => new Float64Array(w.data.length));
    this.v = weights.map((w) => new Float64Array(w.data.length));
  }

  apply(gradients, stepSize, beta1, beta2 = 0.999) {
    this.steps++;
    const alpha = (stepSize * Math.sqrt(1 - beta2 ** this.steps)) / (1 - beta1 ** this.steps);
    this.weights.forEach((weight, i) => {
      const [w, g, m, v] = [weight.data, gradients[i].data, this.m[i], this.v[i]];
      for (let j = 0; j < w.length; j++) {
        m[j] += (1 - beta1) * (g[j] - m[j]);
        v[j] += (1 - beta2) * (g[j] * g[j] - v[j]);
        w[j] -= (alpha * m[j]) / (Math.sqrt(v[j]) + 1e-7);
      }
    });
  }
}

const norm = (matrices) => Math.sqrt(matrices.reduce((total, m) => total + m.data.reduce((s, x) => s + x * x, 0), 0));

/* ---- The game ---- */

const BATCH = 64;
const STAGES = ["latents", "generate", "judge", "learnD", "learnG"];

/** Two networks and the step of the game that trains them. `settings` may change between steps; see settings.js. */
class Gan {
  constructor(settings) {
    this.settings = settings;
    const random = new Random(settings.seed * 2 + 1);
    const { width, latent } = settings;
    this.generator = new Network([latent, width, width, 2], random);
    this.discriminator = new Network([2, width, width, 1], random);
    this.gOptimizer = new Adam(this.generator.weights);
    this.dOptimizer = new Adam(this.discriminator.weights);
    this.random = new Random(settings.seed * 2 + 2);
    this.steps = 0;
    this.updates = 0; // of the discriminator within this step
    this.next = "latents";
    this.now = {}; // what the last stages made
  }

  /** Carry out one stage and return its name. A step of the game is these five; the first four are done d_steps times. */
  stage(sampleReals) {
    const { now, settings } = this;
    const stage = this.next;
    if (stage === "latents") {
      now.latents = this.random.normals(BATCH, settings.latent);
      now.reals = sampleReals(BATCH, this.random);
      this.next = "generate";
    } else if (stage === "generate") {
      now.fakes = this.generator.forward(now.latents);
      this.next = "judge";
    } else if (stage === "judge") {
      now.realLogits = this.discriminator.forward(now.reals);
      now.fakeLogits = this.discriminator.forward(now.fakes);
      this.next = "learnD";
    } else if (stage === "learnD") {
      const shares = new Matrix(BATCH, 1);
      for (let i = 0; i < BATCH; i++) shares.data[i] = this.random.uniform();
      const loss = LOSSES[settings.loss].d(now.realLogits, now.fakeLogits);
      const objective = add(loss, penalties(this.discriminator, now.reals, now.fakes, shares, settings));
      const gradients = gradient(objective, this.discriminator.weights);
      this.dOptimizer.apply(gradients, settings.dRate, settings.beta1);
      now.dLoss = loss.value;
      now.dGradient = norm(gradients);
      this.updates++;
      this.next = this.updates < settings.dSteps ? "latents" : "learnG";
    } else {
      const loss = generatorLoss(this.discriminator, now.fakes, now.reals, settings.loss);
      const gradients = gradient(loss, this.generator.weights);
      this.gOptimizer.apply(gradients, settings.gRate, settings.beta1);
      now.gLoss = loss.value;
      now.gGradient = norm(gradients);
      this.steps++;
      this.updates = 0;
      this.next = "latents";
    }
    return stage;
  }

  /** One step of the game, or what is left of it. */
  step(sampleReals) {
    while (this.stage(sampleReals) !== "learnG");
  }

  /** Which way each point has to move to please the discriminator: minus the gradient of G's loss, per point (N, 2). */
  arrows(points, reals) {
    const fakes = new Matrix(points.rows, 2, points.data);
    const [slopes] = gradient(generatorLoss(this.discriminator, fakes, reals, this.settings.loss), [fakes]);
    return affine(slopes, -points.rows);
  }

  /** The largest weight of both networks; NaN if one is not a number. */
  largestWeight() {
    let largest = 0;
    for (const { data } of [...this.generator.weights, ...this.discriminator.weights]) {
      for (const w of data) largest = Math.abs(w) <= largest ? largest : Math.abs(w);
    }
    return largest;
  }
}
