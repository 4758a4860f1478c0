/* Data in the plane, within [-1.3, 1.3], and measures of how well the fakes match it. */

/** A circle's points at equal angles. */
const around = (count, radius) =>
  Array.from({ length: count }, (_, i) => [
    radius * Math.cos((2 * Math.PI * i) / count),
    radius * Math.sin((2 * Math.PI * i) / count),
  ]);

/** Points (count, 2) near randomly chosen centres. */
function nearCentres(centres, spread, count, random) {
  const points = random.normals(count, 2);
  for (let i = 0; i < count; i++) {
    const centre = centres[Math.floor(random.uniform() * centres.length)];
    points.data[2 * i] = centre[0] + spread * points.data[2 * i];
    points.data[2 * i + 1] = centre[1] + spread * points.data[2 * i + 1];
  }
  return points;
}

/** Points (count, 2) near a curve t -> [x, y], t uniform in [0, 1). */
function nearCurve(curve, spread, count, random) {
  const points = random.normals(count, 2);
  for (let i = 0; i < count; i++) {
    const [x, y] = curve(random.uniform());
    points.data[2 * i] = x + spread * points.data[2 * i];
    points.data[2 * i + 1] = y + spread * points.data[2 * i + 1];
  }
  return points;
}

const RING = around(8, 1);
const GRID = Array.from({ length: 25 }, (_, i) => [((i % 5) - 2) / 2, (Math.floor(i / 5) - 2) / 2]);

function moons(t) {
  const angle = Math.PI * ((2 * t) % 1);
  const [x, y] = [Math.cos(angle), Math.sin(angle)];
  return t < 0.5 ? [0.7 * x - 0.35, 0.8 * y - 0.2] : [0.35 - 0.7 * x, 0.2 - 0.8 * y];
}

function spiral(t) {
  // The square root spreads points evenly along the curve.
  const turn = Math.sqrt(0.04 + 0.96 * t);
  return [1.1 * turn * Math.cos(3.5 * Math.PI * turn), 1.1 * turn * Math.sin(3.5 * Math.PI * turn)];
}

/** Each data set: (count, random, drawn points) -> Matrix (count, 2). */
const DATA = {
  ring: (count, random) => nearCentres(RING, 0.05, count, random),
  grid: (count, random) => nearCentres(GRID, 0.04, count, random),
  moons: (count, random) => nearCurve(moons, 0.05, count, random),
  spiral: (count, random) => nearCurve(spiral, 0.03, count, random),
  cloud: (count, random) => nearCentres([[0.9, 0.8]], 0.15, count, random),
  drawn: (count, random, drawn) => nearCentres(drawn, 0.03, count, random),
};

/** The share of `points` (N, 2) with at least one of `others` within `reach`. */
function shareNear(points, others, reach = 0.12) {
  let near = 0;
  for (let i = 0; i < points.rows; i++) {
    for (let j = 0; j < others.rows; j++) {
      const dx = points.data[2 * i] - others.data[2 * j];
      const dy = points.data[2 * i + 1] - others.data[2 * j + 1];
      if (dx * dx + dy * dy < reach * reach) {
        near++;
        break;
      }
    }
  }
  return near / points.rows;
}

/** How well fakes match reals. `covered`: the share of reals with a fake nearby. `onData`: the share of fakes with a
 * real nearby. `centre`: the fakes' mean. */
function compare(reals, fakes) {
  const centre = sumTo(fakes, 1, 2).data.map((x) => x / fakes.rows);
  return { covered: shareNear(reals, fakes), onData: shareNear(fakes, reals), centre: [...centre] };
}
