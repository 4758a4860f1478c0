/* The networks: what Keras computes, in plain JavaScript.
 *
 * A picture of height H, width W and C channels is one flat array of H * W * C numbers, row by row, the channels of a
 * pixel side by side. Each layer has two methods:
 *
 *   forward(x)    the layer's output for the input x
 *   backward(g)   the gradient with respect to x, where g is the gradient with respect to the output
 *
 * backward belongs to the last forward. There is no gradient for the weights: this page trains nothing.
 */

/* ---- Weights ---- */

/** The bytes of text in base 64. */
const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** A half-precision number from its 16 bits: 1 for the sign, 5 for the exponent, 10 for the fraction. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Hands out a model's weights in the order of its layers. */
class Weights {
  constructor(kernels, vectors) {
    Object.assign(this, { kernels, vectors, kernel: 0, vector: 0 });
  }

  /** From the page's text: the kernels' low bytes and then their high bytes, deflated; the vectors as float32. */
  static async decode({ kernels, vectors }) {
    const packed = new Blob([bytesOf(kernels)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
    const count = bytes.length / 2;
    const decoded = Float64Array.from({ length: count }, (_, i) => fromHalf(bytes[i] | (bytes[count + i] << 8)));
    return new Weights(decoded, Float64Array.from(new Float32Array(bytesOf(vectors).buffer)));
  }

  takeKernel(shape) {
    const size = shape.reduce((product, side) => product * side, 1);
    return this.kernels.subarray(this.kernel, (this.kernel += size));
  }

  takeVector(size) {
    return this.vectors.subarray(this.vector, (this.vector += size));
  }
}

/* ---- Layers without pixels ---- */

/** y = x W + b. The kernel W has a row for each input. */
class Dense {
  constructor(layer, shape, weights) {
    [this.inputs, this.outputs] = layer.kernel;
    this.kernel = weights.takeKernel(layer.kernel);
    this.bias = layer.bias ? weights.takeVector(this.outputs) : new Float64Array(this.outputs);
    this.shape = [this.outputs];
  }

  forward(x) {
    const { inputs, outputs, kernel } = this;
    const y = Float64Array.from(this.bias);
    for (let i = 0, k = 0; i < inputs; i++, k += outputs) {
      const xi = x[i];
      if (xi !== 0) for (let j = 0; j < outputs; j++) y[j] += xi * kernel[k + j];
    }
    return y;
  }

  /** dL/dx = W dL/dy. */
  backward(g) {
    const { inputs, outputs, kernel } = this;
    const gradient = new Float64Array(inputs);
    for (let i = 0, k = 0; i < inputs; i++, k += outputs) {
      let sum = 0;
      for (let j = 0; j < outputs; j++) sum += kernel[k + j] * g[j];
      gradient[i] = sum;
    }
    return gradient;
  }
}

/** Another shape for the same numbers. */
class Reshape {
  constructor(layer) {
    this.shape = layer.shape;
  }
  forward(x) {
    return x;
  }
  backward(g) {
    return g;
  }
}

/** Batch normalisation after training: each channel has a fixed scale and offset. */
class Normalisation {
  constructor(layer, shape, weights) {
    this.shape = shape;
    this.channels = shape[shape.length - 1];
    const [gamma, beta, mean, variance] = [0, 1, 2, 3].map(() => weights.takeVector(this.channels));
    this.scale = gamma.map((value, c) => value / Math.sqrt(variance[c] + layer.epsilon));
    this.offset = beta.map((value, c) => value - mean[c] * this.scale[c]);
  }

  forward(x) {
    const { channels, scale, offset } = this;
    const y = new Float64Array(x.length);
    for (let i = 0; i < x.length; i += channels) {
      for (let c = 0; c < channels; c++) y[i + c] = x[i + c] * scale[c] + offset[c];
    }
    return y;
  }

  backward(g) {
    return g.map((value, i) => value * this.scale[i % this.channels]);
  }
}

/** ReLU, or leaky ReLU with a slope below zero. */
class Relu {
  constructor(layer, shape) {
    Object.assign(this, { slope: layer.slope, shape });
  }

  forward(x) {
    const { slope } = this;
    this.x = x;
    const y = new Float64Array(x.length);
    for (let i = 0; i < x.length; i++) y[i] = x[i] > 0 ? x[i] : slope * x[i];
    return y;
  }

  backward(g) {
    return g.map((value, i) => (this.x[i] > 0 ? value : this.slope * value));
  }
}

class Tanh {
  constructor(layer, shape) {
    this.shape = shape;
  }

  forward(x) {
    return (this.y = x.map(Math.tanh));
  }

  /** The derivative of tanh is 1 - tanh^2. */
  backward(g) {
    return g.map((value, i) => value * (1 - this.y[i] ** 2));
  }
}

/** One more channel: how much the pictures of a batch differ. Here a batch is one picture, which does not differ from
 * itself: the channel is constant, sqrt(1e-8) as in gan_tf/models.py, and passes no gradient. */
class MinibatchStd {
  constructor(layer, [height, width, channels]) {
    this.channels = channels;
    this.shape = [height, width, channels + 1];
  }

  forward(x) {
    const [height, width, channels] = this.shape;
    const y = new Float64Array(height * width * channels).fill(1e-4);
    for (let i = 0; i < height * width; i++) {
      for (let c = 0; c < this.channels; c++) y[i * channels + c] = x[i * this.channels + c];
    }
    return y;
  }

  backward(g) {
    return g.filter((_, i) => i % (this.channels + 1) < this.channels);
  }
}

/* ---- Convolutions ---- */

/** TensorFlow's padding "same": how many pixels of a kernel lie before the first one. `small` and `large` are the sides
 * of the two pictures; the kernel moves over the large one by `stride`. */
const paddingBefore = (large, small, kernel, stride) =>
  Math.floor(Math.max((small - 1) * stride + kernel - large, 0) / 2);

/**
 * The one loop behind every convolution: pixels of the output are sums over a few pixels of the input.
 *
 * Output pixel (y, x) of row `outY + stepY * m` and column `outX + stepX * n` sums input pixels
 * (m * strideY + dy, n * strideX + dx) over all `taps`. To do so fast, the inputs that a row of outputs needs are laid
 * side by side ("im2col"), and multiplied with the kernel as a matrix: four output pixels by two channels at once, so
 * that eight sums stay in the processor's registers.
 */
class Gather {
  /**
   * @param input, output  shapes [height, width, channels]
   * @param lattice  { outY, outX, stepY, stepX, strideY, strideX }
   * @param taps  [{ dy, dx, weight(ci, co) }]
   */
  constructor(input, output, lattice, taps) {
    Object.assign(this, { input, output, taps }, lattice);
    const [height, width, channels] = output;
    this.rows = Math.ceil((height - this.outY) / this.stepY);
    this.columns = Math.ceil((width - this.outX) / this.stepX);
    this.length = taps.length * input[2]; // of one pixel's inputs
    const pairs = channels + (channels % 2);
    this.matrix = new Float64Array(pairs * this.length); // a row for each output channel; an odd last one gets zeros
    taps.forEach(({ weight }, t) => {
      for (let co = 0; co < channels; co++) {
        for (let ci = 0; ci < input[2]; ci++) this.matrix[co * this.length + t * input[2] + ci] = weight(ci, co);
      }
    });
    const padded = Math.ceil(this.columns / 4) * 4;
    this.patches = new Float64Array(padded * this.length);
    this.products = new Float64Array(padded * pairs);
    this.pairs = pairs;
  }

  /** Lay the inputs of output row m side by side; outside of the picture they are 0. */
  collect(x, m) {
    const { taps, patches, length, columns, strideX } = this;
    const [height, width, channels] = this.input;
    taps.forEach(({ dy, dx }, t) => {
      const y = m * this.strideY + dy;
      for (let n = 0; n < columns; n++) {
        const column = n * strideX + dx;
        const to = n * length + t * channels;
        if (y < 0 || y >= height || column < 0 || column >= width) patches.fill(0, to, to + channels);
        else {
          const from = (y * width + column) * channels;
          for (let c = 0; c < channels; c++) patches[to + c] = x[from + c];
        }
      }
    });
  }

  multiply() {
    const { patches, matrix, products, length, pairs, columns } = this;
    for (let n = 0; n < columns; n += 4) {
      const [p0, p1, p2, p3] = [0, 1, 2, 3].map((i) => (n + i) * length);
      for (let co = 0; co < pairs; co += 2) {
        const k0 = co * length;
        const k1 = k0 + length;
        let [a0, a1, a2, a3, b0, b1, b2, b3] = [0, 0, 0, 0, 0, 0, 0, 0];
        for (let i = 0; i < length; i++) {
          const wa = matrix[k0 + i];
          const wb = matrix[k1 + i];
          const x0 = patches[p0 + i];
          const x1 = patches[p1 + i];
          const x2 = patches[p2 + i];
          const x3 = patches[p3 + i];
          a0 += wa * x0;
          b0 += wb * x0;
          a1 += wa * x1;
          b1 += wb * x1;
          a2 += wa * x2;
          b2 += wb * x2;
          a3 += wa * x3;
          b3 += wb * x3;
        }
        const to = n * pairs + co;
        products[to] = a0;
        products[to + 1] = b0;
        products[to + pairs] = a1;
        products[to + pairs + 1] = b1;
        products[to + 2 * pairs] = a2;
        products[to + 2 * pairs + 1] = b2;
        products[to + 3 * pairs] = a3;
        products[to + 3 * pairs + 1] = b3;
      }
    }
  }

  /** Add this part of the convolution of x to `result`. */
  addTo(result, x) {
    const [, width, channels] = this.output;
    const { products, pairs, columns } = this;
    for (let m = 0; m < this.rows; m++) {
      this.collect(x, m);
      this.multiply();
      const row = (this.outY + m * this.stepY) * width;
      for (let n = 0; n < columns; n++) {
        const to = (row + this.outX + n * this.stepX) * channels;
        for (let co = 0; co < channels; co++) result[to + co] += products[n * pairs + co];
      }
    }
  }
}

/** Shrinks a picture: output pixel y sums input pixels y * stride + k - padding, each times the kernel's entry k.
 * `weight(ky, kx, ci, co)` is the kernel. */
function shrinking(large, small, [kernelY, kernelX], [strideY, strideX], weight) {
  const padY = paddingBefore(large[0], small[0], kernelY, strideY);
  const padX = paddingBefore(large[1], small[1], kernelX, strideX);
  const taps = [];
  for (let ky = 0; ky < kernelY; ky++) {
    for (let kx = 0; kx < kernelX; kx++) {
      taps.push({ dy: ky - padY, dx: kx - padX, weight: (ci, co) => weight(ky, kx, ci, co) });
    }
  }
  return [new Gather(large, small, { outY: 0, outX: 0, stepY: 1, stepX: 1, strideY, strideX }, taps)];
}

/** The opposite: each input pixel y spreads over output pixels y * stride + k - padding. Seen from the output, pixels
 * whose position has the same remainder by the stride use the same entries of the kernel; each remainder is a Gather of
 * its own. With a kernel of 4 and a stride of 2, that is four times 2x2 entries. */
function enlarging(small, large, [kernelY, kernelX], [strideY, strideX], weight) {
  const padY = paddingBefore(large[0], small[0], kernelY, strideY);
  const padX = paddingBefore(large[1], small[1], kernelX, strideX);
  const parts = [];
  for (let outY = 0; outY < strideY; outY++) {
    for (let outX = 0; outX < strideX; outX++) {
      const taps = [];
      for (let ky = 0; ky < kernelY; ky++) {
        for (let kx = 0; kx < kernelX; kx++) {
          const dy = (outY + padY - ky) / strideY;
          const dx = (outX + padX - kx) / strideX;
          if (Number.isInteger(dy) && Number.isInteger(dx)) {
            taps.push({ dy, dx, weight: (ci, co) => weight(ky, kx, ci, co) });
          }
        }
      }
      const lattice = { outY, outX, stepY: strideY, stepX: strideX, strideY: 1, strideX: 1 };
      if (taps.length) parts.push(new Gather(small, large, lattice, taps));
    }
  }
  return parts;
}

/** A convolution or its transpose. The gradient of one is the other, with the kernel's two channels exchanged. */
class Convolution {
  constructor(layer, shape, weights) {
    const [kernelY, kernelX, third, fourth] = layer.kernel;
    const transposed = layer.type === "convolution-transposed";
    const kernel = weights.takeKernel(layer.kernel);
    // Keras stores (height, width, in, out) for a convolution and (height, width, out, in) for its transpose.
    const [inputs, outputs] = transposed ? [fourth, third] : [third, fourth];
    const at = (ky, kx, a, b) => kernel[((ky * kernelX + kx) * third + a) * fourth + b];
    const forward = transposed ? (ky, kx, ci, co) => at(ky, kx, co, ci) : at;
    const backward = (ky, kx, ci, co) => forward(ky, kx, co, ci);
    this.bias = layer.bias ? weights.takeVector(outputs) : new Float64Array(outputs);
    const [strideY, strideX] = layer.strides;
    const sides = transposed
      ? [shape[0] * strideY, shape[1] * strideX]
      : [Math.ceil(shape[0] / strideY), Math.ceil(shape[1] / strideX)];
    this.shape = [...sides, outputs];
    this.input = [shape[0], shape[1], inputs];
    const [there, back] = transposed ? [enlarging, shrinking] : [shrinking, enlarging];
    this.parts = there(this.input, this.shape, [kernelY, kernelX], layer.strides, forward);
    this.makeBack = () => back(this.shape, this.input, [kernelY, kernelX], layer.strides, backward);
  }

  forward(x) {
    const [height, width, channels] = this.shape;
    const y = new Float64Array(height * width * channels);
    for (let i = 0; i < y.length; i += channels) y.set(this.bias, i);
    for (const part of this.parts) part.addTo(y, x);
    return y;
  }

  backward(g) {
    this.back ??= this.makeBack(); // Only what asks for gradients pays for this.
    const gradient = new Float64Array(this.input[0] * this.input[1] * this.input[2]);
    for (const part of this.back) part.addTo(gradient, g);
    return gradient;
  }
}

/** The mean over a small window. At the edge, only pixels inside the picture count. */
class Average {
  constructor(layer, shape) {
    const [height, width, channels] = shape;
    const [strideY, strideX] = layer.strides;
    this.input = shape;
    this.shape = [Math.ceil(height / strideY), Math.ceil(width / strideX), channels];
    const padY = paddingBefore(height, this.shape[0], layer.pool[0], strideY);
    const padX = paddingBefore(width, this.shape[1], layer.pool[1], strideX);
    this.pairs = []; // [output pixel, input pixel, share]
    for (let y = 0; y < this.shape[0]; y++) {
      for (let x = 0; x < this.shape[1]; x++) {
        const inside = [];
        for (let ky = y * strideY - padY; ky < y * strideY - padY + layer.pool[0]; ky++) {
          for (let kx = x * strideX - padX; kx < x * strideX - padX + layer.pool[1]; kx++) {
            if (ky >= 0 && kx >= 0 && ky < height && kx < width) inside.push(ky * width + kx);
          }
        }
        for (const pixel of inside) this.pairs.push(y * this.shape[1] + x, pixel, 1 / inside.length);
      }
    }
    this.pairs = Float64Array.from(this.pairs);
  }

  /** Add shares of pixels of `x` to pixels of `y`: `to` and `from` say which entry of a pair is which. */
  spread(x, y, to, from) {
    const { pairs } = this;
    const channels = this.shape[2];
    for (let i = 0; i < pairs.length; i += 3) {
      const [a, b, share] = [pairs[i + to] * channels, pairs[i + from] * channels, pairs[i + 2]];
      for (let c = 0; c < channels; c++) y[a + c] += share * x[b + c];
    }
    return y;
  }

  forward(x) {
    return this.spread(x, new Float64Array(this.shape[0] * this.shape[1] * this.shape[2]), 0, 1);
  }

  backward(g) {
    return this.spread(g, new Float64Array(this.input[0] * this.input[1] * this.input[2]), 1, 0);
  }
}

/** Leaves out the last rows and columns. */
class Crop {
  constructor(layer, shape) {
    this.input = shape;
    this.shape = layer.shape;
  }

  /** Copy the rows that are left from one array to another. */
  copy(from, fromWidth, to, toWidth) {
    const [height, width, channels] = this.shape;
    for (let y = 0; y < height; y++) {
      const start = y * fromWidth * channels;
      to.set(from.subarray(start, start + width * channels), y * toWidth * channels);
    }
    return to;
  }

  forward(x) {
    const [height, width, channels] = this.shape;
    return this.copy(x, this.input[1], new Float64Array(height * width * channels), width);
  }

  backward(g) {
    const [height, width, channels] = this.input;
    return this.copy(g, this.shape[1], new Float64Array(height * width * channels), width);
  }
}

/* ---- The network ---- */

const LAYERS = {
  dense: Dense,
  reshape: Reshape,
  normalisation: Normalisation,
  relu: Relu,
  tanh: Tanh,
  minibatch_std: MinibatchStd,
  convolution: Convolution,
  "convolution-transposed": Convolution,
  average: Average,
  crop: Crop,
};

class Network {
  constructor(model, weights) {
    let shape = model.input;
    this.layers = model.layers.map((layer) => {
      const made = new LAYERS[layer.type](layer, shape, weights);
      shape = made.shape;
      return made;
    });
    this.shape = shape;
  }

  static async decode(model) {
    return new Network(model, await Weights.decode(model));
  }

  /** The output for one input, both Float64Array. */
  forward(x) {
    return this.layers.reduce((values, layer) => layer.forward(values), x);
  }

  /** The gradient with respect to the input of the last `forward`, from that with respect to its output. */
  backward(gradient) {
    return this.layers.reduceRight((values, layer) => layer.backward(values), gradient);
  }
}

/** Numbers in [-1, 1] as grey levels: rounded to nearest, and clipped as this kind of array does it. */
const toPixels = (values) => Uint8ClampedArray.from(values, (value) => (value + 1) * 127.5);
