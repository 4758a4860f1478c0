"""Decode a picture file of any common format into pixels of one size."""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import math
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from gan_tf.common.errors import InputError
from gan_tf.config import Config

Item = TypeVar("Item")
Result = TypeVar("Result")

# Pillow recognises a format by the file's first bytes, not by its name. Its less common formats are never tried.
open_picture = functools.partial(Image.open, formats=("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"))
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")

# Pillow keeps the pixels of a picture in blocks of this size. glibc does not give its usual ones of 16 MB back to the
# system but keeps them for the thread that freed them, so that each thread would hold a large picture's memory.
Image.core.set_block_size(2**26)

# Pillow's filters antialias when they shrink. Bicubic leaves fewer halos than Lanczos around the outlines of drawings,
# above all when it enlarges, and Parmar et al. 2022 (arXiv:2104.11222) recommend it for measuring FID.
FILTER = Image.Resampling.BICUBIC


@dataclasses.dataclass(frozen=True)
class Failed:
    """The result for a picture that cannot be read."""

    reason: str  # a few words on one line


@contextlib.contextmanager
def pillow_warnings() -> Iterator[None]:
    """Make Pillow reject pictures above its MAX_IMAGE_PIXELS (89 million) before decoding them, where it would only
    warn, and ignore its warnings about odd metadata. Affects all threads, so use one `with` around all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def attempt(function: Callable[..., Result], *arguments) -> Result | Failed:
    """Call a function that reads a picture, and return Failed instead of raising."""
    try:
        return function(*arguments)
    except UnidentifiedImageError:
        return Failed("not a picture")
    except Exception as error:  # Pillow raises nearly every type for a damaged file.
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Failed(text.splitlines()[0])


def is_grey(path: Path) -> bool:
    """Whether a picture is grey, judged by its header only."""
    with open_picture(path) as picture:
        return picture.mode in ("1", "L", "LA", "La", "F") or picture.mode.startswith("I")


MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's name for so many channels.


class Budget:
    """Lets threads hold so much of something at a time, all together."""

    def __init__(self, total: int):
        self.total = self.left = total
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Wait until `amount` is left, and hold it. Whoever wants more than there is in total gets all of it."""
        amount = min(amount, self.total)
        with self.changed:
            self.changed.wait_for(lambda: self.left >= amount)
            self.left -= amount
        try:
            yield
        finally:
            with self.changed:
                self.left += amount
                self.changed.notify_all()


# Decoding takes eight bytes a pixel or more, so of the largest pictures that Pillow reads, one at a time.
PIXELS_AT_ONCE = Budget(10**8)
PIXELS_PER_PART = 2**20  # A conversion has several copies of a part at a time.


def read_picture(path: Path, channels: int, config: Config) -> np.ndarray:
    """Decode a picture into uint8 (height, width, channels) of config.image_size, with 1 (grey), 3 (RGB) or 4 channels
    (RGBA).

    It is rotated as its EXIF orientation says, put on config.background where it is transparent (with 4 channels, see
    `fill_hidden`), and given the size's proportions by config.fit. Animations give their first frame. Raises whatever
    Pillow raises.
    """
    with open_picture(path) as picture:
        size = picture.size
        draft(picture, config)
        # A progressive JPEG's coefficients are read in full.
        pixels = math.prod(size if picture.info.get("progressive") else picture.size)
    with PIXELS_AT_ONCE.hold(pixels):
        return decode_picture(path, channels, config)  # It returns when the large pictures are freed.


def decode_picture(path: Path, channels: int, config: Config) -> np.ndarray:
    """See `read_picture`."""
    with open_picture(path) as picture:
        draft(picture, config)
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        converted = convert(picture, channels, config.background)
    pixels = np.array(fit_picture(converted, config)).reshape(*config.sides, channels)
    return fill_hidden(pixels, config.background)


def draft(picture: Image.Image, config: Config) -> None:
    """Choose the size at which a JPEG is decoded: libjpeg can do so at 1/2, 1/4 or 1/8, which is much faster. Twice the
    target is sharp enough."""
    side = 2 * max(config.sides)
    picture.draft(None, (side, side))


