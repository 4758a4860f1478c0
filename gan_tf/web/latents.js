/* Latents: random vectors with NumPy's seeds, walks between them, and the directions that a generator listens to most. */

/* ---- Random numbers ---- */

const WORD = (1n << 64n) - 1n;
const LONG = (1n << 128n) - 1n;

/** The four 64-bit numbers that NumPy's SeedSequence makes of whole numbers below 2^32 (after M. E. O'Neill's
 * seed_seq_fe). It spreads every bit of the seeds over all of them. */
function seedState(entropy) {
  const hasher = (constant, multiplier) => (value) => {
    value ^= constant;
    constant = Math.imul(constant, multiplier);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mix = (a, b) => {
    const mixed = Math.imul(0xca01f9dd, a) - Math.imul(0x4973f715, b);
    return mixed ^ (mixed >>> 16);
  };
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (to !== from) pool[to] = mix(pool[to], hash(pool[from]));
  }
  const draw = hasher(0x8b51f9dd, 0x58f38ded);
  const words = Array.from({ length: 8 }, (_, i) => BigInt(draw(pool[i % 4]) >>> 0));
  return [0, 2, 4, 6].map((i) => words[i] | (words[i + 1] << 32n));
}

/** The ziggurat of Marsaglia and Tsang (2000): 256 layers of equal area under the bell curve. A point within a layer is
 * nearly always under the curve at once, which makes normal numbers cheap. */
const ZIGGURAT = (() => {
  const [edge, area, scale] = [3.654152885361009, 0.004928673233974658, 2 ** 52];
  const [inside, width, height] = [0, 1, 2].map(() => new Float64Array(256));
  const bell = (x) => Math.exp(-0.5 * x * x);
  const base = area / bell(edge);
  inside[0] = Math.floor((edge / base) * scale);
  width[0] = base / scale;
  height[0] = 1;
  width[255] = edge / scale;
  height[255] = bell(edge);
  let [x, last] = [edge, edge];
  for (let i = 254; i >= 1; i--) {
    x = Math.sqrt(-2 * Math.log(area / x + bell(x)));
    inside[i + 1] = Math.floor((x / last) * scale);
    last = x;
    height[i] = bell(x);
    width[i] = x / scale;
  }
  return { edge, inside, width, height };
})();

/** The numbers of numpy.random.default_rng(seeds): the generator PCG64 (O'Neill 2014). So a seed draws here what it
 * draws in Python. */
class Random {
  constructor(...seeds) {
    const [high, low, streamHigh, streamLow] = seedState(seeds);
    this.increment = ((((streamHigh << 64n) | streamLow) << 1n) | 1n) & LONG;
    this.state = 0n;
    this.advance();
    this.state += (high << 64n) | low;
    this.advance();
  }

  advance() {
    this.state = (this.state * 0x2360ed051fc65da44385df649fccf645n + this.increment) & LONG;
  }

  /** 64 random bits. */
  bits() {
    this.advance();
    const folded = (this.state >> 64n) ^ (this.state & WORD);
    const turn = this.state >> 122n;
    return ((folded >> turn) | (folded << (64n - turn))) & WORD;
  }

  /** A number in [0, 1). */
  uniform() {
    return Number(this.bits() >> 11n) * 2 ** -53;
  }

  /** A number from N(0, 1). */
  normal() {
    const { edge, inside, width, height } = ZIGGURAT;
    for (;;) {
      const bits = this.bits();
      const layer = Number(bits & 255n);
      const sign = bits & 256n ? -1 : 1;
      const position = Number((bits >> 9n) & ((1n << 52n) - 1n));
      const x = sign * position * width[layer];
      if (position < inside[layer]) return x;
      if (layer === 0) {
        for (;;) {
          const beyond = -Math.log1p(-this.uniform()) / edge;
          const drop = -Math.log1p(-this.uniform());
          if (2 * drop > beyond * beyond) return (Math.floor(position / 256) % 2 ? -1 : 1) * (edge + beyond);
        }
      }
      const between = (height[layer - 1] - height[layer]) * this.uniform() + height[layer];
      if (between < Math.exp(-0.5 * x * x)) return x;
    }
  }
}

/** `count` latents of `size` numbers each: those of `python -m gan_tf.generate --seed`. */
function seededLatents(seed, count, size) {
  const random = new Random(seed);
  return Array.from({ length: count }, () => Float64Array.from({ length: size }, () => Math.fround(random.normal())));
}

