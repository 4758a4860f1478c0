"""Arrays in, pictures out: sample grids, animations and training curves. Imports nothing else from gan_tf."""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image, ImageDraw, ImageFont

CAPTION = 18  # Height in pixels of the line of captions above a strip.
MP4_NEEDS_PYAV = 'Writing an .mp4 file needs PyAV: run python -m pip install "imageio[pyav]", or write a .gif file.'


def display_scale(side: int) -> int:
    """The whole number by which to enlarge an image of `side` pixels so that it is about 56 pixels wide, at least 1."""
    return max(1, round(56 / side))


GAP = 2  # White pixels between the images of a grid and around it.


def grid(images: np.ndarray, columns: int | None = None, scale: int | None = None, gap: int = GAP) -> np.ndarray:
    """Arrange images row by row on white.

    Args:
        images: uint8 (N, height, width, channels). Transparent ones (4 channels) are put on a checkerboard.
        columns: images per row; by default the grid is as square as possible.
        scale: whole number by which each image is enlarged, without smoothing, so that you see the pixels that were
            generated. By default `display_scale` of its longer side.
        gap: white pixels between images and around the grid.

    Returns:
        uint8 (H, W, 1 or 3).
    """
    images = on_checkerboard(images) if images.shape[-1] == 4 else images
    count, height, width, channels = images.shape
    scale = scale or display_scale(max(height, width))
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    step_y, step_x = height * scale + gap, width * scale + gap
    picture = np.full((rows * step_y + gap, columns * step_x + gap, channels), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = gap + i // columns * step_y, gap + i % columns * step_x
        picture[y : y + height * scale, x : x + width * scale] = image.repeat(scale, axis=0).repeat(scale, axis=1)
    return picture


def on_checkerboard(images: np.ndarray) -> np.ndarray:
    """Transparent images, uint8 (N, height, width, 4), on white and grey fields, eight along the longer side: uint8 (N,
    height, width, 3)."""
    _, height, width, _ = images.shape
    y, x = np.indices((height, width)) // max(1, max(height, width) // 8)
    fields = np.where((y + x) % 2, 204, 255)[..., np.newaxis].astype(np.float32)
    opacity = images[..., 3:] / np.float32(255)
    return np.round(fields + opacity * (images[..., :3] - fields)).astype(np.uint8)


def cells(picture: np.ndarray, height: int, width: int, scale: int = 1) -> np.ndarray:
    """The images of a picture that `grid` made with this scale and its usual gap, as large as they stand there: uint8
    (rows, columns, scale * height, scale * width, channels). Raises ValueError for a picture of another size."""
    step_y, step_x = height * scale + GAP, width * scale + GAP
    rows, rest_y = divmod(picture.shape[0] - GAP, step_y)
    columns, rest_x = divmod(picture.shape[1] - GAP, step_x)
    if rest_y or rest_x or not rows * columns:
        raise ValueError(f"{picture.shape[1]}x{picture.shape[0]} pixels are no grid of images of {width}x{height}")
    parts = picture[GAP:, GAP:].reshape(rows, step_y, columns, step_x, -1)
    return parts[:, :-GAP, :, :-GAP].transpose(0, 2, 1, 3, 4)


def to_pillow(picture: np.ndarray) -> Image.Image:
    """Convert uint8 (H, W, 1, 3 or 4) to a Pillow image, mode L, RGB or RGBA."""
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def from_pillow(picture: Image.Image) -> np.ndarray:
    """Convert a Pillow image to uint8 (H, W, channels); grey images keep one channel."""
    array = np.asarray(picture)
    return array[..., np.newaxis] if array.ndim == 2 else array


def save_png(path: Path, picture: np.ndarray) -> None:
    """Write uint8 (H, W, 1, 3 or 4) as a PNG."""
    to_pillow(picture).save(path, format="PNG")


def open_png(path: Path) -> np.ndarray:
    """Read a PNG as uint8 (H, W, channels)."""
    with Image.open(path) as picture:
        return from_pillow(picture)


def can_write_mp4() -> bool:
    """Whether imageio's optional plugin for video, PyAV, is installed."""
    return importlib.util.find_spec("av") is not None


def encode_animation(frames: Sequence[np.ndarray], suffix: str, seconds: float = 0.2, hold: float = 1.0) -> bytes:
    """Encode frames as a GIF that repeats forever, or as an MP4 that every browser plays (H.264, 4:2:0).

    A GIF that holds its last frame begins with it. The loop is the same, and where GIFs don't move, people see the
    result.

    An MP4 is several times smaller than the GIF. H.264 needs an even width and height, so an odd side gets one more
    pixel, a copy of its last.

    Args:
        frames: uint8 pictures (H, W, 1 or 3), all of one size.
        suffix: ".gif" or ".mp4".
        seconds: how long each frame is shown.
        hold: how many more seconds the last frame is shown. An MP4 rounds it up to whole frames.

    Raises:
        ValueError: for another suffix.
        ModuleNotFoundError: for ".mp4" if PyAV is not installed.
    """
    if suffix == ".gif":
        milliseconds = [round(seconds * 1000)] * len(frames)
        milliseconds[-1] += round(hold * 1000)
        pictures = [np.asarray(to_pillow(frame)) for frame in frames]
        if hold:
            milliseconds = milliseconds[-1:] + milliseconds[:-1]
            pictures = pictures[-1:] + pictures[:-1]
        return iio.imwrite("<bytes>", pictures, extension=".gif", plugin="pillow", duration=milliseconds, loop=0)
    if suffix != ".mp4":
        raise ValueError(f"An animation is a .gif or an .mp4 file, not {suffix!r}.")
    if not can_write_mp4():
        raise ModuleNotFoundError(MP4_NEEDS_PYAV)
    height, width, _ = frames[0].shape
    even = ((0, height % 2), (0, width % 2), (0, 0))
    pictures = [np.pad(np.broadcast_to(frame, (height, width, 3)), even, mode="edge") for frame in frames]
    pictures += pictures[-1:] * math.ceil(hold / seconds)
    return iio.imwrite(
        "<bytes>",
        pictures,
        extension=".mp4",
        plugin="pyav",
        codec="libx264",
        fps=1 / seconds,
        out_pixel_format="yuv420p",
    )


def save_animation(path: Path, frames: Sequence[np.ndarray], seconds: float = 0.2, hold: float = 1.0) -> None:
    """Write `encode_animation` of the frames, in the format that the suffix of `path` names: .gif or .mp4."""
    path.write_bytes(encode_animation(frames, path.suffix, seconds, hold))


def strip(frames: Sequence[np.ndarray], captions: Sequence[str], columns: int = 8, gap: int = 2) -> np.ndarray:
    """Put the first column of each sample grid side by side under a caption: the same latents at different times.

    Args:
        frames: sample grids of one size, uint8 (H, W, channels).
        captions: a short text for each.
        columns: columns of each grid.
        gap: the grids' gap.

    Returns:
        uint8 (H + CAPTION, W', channels).
    """
    step = (frames[0].shape[1] - gap) // columns
    rows = np.concatenate([frame[:, :step] for frame in frames], axis=1)
    picture = Image.new(to_pillow(rows).mode, (rows.shape[1], rows.shape[0] + CAPTION), "white")
    picture.paste(to_pillow(rows), (0, CAPTION))
    pen = ImageDraw.Draw(picture)
    for i, caption in enumerate(captions):
        pen.text((i * step + step // 2 + gap, 10), caption, fill="black", anchor="mm", font=ImageFont.load_default(11))
    return from_pillow(picture)


# Panels of the training curves: the label of each y axis, and the columns of the history that it shows.
PANELS = {
    "loss": ("d_loss", "g_loss"),
    "probability of being real": ("D(x)", "D(G(z))_before", "D(G(z))_after"),
    "accuracy of D": ("accuracy_real", "accuracy_fake", "accuracy_trained", "accuracy_held_out"),
    "gradient norm": ("d_gradient", "g_gradient"),
    "spread of fakes / spread of reals": ("spread",),
    "Frechet distance": ("frechet_distance",),
}
# Okabe and Ito's palette, which people with any common colour blindness can tell apart, and a dash for each, so that a
# grey print is readable too.
LINES = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":"))


def outline(values: np.ndarray, most: int = 1000) -> np.ndarray:
    """The sorted indices of the finite values that a curve is drawn through: all, or of more than `most`, which is more
    than a panel has pixels, the lowest and the highest of each of `most` / 2 stretches."""
    rows = np.flatnonzero(np.isfinite(values))
    if len(rows) <= most:
        return rows
    parts = np.array_split(rows, most // 2)
    return np.unique([part[choose(values[part])] for part in parts for choose in (np.argmin, np.argmax)])


def save_curves(
    path: Path,
    history: Mapping[str, Sequence[float]],
    healthy: Mapping[str, tuple[float, float]] | None = None,
    chance: Sequence[float] = (2 * math.log(2), math.log(2)),
) -> None:
    """Draw a history over its epochs as a PNG, with a panel for each entry of PANELS that the history has a column of.

    Args:
        path: the file to write.
        history: column name -> one value per epoch, with a column "epoch". Values that are not finite are left out.
        healthy: column name -> (low, high), the range that a healthy run stays in; it is shaded.
        chance: both losses of a discriminator that cannot tell reals from fakes. They are drawn as thin grey lines, as
            is the probability of one half.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {title: [name for name in names if name in history] for title, names in PANELS.items()}
    panels = {title: names for title, names in panels.items() if names}
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(12, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, names) in zip(figure.subplots(rows, columns, squeeze=False).flat, panels.items(), strict=False):
        for low, high in sorted({healthy[name] for name in names if name in healthy} if healthy else ()):
            axes.axhspan(low, high, color="#009E73", alpha=0.1, linewidth=0, label="healthy")
        for level in {"loss": chance, "probability of being real": (0.5,)}.get(title, ()):
            axes.axhline(level, color="grey", linewidth=0.8)
        for name, (color, dash) in zip(names, LINES, strict=False):
            values = np.asarray(history[name])
            rows = outline(values)
            marker = "." if len(rows) < 40 else ""
            epochs = np.asarray(history["epoch"])[rows]
            axes.plot(epochs, values[rows], label=name, color=color, linestyle=dash, marker=marker)
        axes.set(xlabel="epoch", ylabel=title)
        if title.startswith(("probability", "accuracy")):
            axes.set_ylim(-0.02, 1.02)
        if title == "gradient norm":
            axes.set_yscale("log")
        # Above the panel, where it hides no curve. A fixed place, because Matplotlib's search for the best one is slow.
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize="small", frameon=False)
    for axes in figure.axes[len(panels) :]:
        axes.remove()
    figure.savefig(path, format="png", dpi=100)
