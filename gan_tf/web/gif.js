/* A small GIF encoder: one palette for all frames, and LZW. */

const COLOURS = 256;

/** Sort colours [red, green, blue, count] into at most 256 boxes and take each box's mean (median cut, Heckbert 1982).
 * The box with the largest spread is halved again and again, where half of its pixels lie on either side. */
function medianCut(colours) {
  const spread = (box) => {
    const ranges = [0, 1, 2].map((c) => Math.max(...box.map((x) => x[c])) - Math.min(...box.map((x) => x[c])));
    const channel = ranges.indexOf(Math.max(...ranges));
    return { box, channel, range: ranges[channel] };
  };
  const boxes = [spread(colours)];
  while (boxes.length < COLOURS) {
    boxes.sort((a, b) => b.range * Math.sqrt(b.box.length) - a.range * Math.sqrt(a.box.length));
    const { box, channel, range } = boxes[0];
    if (range === 0) break;
    box.sort((a, b) => a[channel] - b[channel]);
    const half = box.reduce((sum, x) => sum + x[3], 0) / 2;
    let [cut, passed] = [0, 0];
    while (cut < box.length - 1 && (cut === 0 || passed < half)) passed += box[cut++][3];
    boxes.splice(0, 1, spread(box.slice(0, cut)), spread(box.slice(cut)));
  }
  return boxes.map(({ box }) => {
    const total = box.reduce((sum, x) => sum + x[3], 0);
    return [0, 1, 2].map((c) => Math.round(box.reduce((sum, x) => sum + x[c] * x[3], 0) / total));
  });
}

/** Colours with 5 bits a channel share a bin. */
const binOf = (red, green, blue) => ((red >> 3) << 10) | ((green >> 3) << 5) | (blue >> 3);

/** The palette of frames (height * width * channels grey levels each), and each frame as numbers of its colours. */
function quantise(frames, channels) {
  if (channels === 1) return { palette: Array.from({ length: COLOURS }, (_, i) => [i, i, i]), indexed: frames };
  const bins = new Map();
  for (const frame of frames) {
    for (let i = 0; i < frame.length; i += 3) {
      const key = binOf(frame[i], frame[i + 1], frame[i + 2]);
      const bin = bins.get(key) ?? [0, 0, 0, 0];
      bins.set(key, [bin[0] + frame[i], bin[1] + frame[i + 1], bin[2] + frame[i + 2], bin[3] + 1]);
    }
  }
  const palette = medianCut([...bins.values()].map(([r, g, b, count]) => [r / count, g / count, b / count, count]));
  const nearest = new Map(); // one search for each bin
  const search = (colour) => {
    const distance = (other) => other.reduce((sum, value, c) => sum + (value - colour[c]) ** 2, 0);
    return palette.reduce((best, other, i) => (distance(other) < distance(palette[best]) ? i : best), 0);
  };
  const indexed = frames.map((frame) =>
    Uint8Array.from({ length: frame.length / 3 }, (_, i) => {
      const colour = [frame[3 * i], frame[3 * i + 1], frame[3 * i + 2]];
      const key = binOf(...colour);
      if (!nearest.has(key)) nearest.set(key, search(colour));
      return nearest.get(key);
    }),
  );
  return { palette, indexed };
}

/** Lempel, Ziv and Welch's compression of bytes: repeated sequences become codes, whose width grows from 9 to 12 bits. */
function compress(bytes) {
  const [clear, end, full] = [256, 257, 4096];
  const out = [];
  let [held, bits, width, next] = [0, 0, 9, 258];
  const children = new Int16Array(full * 256).fill(-1); // the code of a sequence and one more byte
  const write = (code) => {
    held |= code << bits;
    bits += width;
    while (bits >= 8) {
      out.push(held & 255);
      held >>>= 8;
      bits -= 8;
    }
  };
  write(clear);
  let prefix = bytes[0];
  for (let i = 1; i < bytes.length; i++) {
    const key = prefix * 256 + bytes[i];
    if (children[key] >= 0) {
      prefix = children[key];
      continue;
    }
    write(prefix);
    if (next < full) {
      if (next === 1 << width) width++;
      children[key] = next++;
    } else {
      write(clear);
      children.fill(-1);
      [width, next] = [9, 258];
    }
    prefix = bytes[i];
  }
  write(prefix);
  if (next === 1 << width && width < 12) width++;
  write(end);
  if (bits) out.push(held & 255);
  return out;
}

/** Each pixel `scale` times as wide and high. */
function enlarge(indexed, width, scale) {
  const height = indexed.length / width;
  const large = new Uint8Array(indexed.length * scale * scale);
  for (let y = 0; y < height * scale; y++) {
    for (let x = 0; x < width * scale; x++) {
      large[y * width * scale + x] = indexed[Math.floor(y / scale) * width + Math.floor(x / scale)];
    }
  }
  return large;
}

/** A GIF that repeats forever, as chunks of bytes; it yields after each frame, so that others can work in between.
 * `frames` are grey levels (height * width * channels); each is shown for `hundredths` of a second. */
function* encodeGif({ frames, width, channels, scale, hundredths }) {
  const { palette, indexed } = quantise(frames, channels);
  const height = indexed[0].length / width;
  const short = (number) => [number & 255, number >> 8];
  const size = [...short(width * scale), ...short(height * scale)];
  const text = (characters) => Array.from(characters, (character) => character.charCodeAt(0));
  const colours = Array.from({ length: COLOURS }, (_, i) => palette[i] ?? [0, 0, 0]).flat();
  const chunks = [Uint8Array.from([...text("GIF89a"), ...size, 0xf7, 0, 0, ...colours])];
  chunks.push(Uint8Array.from([0x21, 0xff, 11, ...text("NETSCAPE2.0"), 3, 1, 0, 0, 0])); // repeat
  for (const frame of indexed) {
    chunks.push(Uint8Array.from([0x21, 0xf9, 4, 4, ...short(hundredths), 0, 0, 0x2c, 0, 0, 0, 0, ...size, 0, 8]));
    const data = compress(enlarge(frame, width, scale));
    for (let i = 0; i < data.length; i += 255) {
      const part = data.slice(i, i + 255);
      chunks.push(Uint8Array.from([part.length, ...part]));
    }
    chunks.push(Uint8Array.of(0));
    yield;
  }
  chunks.push(Uint8Array.of(0x3b));
  return chunks;
}