/** `count` labels, as frequent as `shares` says: those of the same command. */
function seededLabels(seed, count, shares) {
  const random = new Random(seed, 1);
  const total = shares.reduce((sum, share) => sum + share, 0);
  return Array.from({ length: count }, () => {
    const at = random.uniform();
    let reached = 0;
    const found = shares.findIndex((share) => (reached += share) / total > at);
    return found < 0 ? shares.length - 1 : found;
  });
}

/** A generator's input: the latent, and behind it how much of each label. `mixture` is empty without labels. */
const withLabels = (latent, mixture) => Float64Array.from([...latent, ...mixture]);

/* ---- Walks ---- */

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const blend = (a, b, t) => a.map((value, i) => (1 - t) * value + t * b[i]);

/** The point at share t of the way from a to b, on the arc around the origin (Shoemake 1985). The straight line would
 * lead through points that are closer to the origin than any latent seen in training (White 2016). */
function slerp(a, b, t) {
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (!(angle > 1e-6 && angle < Math.PI - 1e-6)) return blend(a, b, t);
  return a.map((value, i) => (Math.sin((1 - t) * angle) * value + Math.sin(t * angle) * b[i]) / Math.sin(angle));
}

/** The point (u, v) between stops { latent, mixture }: two at the ends of a line, or four at the corners of a square,
 * row by row. Labels blend along straight lines. */
function between(stops, u, v) {
  const along = (a, b, t) => ({ latent: slerp(a.latent, b.latent, t), mixture: blend(a.mixture, b.mixture, t) });
  const top = along(stops[0], stops[1], u);
  return stops.length === 2 ? top : along(top, along(stops[2], stops[3], u), v);
}

/* ---- Directions ---- */

/** Eigenvalues and eigenvectors of a symmetric matrix (an array of rows), the largest first, by Jacobi's rotations: each
 * makes one pair of entries beside the diagonal zero, and after some rounds all are. */
function eigenvectors(matrix) {
  const size = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  const vectors = a.map((_, i) => Float64Array.from({ length: size }, (_, j) => Number(i === j))); // rows
  for (let round = 0; round < 30; round++) {
    let beside = 0;
    let all = 0;
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        all += a[i][j] ** 2;
        if (i !== j) beside += a[i][j] ** 2;
      }
    }
    if (beside <= 1e-24 * all) break;
    for (let p = 0; p < size; p++) {
      for (let q = p + 1; q < size; q++) {
        if (a[p][q] === 0) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        const s = t * c;
        const turn = (row) => {
          const [x, y] = [row[p], row[q]];
          row[p] = c * x - s * y;
          row[q] = s * x + c * y;
        };
        a.forEach(turn);
        for (const rows of [a, vectors]) {
          for (let i = 0; i < size; i++) {
            const [x, y] = [rows[p][i], rows[q][i]];
            rows[p][i] = c * x - s * y;
            rows[q][i] = s * x + c * y;
          }
        }
      }
    }
  }
  const order = Array.from({ length: size }, (_, i) => i).sort((i, j) => a[j][j] - a[i][i]);
  return { values: order.map((i) => Math.max(0, a[i][i])), vectors: order.map((i) => vectors[i]) };
}

/** The directions in latent space that change the output of the generator's first layer most (Shen and Zhou 2021,
 * arXiv:2007.06600): the right singular vectors of its kernel, largest first. They are the eigenvectors of A A^T, where
 * row i of A says what latent number i adds. Each gets the sign that makes its largest entry positive. */
function closedFormDirections(dense, latents) {
  const { kernel, outputs } = dense;
  const row = (i) => kernel.subarray(i * outputs, (i + 1) * outputs);
  const products = Array.from({ length: latents }, () => new Float64Array(latents));
  for (let i = 0; i < latents; i++) {
    for (let j = 0; j <= i; j++) {
      const [a, b] = [row(i), row(j)];
      let sum = 0;
      for (let k = 0; k < outputs; k++) sum += a[k] * b[k];
      products[i][j] = products[j][i] = sum;
    }
  }
  const { values, vectors } = eigenvectors(products);
  return {
    strengths: values.map(Math.sqrt),
    vectors: vectors.map((vector) => {
      const largest = vector.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
      return largest < 0 ? vector.map((value) => -value) : vector;
    }),
  };
}
