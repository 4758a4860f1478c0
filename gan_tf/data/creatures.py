"""Animal faces that gan_tf draws from random parameters: any number, at any size, reproducible from a seed.

The true parameters of every picture are known, so you can count what a generator has learned and what it misses.
"""

import hashlib
from typing import Any

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, LazyImages, rows_with_labels

SPECIES = ("bear", "cat", "fox", "frog", "owl", "rabbit")
EYES = ("round", "wide", "sleepy", "happy")
COUNT = 4000  # Few enough that a short run sees each picture dozens of times.

# Each parameter is uniformly distributed in [low, high).
FIELDS = (
    ("species", np.uint8, 0, len(SPECIES)),  # index into SPECIES
    ("eye", np.uint8, 0, len(EYES)),  # index into EYES
    ("hue", np.float64, 0, 1),  # of the fur, around OKLCH's circle: 0 pink, 0.25 yellow, 0.5 turquoise, 0.75 blue
    ("shade", np.float64, 0, 1),  # of the fur, from dark to light
    ("ear", np.float64, 0, 1),  # from small to large ears; rabbits: from upright to spread; frogs: size of the sockets
    ("face", np.float64, -1, 1),  # from narrow to wide
    ("mouth", np.float64, 0, 1),  # from closed to open; owls and frogs keep theirs closed
    ("tilt", np.float64, -20, 20),  # of the head, in degrees clockwise
    ("turn", np.float64, -1, 1),  # of the face, from left to right
    ("x", np.float64, -1, 1),  # position of the head, from left to right
    ("y", np.float64, -1, 1),  # position of the head, from top to bottom
    ("background", np.float64, 0.3, 0.7),  # its hue minus the fur's: roughly complementary, so the two contrast
)

# OKLab to the cube roots of the cone responses (LMS), and LMS to linear sRGB (Ottosson 2020, "A perceptual color space
# for image processing").
OKLAB_TO_ROOTS = np.array([[1, 0.39634, 0.2158], [1, -0.10556, -0.06385], [1, -0.08948, -1.29149]])
TO_LINEAR = np.array([[4.07674, -3.30771, 0.23097], [-1.26844, 2.60976, -0.34132], [-0.0042, -0.70342, 1.70761]])


def parameters(count: int, seed: int = 0, start: int = 0) -> np.ndarray:
    """The parameters of creatures `start` to `start + count - 1`: a structured array (count,) with the names in FIELDS.

    Creature i depends on (seed, i) only, and i has no upper limit. Raises InputError for anything but integers in
    [0, 2**64).
    """
    for name, value in (("count", count), ("seed", seed), ("start", start)):
        if not isinstance(value, int | np.integer) or not 0 <= value < 2**64:
            raise InputError(f"parameters: {name} is {value!r}, but it must be an integer from 0 to 2**64 - 1.")
    # Philox yields four numbers per step of its counter, so the 12 fields of a creature take three steps.
    raw = np.random.Philox(key=seed).advance(3 * int(start)).random_raw((count, len(FIELDS)))
    params = np.empty(count, [field[:2] for field in FIELDS])
    for (name, _, low, high), numbers in zip(FIELDS, (raw >> 11).T * 2.0**-53, strict=True):
        params[name] = low + (high - low) * numbers
    return params


