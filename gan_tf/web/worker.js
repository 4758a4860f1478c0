/* The worker: it computes, so that the page stays free to answer its reader.
 *
 * The page sends { channel, task, ... }. A task is a generator function that yields after each small piece of work, a
 * picture at most. Between two pieces, messages get in: a new task on a channel replaces the one before, so that while a
 * slider moves only its latest position is drawn. Tasks that are `urgent` go first. */

const players = []; // of each run: a promise of { generator, discriminator }
const jobs = new Map(); // channel -> { steps, urgent }
const ticks = new MessageChannel();

const TASKS = { draw, directions, judge, match, gif };

onmessage = async ({ data }) => {
  const { channel, task, run } = data;
  if (task === "load") {
    const { generator, discriminator } = data;
    players[run] = Promise.all([Network.decode(generator), discriminator && Network.decode(discriminator)]);
    players[run].catch((error) => {
      // Thrown outside of the promise, so that the page hears of it.
      setTimeout(() => {
        throw error;
      });
    });
    return;
  }
  if (task === "stop") {
    jobs.delete(channel);
    return;
  }
  const job = { urgent: data.urgent };
  jobs.set(channel, job);
  const reply = (part, transfer = []) => postMessage({ channel, id: data.id, ...part }, transfer);
  const [generator, discriminator] = (await players[run]) ?? [];
  if (jobs.get(channel) !== job) return; // Another one came while the weights were unpacked.
  job.steps = TASKS[task]({ ...data, generator, discriminator }, reply);
  ticks.port2.postMessage(null);
};

ticks.port1.onmessage = () => {
  const ready = [...jobs].filter(([, job]) => job.steps);
  const next = ready.find(([, job]) => job.urgent) ?? ready[0];
  if (!next) return;
  const [channel, job] = next;
  if (job.steps.next().done) jobs.delete(channel);
  if (jobs.size) ticks.port2.postMessage(null);
};

/** The pictures of `inputs`, one by one. */
function* draw({ inputs, generator }, reply) {
  for (let index = 0; index < inputs.length; index++) {
    const began = performance.now();
    const pixels = toPixels(generator.forward(inputs[index]));
    reply({ index, pixels, milliseconds: performance.now() - began });
    yield;
  }
  reply({ done: true });
}

function* directions({ latents, generator }, reply) {
  reply({ done: true, ...closedFormDirections(generator.layers[0], latents) });
}

/** The logits of a picture in [-1, 1], and the gradient of one of them: how it would change with each pixel. */
function* judge({ picture, label, discriminator }, reply) {
  const logits = discriminator.forward(picture);
  const gradient = discriminator.backward(logits.map((_, i) => Number(i === label)));
  reply({ done: true, logits, gradient });
}

const STARTS = 64; // random latents to begin with
const FINALISTS = 4; // the best of them
const FIRST_STEPS = 30; // for each finalist
const STEPS = 120; // for the best finalist
const STEP_SIZE = 0.1;

/** The latent whose picture is closest to `picture`, by gradient descent through the generator (Adam). `mixtures` are the
 * labels to try, [[]] without labels. Latents stay within the length of usual ones, the square root of their size. */
function* match({ picture, latents, mixtures, seed, generator }, reply) {
  const difference = (output) => output.map((value, i) => value - picture[i]);
  const error = (rest) => Math.sqrt(dot(rest, rest) / rest.length) / 2;
  let tried = [];
  const count = Math.max(STARTS, 6 * mixtures.length);
  const random = seededLatents(seed, count, latents);
  for (let i = 0; i < count; i++) {
    const mixture = mixtures[i % mixtures.length];
    tried.push({ latent: random[i], mixture, error: error(difference(generator.forward(withLabels(random[i], mixture)))) });
    yield;
  }
  tried = tried.sort((a, b) => a.error - b.error).slice(0, FINALISTS);
  const total = FINALISTS * FIRST_STEPS + STEPS;
  let taken = 0;
  let best = tried[0];
  function* descend(start, steps) {
    const [mean, square] = [new Float64Array(latents), new Float64Array(latents)];
    let latent = start.latent;
    for (let step = 1; step <= steps; step++) {
      const output = generator.forward(withLabels(latent, start.mixture));
      const rest = difference(output);
      const now = { latent, mixture: start.mixture, error: error(rest) };
      if (now.error <= best.error || step === 1) {
        if (now.error <= best.error) best = now;
        reply({ pixels: toPixels(output), latent, mixture: start.mixture, error: now.error, share: taken / total });
      }
      const gradient = generator.backward(rest);
      const size = STEP_SIZE * (1 - step / (steps + 1));
      latent = latent.map((value, i) => {
        mean[i] = 0.9 * mean[i] + 0.1 * gradient[i];
        square[i] = 0.99 * square[i] + 0.01 * gradient[i] ** 2;
        return value - (size * mean[i]) / (1 - 0.9 ** step) / (Math.sqrt(square[i] / (1 - 0.99 ** step)) + 1e-9);
      });
      const length = Math.sqrt(dot(latent, latent) / latents);
      if (length > 1) latent = latent.map((value) => value / length);
      taken++;
      yield;
    }
  }
  for (const start of tried) yield* descend(start, FIRST_STEPS);
  yield* descend(best, STEPS);
  reply({ done: true, ...best, pixels: toPixels(generator.forward(withLabels(best.latent, best.mixture))), share: 1 });
}

/** Transparent pixels on white: a GIF knows no half-transparent ones. */
const onWhite = (pixels) =>
  Uint8ClampedArray.from({ length: (pixels.length / 4) * 3 }, (_, i) => {
    const pixel = 4 * Math.floor(i / 3);
    return 255 + (pixels[pixel + 3] / 255) * (pixels[pixel + (i % 3)] - 255);
  });

/** The pictures of `inputs` as a GIF. */
function* gif({ inputs, width, channels, scale, hundredths, generator }, reply) {
  const frames = [];
  for (const input of inputs) {
    const pixels = toPixels(generator.forward(input));
    frames.push(channels === 4 ? onWhite(pixels) : pixels);
    reply({ share: frames.length / inputs.length / 2 });
    yield;
  }
  const encoder = encodeGif({ frames, width, channels: Math.min(3, channels), scale, hundredths });
  let encoded = 0;
  let step = encoder.next();
  while (!step.done) {
    reply({ share: 0.5 + ++encoded / inputs.length / 2 });
    yield;
    step = encoder.next();
  }
  reply({ done: true, chunks: step.value });
}
