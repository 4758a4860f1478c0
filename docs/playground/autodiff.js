/* Gradients of matrices, and gradients of gradients.
 *
 * Each operation returns a matrix that remembers its parents and, for each of them, a rule: given the gradient of some
 * number with respect to this matrix, what is its gradient with respect to the parent? `gradient` walks back from a
 * number to the matrices you name and applies the rules on the way.
 *
 * The rules are written with the same operations. So a gradient is itself a matrix that remembers how it was made, and
 * you can differentiate it again. The penalties need this: they contain the gradient of the logits with respect to the
 * points, and training needs the gradient of that with respect to the weights.
 */

class Matrix {
  /** @param data numbers row by row; @param parents pairs of a matrix and its rule */
  constructor(rows, cols, data = new Float64Array(rows * cols), parents = []) {
    this.rows = rows;
    this.cols = cols;
    this.data = data;
    this.parents = parents;
  }

  /** The number in a 1x1 matrix. */
  get value() {
    return this.data[0];
  }
}

/** The gradient of `output`, a 1x1 matrix, with respect to each of `inputs`: matrices of their shapes. */
function gradient(output, inputs) {
  // All matrices between the inputs and the output, parents first. Others need no gradient.
  const order = [];
  const leadsToInput = new Map();
  const visit = (node) => {
    if (!leadsToInput.has(node)) {
      let leads = inputs.includes(node);
      for (const [parent] of node.parents) leads = visit(parent) || leads;
      leadsToInput.set(node, leads);
      if (leads) order.push(node);
    }
    return leadsToInput.get(node);
  };
  visit(output);

  const gradients = new Map([[output, new Matrix(1, 1, Float64Array.of(1))]]);
  for (const node of order.reverse()) {
    const outer = gradients.get(node);
    for (const [parent, rule] of node.parents) {
      if (!leadsToInput.get(parent)) continue;
      const inner = rule(outer);
      // A matrix used twice gets the sum of both gradients.
      gradients.set(parent, gradients.has(parent) ? add(gradients.get(parent), inner) : inner);
    }
  }
  return inputs.map((input) => gradients.get(input) ?? new Matrix(input.rows, input.cols));
}

/** A B, or with A or B transposed first. This takes most of the time of training, so it is written for speed. */
function matmul(a, b, transposeA = false, transposeB = false) {
  const rows = transposeA ? a.cols : a.rows;
  const inner = transposeA ? a.rows : a.cols;
  const cols = transposeB ? b.rows : b.cols;
  const out = new Float64Array(rows * cols);
  const A = a.data;
  const B = transposeB ? transposed(b) : b.data;
  const [byRow, byInner] = transposeA ? [1, a.cols] : [a.cols, 1];
  for (let i = 0; i < rows; i++) {
    const start = i * cols;
    let at = i * byRow;
    let k = 0;
    // Four rows of B at once: each element of the output is loaded and stored a fourth as often.
    for (; k + 3 < inner; k += 4, at += 4 * byInner) {
      const [a0, a1, a2, a3] = [A[at], A[at + byInner], A[at + 2 * byInner], A[at + 3 * byInner]];
      const [b0, b1, b2, b3] = [k * cols, (k + 1) * cols, (k + 2) * cols, (k + 3) * cols];
      for (let j = 0; j < cols; j++)
        out[start + j] += a0 * B[b0 + j] + a1 * B[b1 + j] + a2 * B[b2 + j] + a3 * B[b3 + j];
    }
    for (; k < inner; k++, at += byInner) {
      for (let j = 0; j < cols; j++) out[start + j] += A[at] * B[k * cols + j];
    }
  }
  return new Matrix(rows, cols, out, [
    [a, (g) => (transposeA ? matmul(b, g, transposeB, true) : matmul(g, b, false, !transposeB))],
    [b, (g) => (transposeB ? matmul(g, a, true, transposeA) : matmul(a, g, !transposeA, false))],
  ]);
}

