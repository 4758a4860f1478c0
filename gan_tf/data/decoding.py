"""A picture file of any usual kind -> one square of pixels."""

import collections
import contextlib
import functools
import hashlib
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from gan_tf.common.errors import InputError
from gan_tf.config import Config

# What a file is shows its beginning and not its name; the lesser formats that Pillow knows are never tried.
open_picture = functools.partial(Image.open, formats=("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"))
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")

# Antialiased when it makes smaller, as all of Pillow's filters are, and with fewer halos than LANCZOS around the
# outlines of drawings, above all when it makes larger. FID should be measured with it too (Parmar et al. 2022).
FILTER = Image.Resampling.BICUBIC


@contextlib.contextmanager
def pillow_warnings():
    """Makes Pillow refuse pictures of more pixels than its MAX_IMAGE_PIXELS (89 million) before it decodes them,
    where it would only warn, and keep quiet about odd metadata. In all threads, so one `with` around them all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def or_reason(function, *arguments):
    """What the function returns; or, as a str, why the picture that it was to read cannot be."""
    try:
        return function(*arguments)
    except UnidentifiedImageError:
        return "it is no picture"
    except Exception as error:  # Pillow raises nearly every type for a damaged file.
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return said.splitlines()[0]


def is_grey(path: Path) -> bool:
    """Whether a picture has no colours, by its header alone."""
    with open_picture(path) as picture:
        return picture.mode in ("1", "L", "LA", "La", "F") or picture.mode.startswith("I")


def read_square(path: Path, channels: int, config: Config) -> np.ndarray:
    """The picture as uint8 (image_size, image_size, channels), upright, on config.background, squared as config.fit
    says. Of an animation, its first frame. Raises whatever Pillow does."""
    size = config.image_size
    with open_picture(path) as picture:
        # A JPEG can be decoded at a half, a quarter or an eighth: much faster, and twice the size is still enough.
        picture.draft(None, (2 * size, 2 * size))
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        flat = flatten(picture, "L" if channels == 1 else "RGB", config.background)
    return np.asarray(squared(flat, size, config.fit, config.background)).reshape(size, size, channels)


def flatten(picture: Image.Image, mode: str, background: str) -> Image.Image:
    """A picture of any mode -> L or RGB, with what is transparent replaced by the background."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = eight_bits(picture)
    if picture.has_transparency_data:
        below = Image.new("RGBA", picture.size, background)
        picture = Image.alpha_composite(below, picture.convert("RGBA"))
    return picture if picture.mode == mode else picture.convert(mode)


def eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits, or of floating-point numbers from 0 to 1 -> L. Raises ValueError for any other range, as only
    its maker knows what is white. (Pillow itself would make white of all that is above 255.)"""
    values, white = np.asarray(picture, np.float32), 1 if picture.mode == "F" else 65535
    if not 0 <= values.min() <= values.max() <= white:  # So that a NaN is refused too.
        raise ValueError(f"its values are from {values.min():g} to {values.max():g} instead of 0 to {white}")
    return Image.fromarray(np.round(values * (255 / white)).astype(np.uint8))


def squared(picture: Image.Image, size: int, fit: str, background: str) -> Image.Image:
    """An L or RGB picture -> size x size: its middle (crop), all of it on the background (pad), or all of it
    distorted (stretch)."""
    if fit == "crop":
        return ImageOps.fit(picture, (size, size), FILTER)
    if fit == "stretch":
        return picture.resize((size, size), FILTER)
    scale = size / max(picture.size)
    # Not ImageOps.pad, by which a very long picture would be nothing but background.
    inner = picture.resize([max(1, round(side * scale)) for side in picture.size], FILTER)
    whole = Image.new(picture.mode, (size, size), colour(background, picture.mode))
    whole.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
    return whole


def colour(background: str, mode: str = "RGB") -> int | tuple[int, ...]:
    """A colour's name or #rrggbb -> what Pillow calls it in a mode. Raises InputError."""
    try:
        return ImageColor.getcolor(background, mode)
    except ValueError:
        raise InputError(
            f"--background is {background}, but it must be a colour's name, such as white, or #rrggbb."
        ) from None


def in_order(pool: Executor, function: Callable, items: list) -> Iterator:
    """pool.map with a progress bar, and with only a few results in memory, however slowly they are taken."""
    import keras

    bar = keras.utils.Progbar(len(items), unit_name="picture", interval=0.5)
    begun, waiting = iter(items), collections.deque()
    for _ in items:
        waiting.extend(pool.submit(function, item) for item in itertools.islice(begun, 64 - len(waiting)))
        yield waiting.popleft().result()
        bar.add(1)


def write_squares(path: Path, squares: Iterable[np.ndarray | str], shape: tuple[int, ...]) -> tuple[str, dict]:
    """Write squares of `shape` to a .npy file, one after the other. A str among them is the reason why there is
    none. Returns SHA-256 of the pixels, and the reasons by their positions."""
    digest, reasons = hashlib.sha256(), {}
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for position, square in enumerate(squares):
            if isinstance(square, str):
                reasons[position] = square
            else:
                file.write(square)
                digest.update(square)
        # In the place of the first, and as long: NumPy leaves room for the first axis to grow.
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, header | {"shape": (shape[0] - len(reasons), *shape[1:])})
    return digest.hexdigest(), reasons