def draw(params: np.ndarray, size: int | tuple[int, int], alpha: bool = False) -> np.ndarray:
    """Draw creatures, uint8 (N, height, width, 3), from their parameters (N,); size is (height, width), or one number
    for a square, in pixels from 8 to 512. With alpha, they have no background, but a fourth channel: their opacity.
    Fully transparent pixels are white.

    The shapes are the same at every size, with antialiased edges one pixel wide. In an oblong picture, the creature is
    as large as in a square of the shorter side, at the bottom in the middle. Raises InputError for another size, and
    for arrays that `parameters` could not have returned.
    """
    height, width = size if isinstance(size, tuple) else (size, size)
    if not {height, width} <= {*range(8, 513)}:
        raise InputError(f"draw: size is {size}, but sides must be integers from 8 to 512.")
    valid = params.dtype == parameters(0).dtype
    if not valid or np.any((params["species"] >= len(SPECIES)) | (params["eye"] >= len(EYES))):
        raise InputError("draw: these are not creatures; pass an array from parameters() with values in its ranges.")
    pictures = np.empty((len(params), height, width, 4 if alpha else 3), np.uint8)
    # Pictures per chunk: fewer would spend more time in Python, more would not fit into the processor's cache.
    chunk = max(1, 2**17 // (height * width))
    for species, eye in np.ndindex(len(SPECIES), len(EYES)):
        group = np.flatnonzero((params["species"] == species) & (params["eye"] == eye))
        for first in range(0, len(group), chunk):
            rows = group[first : first + chunk]
            pictures[rows] = np.moveaxis(Drawing(params[rows], height, width, alpha).colours() * 255 + 0.5, 0, -1)
    if alpha:
        pictures[pictures[..., 3] == 0, :3] = 255
    return pictures


def load_creatures(config: Config) -> ImageDataset:
    """The first COUNT creatures of seed 0, filtered by config.label (species), at config.image_size; drawn lazily.

    config.seed does not matter: it is the training's. Without a label, the true parameters of image i are
    `parameters(COUNT)[i]`. Raises InputError for an unknown label.
    """
    params, sides = parameters(COUNT), config.sides
    if config.label:
        params = params[rows_with_labels("creatures", params["species"], SPECIES, config.label)]
    shape = len(params), *sides, 4 if config.alpha else 3
    images = LazyImages(shape, lambda rows: draw(params[rows], sides, config.alpha))
    # Hashes the parameters and a few pictures, since drawing all at 512 pixels takes minutes.
    sha256 = hashlib.sha256(params.tobytes() + images[:8].tobytes()).hexdigest()
    return ImageDataset("creatures", images, params["species"], "drawn by gan_tf", SPECIES, sha256=sha256)


def oklch(lightness, chroma, hue) -> np.ndarray:
    """Convert OKLCH, scalars or arrays (N,), to sRGB in [0, 1], float32 (3, N, 1, 1). Hue is in turns.

    In OKLCH, hues of equal lightness look equally light.
    """
    angle = 2 * np.pi * hue
    lab = np.stack(np.broadcast_arrays(lightness, chroma * np.cos(angle), chroma * np.sin(angle)))
    linear = np.clip(TO_LINEAR @ (OKLAB_TO_ROOTS @ lab) ** 3, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    # Rounded, because the last digit of a power can differ between machines.
    return srgb.round(5).astype(np.float32)[..., None, None]


class Drawing:
    """N creatures of one species and one kind of eye, painted shape by shape.

    `paint` is float32 (3, N, height, width) in [0, 1]. With alpha, there is a fourth channel, the opacity, and colours
    are multiplied by it. Coordinates are in [-1, 1] in the largest square, of `size` pixels, at the bottom in the
    middle; outside of it they go on. y grows downwards.
    """

    # Parameters of the creatures, (N, 1, 1).
    ear: np.ndarray
    face: np.ndarray
    mouth: np.ndarray
    tilt: np.ndarray
    turn: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def __init__(self, params: np.ndarray, height: int, width: int, alpha: bool = False):
        self.height, self.width, self.size = height, width, min(height, width)
        self.eye = EYES[params["eye"][0]]
        for name in ("ear", "face", "mouth", "tilt", "turn", "x", "y"):
            setattr(self, name, params[name][:, None, None])
        hue, zero = params["hue"], np.zeros(len(params))
        # Yellow looks colourful only when it is light, and warm hues can take more chroma than cold ones.
        light = 0.74 + 0.08 * params["shade"] + 0.05 * np.cos(2 * np.pi * (hue - 0.28))
        chroma = 0.12 + 0.02 * np.cos(2 * np.pi * (hue - 0.13))
        self.fur, self.dark = oklch(light, chroma, hue), oklch(light - 0.1, chroma, hue - 0.02)
        self.pale, self.shadow = oklch(light + 0.09, 0.6 * chroma, hue), oklch(light - 0.22, 0.9 * chroma, hue - 0.03)
        self.ink, self.white, self.cream = oklch(0.3, 0.035, hue), oklch(1, 0, zero), oklch(0.965, 0.022, zero + 0.2)
        self.pink, self.blush = oklch(0.75, 0.125, zero + 0.02), oklch(0.71, 0.16, zero + 0.04)
        self.orange, self.glow = oklch(0.78, 0.14, zero + 0.19), oklch(0.96, 0.025, hue + params["background"])
        self.set_origin(0, 0, 0)
        if alpha:
            self.paint = np.zeros((4, len(params), height, width), np.float32)
        else:
            self.paint = np.tile(oklch(0.9, 0.045, hue + params["background"]), (height, width))
            self.egg(0, 0, 1.25, 1.25, self.glow, soft=1)
        self.egg(0.06 * self.x, 1.0, 0.5, 0.46, self.dark, taper=0.2, keep=True)
        self.egg(0.06 * self.x, 1.1, 0.3, 0.36, self.cream, inside=True)
        self.egg(0.06 * self.x, 0.66, 0.6, 0.3, self.shadow, soft=0.7, inside=True)
        self.set_origin(0.08 * self.x, 0.12 + 0.05 * self.y, self.tilt)
        getattr(self, SPECIES[params["species"][0]])()

    def colours(self) -> np.ndarray:
        """The picture in [0, 1]: (3, N, height, width), or with alpha (4, N, height, width), whose colours are not
        multiplied by opacity."""
        opacity = self.paint[3:]
        if not len(opacity):
            return self.paint
        return np.concatenate([np.minimum(self.paint[:3] / np.maximum(opacity, 1e-6), 1), opacity])

    def set_origin(self, x, y, tilt) -> None:
        """Draw from now on relative to (x, y), rotated by `tilt` degrees clockwise."""
        across = (2 * np.arange(self.width) + 1 - self.width) / self.size
        down = (2 * np.arange(self.height) + 1 + self.size - 2 * self.height) / self.size
        dx, dy, angle = across[None, None, :] - x, down[None, :, None] - y, np.deg2rad(tilt + 0 * self.x)
        cos, sin = np.cos(angle), np.sin(angle)
        self.u, self.v = (cos * dx + sin * dy).astype(np.float32), (cos * dy - sin * dx).astype(np.float32)
        self.origin = x, y, cos, sin

    def window(self, x, y, reach) -> tuple[slice, slice, slice]:
        """The bounding box, over all N pictures, of a shape of radius `reach` at (x, y). Most shapes are small, so
        painting only there saves time."""
        left, top, cos, sin = self.origin
        centres = top + sin * x + cos * y, left + cos * x - sin * y
        starts = self.height - self.size, (self.width - self.size) / 2  # Where the square begins.
        ends = [
            [start + (end + 1) / 2 * self.size for end in (np.min(c - reach), np.max(c + reach))]
            for c, start in zip(centres, starts, strict=True)
        ]
        rows, columns = (slice(max(int(low) - 2, 0), max(int(high) + 3, 0)) for low, high in ends)
        return slice(None), rows, columns

    def egg(
        self, x, y, rx, ry, colour, angle: Any = 0, taper=0.0, bite=0.0, depth=0.0, soft=0.0, inside=False, keep=False
    ) -> None:
        """Paint a tapered ellipse.

        Args:
            x, y: centre.
            rx, ry: radii.
            angle: rotation in degrees clockwise.
            taper: makes it wider below than above; negative, wider above.
            bite: cuts out the same ellipse moved down by so many ry, which leaves a crescent.
            depth: how far it shifts as the face turns.
            soft: if not 0, the opacity at its centre, which fades to 0 at its edge.
            inside: clips it to the last shape painted with `keep`.
            keep: makes it the shape that later ones are clipped to.
        """
        x = x + depth * self.turn
        reach = np.maximum(rx * (1 + abs(taper)), ry)
        at = self.window(x, y, reach)
        cos, sin, x, y, rx, ry = map(np.float32, (np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)), x, y, rx, ry))
        u, v = self.u[at] - x, self.v[at] - y
        # The window depends on which creatures are drawn together. Clip to the shape's own reach, so pixels do not.
        near = u * u + v * v < (reach + 2 / self.size) ** 2
        u, v = cos * u + sin * v, (cos * v - sin * u) / ry
        cover = self.coverage(u, v, rx, ry, taper, soft) * near
        if bite:
            cover *= 1 - self.coverage(u, v - bite, rx, ry, taper, soft)
        if keep:
            self.kept = np.zeros_like(self.u)
            self.kept[at] = cover
        cover = cover * self.kept[at] if inside else cover
        area = self.paint[(slice(None), *at)]
        area[:3] += cover * (colour - area[:3])
        area[3:] += cover * (1 - area[3:])

    def coverage(self, u, v, rx, ry, taper, soft) -> np.ndarray:
        """The fraction of each pixel inside the ellipse, in [0, 1]; v is in units of ry."""
        rx = rx * np.clip(1 + taper * v, 0.25, 2) if taper else rx
        u = u / rx
        level = 1 - u * u - v * v
        if soft:
            level = np.clip(level, 0, 1)
            return soft * level * level * (3 - 2 * level)
        # To first order, level / slope is twice the distance from the edge.
        slope = np.sqrt((u / rx) ** 2 + (v / ry) ** 2 + np.float32(1e-6))
        return np.clip(0.5 + level * (self.size / 4) / slope, 0, 1)

    def eggs(self, x, y, *args, angle: Any = 0, **options) -> None:
        """Paint an egg at (x, y) and its mirror image at (-x, y)."""
        for side in (-1, 1):
            self.egg(side * x, y, *args, angle=side * angle, **options)

    def ears(self, x, y, rx, ry, outer, inner, angle: Any = 0, taper=0.0) -> None:
        self.eggs(x, y, rx, ry, outer, angle=angle, taper=taper, depth=-0.05)
        self.eggs(x, y + 0.1 * ry, 0.6 * rx, 0.7 * ry, inner, angle=angle, taper=taper, depth=-0.05)

    def skull(self, rx, ry, y=0.0, taper=0.1):
        rx, ry = rx * (1 + 0.08 * self.face), ry * (1 - 0.05 * self.face)
        self.egg(0, y, rx, ry, self.fur, taper=taper, keep=True)
        self.egg(0, y - 0.5 * ry, 0.85 * rx, 0.75 * ry, self.pale, depth=0.04, soft=0.75, inside=True)
        self.egg(0, y + 1.25 * ry, 1.25 * rx, 0.75 * ry, self.dark, soft=0.6, inside=True)

    def eyes(self, x, y, r=0.11, cheek=0.24):
        self.eggs(x + 0.16, y + cheek, 0.18, 0.13, self.blush, depth=0.06, soft=0.75, inside=True)
        r = 1.25 * r if self.eye == "wide" else r
        for ex in (0.1 * self.turn - x, 0.1 * self.turn + x):
            if self.eye == "happy":
                self.egg(ex, y + 0.02, 1.1 * r, r, self.ink, bite=0.55)
            elif self.eye == "sleepy":
                self.egg(ex, y, r, 1.12 * r, self.ink, keep=True)
                self.egg(ex, y - 0.75 * r, 2 * r, 0.85 * r, self.dark, inside=True)
                self.egg(ex, y - 0.2 * r, 1.3 * r, 0.4 * r, self.ink, bite=-0.7)
            else:
                self.egg(ex, y, r, 1.12 * r, self.ink, keep=True)
                self.egg(ex + 0.3 * r * self.turn, y - 0.42 * r, 0.36 * r, 0.36 * r, self.white)
                self.egg(ex, y + 0.6 * r, 0.6 * r, 0.32 * r, self.fur if self.eye == "wide" else self.ink, inside=True)

    def snout(self, y, nose, size):
        """Paint a mouth whose two halves meet at height y, below a nose of that colour and size."""
        drop = 0.005 + 0.09 * self.mouth
        self.egg(0, y + 0.03 + drop, 0.065, drop, self.ink, depth=0.14, keep=True)
        self.egg(0, y + 0.04 + 1.8 * drop, 0.05, 0.8 * drop, self.pink, depth=0.14, inside=True)
        self.eggs(0.077, y + 0.01, 0.08, 0.08, self.ink, depth=0.14, bite=-0.48)
        self.egg(0, y - 1.1 * size, size, 0.7 * size, nose, taper=-0.4, depth=0.14)

    def bear(self):
        self.ears(0.48, -0.42, 0.17 + 0.1 * self.ear, 0.17 + 0.1 * self.ear, self.fur, self.cream)
        self.skull(0.68, 0.6)
        self.eyes(0.3, 0.0)
        self.egg(0, 0.28, 0.27, 0.22, self.cream, depth=0.12)
        self.snout(0.28, self.ink, 0.1)

    def cat(self):
        self.ears(0.42, -0.47, 0.22, 0.27 + 0.16 * self.ear, self.fur, self.pink, angle=22, taper=0.75)
        self.skull(0.7, 0.57)
        self.eggs(0.17, -0.52, 0.05, 0.15, self.dark, angle=15, depth=0.06, inside=True)
        self.egg(0, -0.5, 0.055, 0.2, self.dark, depth=0.06, inside=True)
        self.eyes(0.31, 0.03)
        self.eggs(0.54, 0.2, 0.17, 0.015, self.shadow, angle=6, depth=0.1)
        self.eggs(0.54, 0.29, 0.17, 0.015, self.shadow, angle=-8, depth=0.1)
        self.eggs(0.09, 0.26, 0.15, 0.12, self.cream, depth=0.12)
        self.snout(0.25, self.pink, 0.07)

    def fox(self):
        self.ears(0.44, -0.48, 0.26, 0.33 + 0.16 * self.ear, self.dark, self.cream, angle=18, taper=0.7)
        self.skull(0.72, 0.58, taper=-0.22)
        self.eggs(0.5, 0.38, 0.4, 0.34, self.cream, angle=-25, inside=True)
        self.egg(0, 0.56, 0.3, 0.2, self.cream, depth=0.08, inside=True)
        self.eyes(0.3, 0.03, cheek=0.2)
        self.snout(0.38, self.ink, 0.095)

    def frog(self):
        self.eggs(0.38, -0.34, 0.2 + 0.08 * self.ear, 0.2 + 0.08 * self.ear, self.fur)
        self.skull(0.76, 0.52, 0.06, 0.15)
        self.egg(0, 0.55, 0.55, 0.28, self.cream, depth=0.05, inside=True)
        self.eggs(0.07, 0.06, 0.022, 0.03, self.dark, depth=0.12)
        self.eggs(0.38, -0.34, 0.17, 0.17, self.fur if self.eye == "happy" else self.white)
        self.eyes(0.38, -0.34, cheek=0.56)
        self.egg(0, 0.16, 0.3, 0.16, self.ink, depth=0.1, bite=-0.35)

    def owl(self):
        self.eggs(0.48, -0.46, 0.16, 0.2 + 0.2 * self.ear, self.dark, angle=30, taper=0.8)
        self.skull(0.68, 0.63, taper=0.05)
        self.egg(0, -0.5, 0.16, 0.3, self.dark, inside=True, taper=-0.8, depth=0.06)
        self.eggs(0.28, 0.02, 0.3, 0.31, self.cream, inside=True, depth=0.06)
        self.eyes(0.26, 0.02, 0.14, cheek=0.32)
        self.egg(0, 0.22, 0.1, 0.13, self.orange, taper=-0.6, depth=0.14)

    def rabbit(self):
        self.ears(0.22 + 0.16 * self.ear, -0.58, 0.15, 0.42, self.fur, self.pink, angle=4 + 26 * self.ear)
        self.skull(0.62, 0.53, 0.08, 0.15)
        self.eyes(0.27, 0.08)
        self.eggs(0.08, 0.31, 0.14, 0.11, self.cream, depth=0.12)
        self.eggs(0.032, 0.41, 0.034, 0.06, self.white, depth=0.14)
        self.snout(0.3, self.pink, 0.065)