function transposed({ rows, cols, data }) {
  const out = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = data[i * cols + j];
  return out;
}

/** A + B, of one shape. */
function add(a, b) {
  const out = new Float64Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = a.data[i] + b.data[i];
  return new Matrix(a.rows, a.cols, out, [
    [a, (g) => g],
    [b, (g) => g],
  ]);
}

/** A times B, element by element, of one shape. */
function multiply(a, b) {
  const out = new Float64Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = a.data[i] * b.data[i];
  return new Matrix(a.rows, a.cols, out, [
    [a, (g) => multiply(g, b)],
    [b, (g) => multiply(g, a)],
  ]);
}

/** factor A + offset, for two numbers. */
function affine(a, factor, offset = 0) {
  const out = new Float64Array(a.data.length);
  for (let i = 0; i < out.length; i++) out[i] = factor * a.data[i] + offset;
  return new Matrix(a.rows, a.cols, out, [[a, (g) => affine(g, factor)]]);
}

const negate = (a) => affine(a, -1);
const subtract = (a, b) => add(a, negate(b));

/** A function of each element, whose derivative is `derivative(A, result)`, a matrix. */
function elementwise(a, f, derivative) {
  const result = new Matrix(a.rows, a.cols);
  for (let i = 0; i < a.data.length; i++) result.data[i] = f(a.data[i]);
  result.parents = [[a, (g) => multiply(g, derivative(a, result))]];
  return result;
}

const tanh = (a) => elementwise(a, Math.tanh, (_, y) => affine(multiply(y, y), -1, 1));
const sigmoid = (a) =>
  elementwise(
    a,
    (t) => 1 / (1 + Math.exp(-t)),
    (_, y) => multiply(y, affine(y, -1, 1)),
  );
const power = (a, p) =>
  elementwise(
    a,
    (t) => t ** p,
    (x) => affine(power(x, p - 1), p),
  );
const square = (a) => multiply(a, a);

/** log(1 + e^t), without overflow. */
const softplus = (a) => elementwise(a, (t) => Math.max(t, 0) + Math.log1p(Math.exp(-Math.abs(t))), sigmoid);

/** t where t > 0, else slope t. Its derivative is a step, whose own derivative is 0: a matrix without parents. */
function leakyRelu(a, slope = 0) {
  const result = new Matrix(a.rows, a.cols);
  const steps = new Matrix(a.rows, a.cols);
  for (let i = 0; i < a.data.length; i++) {
    steps.data[i] = a.data[i] > 0 ? 1 : slope;
    result.data[i] = steps.data[i] * a.data[i];
  }
  result.parents = [[a, (g) => multiply(g, steps)]];
  return result;
}

/** Sums over rows, columns or both, down to the shape (rows, cols), where each is 1 or stays. */
function sumTo(a, rows, cols) {
  const out = new Float64Array(rows * cols);
  const [byRow, byCol] = [rows > 1 ? cols : 0, cols > 1 ? 1 : 0];
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < a.cols; j++) out[i * byRow + j * byCol] += a.data[i * a.cols + j];
  }
  return new Matrix(rows, cols, out, [[a, (g) => repeatTo(g, a.rows, a.cols)]]);
}

/** The inverse of `sumTo`'s shapes: repeats a row, a column or a number until the shape is (rows, cols). */
function repeatTo(a, rows, cols) {
  const out = new Float64Array(rows * cols);
  const [byRow, byCol] = [a.rows > 1 ? a.cols : 0, a.cols > 1 ? 1 : 0];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) out[i * cols + j] = a.data[i * byRow + j * byCol];
  }
  return new Matrix(rows, cols, out, [[a, (g) => sumTo(g, a.rows, a.cols)]]);
}

const sum = (a) => sumTo(a, 1, 1);
const mean = (a) => affine(sum(a), 1 / a.data.length);