def convert(picture: Image.Image, channels: int, background: str) -> Image.Image:
    """Convert a picture of any mode to the one of so many channels. Without a channel for it, transparent areas are
    filled with the background colour.

    No pixel depends on another, so a large picture is converted part by part.
    """
    rows = max(1, PIXELS_PER_PART // picture.width)
    if picture.mode == "F" or picture.mode.startswith("I"):
        check_range(picture, rows)
    is_seen_through = picture.has_transparency_data and channels < 4
    if rows >= picture.height or (picture.mode == MODES[channels] and not is_seen_through):
        return convert_part(picture, channels, background)
    converted = Image.new(MODES[channels], picture.size)
    for box in parts(picture, rows):
        converted.paste(convert_part(picture.crop(box), channels, background), box)
    return converted


def parts(picture: Image.Image, rows: int) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of so many rows that make up a picture."""
    for top in range(0, picture.height, rows):
        yield 0, top, picture.width, min(top + rows, picture.height)


def convert_part(picture: Image.Image, channels: int, background: str) -> Image.Image:
    """See `convert`."""
    mode = MODES[channels]
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = to_eight_bits(picture)
    if picture.has_transparency_data and mode != "RGBA":
        canvas = Image.new("RGBA", picture.size, background)
        picture = Image.alpha_composite(canvas, picture.convert("RGBA"))
    return picture if picture.mode == mode else picture.convert(mode)


def fill_hidden(pixels: np.ndarray, background: str) -> np.ndarray:
    """Give fully transparent pixels of uint8 (height, width, channels) the background colour, in place. Programs leave
    anything there, and a GAN would learn to draw it. Without a fourth channel, nothing changes."""
    if pixels.shape[-1] == 4:
        pixels[pixels[..., 3] == 0, :3] = parse_colour(background)
    return pixels


def white_value(picture: Image.Image) -> int:
    """What is white in a picture of floats or of integers with more than 8 bits."""
    return 1 if picture.mode == "F" else 65535


def check_range(picture: Image.Image, rows: int) -> None:
    """Raise ValueError if a picture of floats or of integers with more than 8 bits has values below 0 or beyond white,
    as nothing says then which value is white. (Pillow would clip at 255.)"""
    values = (np.asarray(picture.crop(box), np.float32) for box in parts(picture, rows))
    lowest, highest = zip(*((part.min(), part.max()) for part in values), strict=True)
    low, high, white = np.min(lowest), np.max(highest), white_value(picture)
    if not 0 <= low <= high <= white:  # Written so that NaN fails too.
        raise ValueError(f"its values range from {low:g} to {high:g} instead of 0 to {white}")


def to_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 16-bit integers in [0, 65535], or floats in [0, 1], to mode L."""
    return Image.fromarray(np.round(np.asarray(picture, np.float32) * (255 / white_value(picture))).astype(np.uint8))


def fit_picture(picture: Image.Image, config: Config) -> Image.Image:
    """Resize a picture of one of MODES to config.image_size: its middle (crop), all of it on config.background or, with
    an alpha channel, on nothing (pad), or all of it distorted (stretch)."""
    height, width = config.sides
    if config.fit == "crop":
        return ImageOps.fit(picture, (width, height), FILTER)
    if config.fit == "stretch":
        return picture.resize((width, height), FILTER)
    scale = min(width / picture.width, height / picture.height)
    # Not ImageOps.pad: it rounds the short side of a very long picture to 0, which leaves only background.
    inner = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), FILTER)
    around = 0 if picture.mode == "RGBA" else parse_colour(config.background, picture.mode)
    padded = Image.new(picture.mode, (width, height), around)
    padded.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return padded


def parse_colour(background: str, mode: str = "RGB") -> int | tuple[int, ...]:
    """Convert a colour name or #rrggbb to Pillow's value in a mode. Raises InputError."""
    try:
        return ImageColor.getcolor(background, mode)
    except ValueError:
        raise InputError(
            f"--background is {background}, but it must be a colour name such as white, or #rrggbb."
        ) from None


def map_in_order(
    pool: Executor, function: Callable[[Item], Result], items: Sequence[Item], waiting: int = 64
) -> Iterator[Result]:
    """Like pool.map, with a progress bar, and with at most `waiting` results in memory however slow the consumer is."""
    remaining, futures = iter(items), collections.deque()
    for _ in tqdm(items, unit=" pictures", mininterval=0.5, file=sys.stdout):
        futures.extend(pool.submit(function, item) for item in itertools.islice(remaining, waiting - len(futures)))
        yield futures.popleft().result()


def write_pixels(
    path: Path, pictures: Iterable[np.ndarray | Failed], shape: tuple[int, int, int, int]
) -> tuple[str, dict[int, str]]:
    """Stream pictures into a .npy file, uint8, of shape `shape` minus those that are Failed.

    Returns the SHA-256 of the pixels, and position -> reason of each failure.
    """
    digest, reasons = hashlib.sha256(), {}
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for position, picture in enumerate(pictures):
            if isinstance(picture, Failed):
                reasons[position] = picture.reason
            else:
                file.write(picture.data)
                digest.update(picture.data)
        # Overwrites the first header. It has the same length, as NumPy reserves room for the first axis to grow.
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (shape[0] - len(reasons), *shape[1:])})
    return digest.hexdigest(), reasons
