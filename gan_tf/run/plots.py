"""Images -> one picture, and a history -> curves. Arrays in, arrays and files out; nothing else of gan_tf."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def scale_of(side: int) -> int:
    """How many times an image of `side` pixels is enlarged to be some 56 pixels, never made smaller."""
    return max(1, round(56 / side))


def grid(images: np.ndarray, columns: int | None = None, scale: int | None = None, gap: int = 2) -> np.ndarray:
    """uint8 images (N, height, width, channels) -> one uint8 picture (H, W, channels), row by row, first one
    top left, on white. As square as can be unless `columns` says otherwise. Each is enlarged `scale` times, by
    default `scale_of` its side, with hard edges: what is seen is what was drawn.
    """
    count, height, width, channels = images.shape
    scale = scale or scale_of(max(height, width))
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    step_y, step_x = height * scale + gap, width * scale + gap
    picture = np.full((rows * step_y + gap, columns * step_x + gap, channels), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = gap + i // columns * step_y, gap + i % columns * step_x
        picture[y : y + height * scale, x : x + width * scale] = image.repeat(scale, axis=0).repeat(scale, axis=1)
    return picture


def to_pillow(picture: np.ndarray) -> Image.Image:
    """A uint8 picture (H, W, 1 or 3) as Pillow has it."""
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def from_pillow(picture: Image.Image) -> np.ndarray:
    """Pillow's picture as ours: uint8 (H, W, channels), grey ones too."""
    array = np.asarray(picture)
    return array[..., np.newaxis] if array.ndim == 2 else array


def save_png(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture (H, W, 1 or 3)."""
    to_pillow(picture).save(path, format="PNG")


def open_png(path: Path) -> np.ndarray:
    """A picture that `save_png` wrote: uint8 (H, W, 1 or 3)."""
    with Image.open(path) as picture:
        return from_pillow(picture)


def save_gif(path: Path, frames: Sequence[np.ndarray], seconds: float = 0.2, hold: float = 1.0) -> None:
    """Write uint8 pictures (H, W, 1 or 3), all of one size, as an endless animation: `seconds` each, the last
    one `hold` longer."""
    first, *rest = [to_pillow(frame) for frame in frames]
    milliseconds = [round(seconds * 1000)] * len(frames)
    milliseconds[-1] += round(hold * 1000)
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)


def strip(frames: Sequence[np.ndarray], captions: Sequence[str], columns: int = 8, gap: int = 2) -> np.ndarray:
    """The first column of each of several sample grids side by side, a caption over each: how the same latent
    vectors were drawn at different times. `columns` is how many each grid has. Returns uint8 (H, W, channels).
    """
    step = (frames[0].shape[1] - gap) // columns
    rows = np.concatenate([frame[:, :step] for frame in frames], axis=1)
    picture = Image.new(to_pillow(rows).mode, (rows.shape[1], rows.shape[0] + 18), "white")
    picture.paste(to_pillow(rows), (0, 18))
    pen = ImageDraw.Draw(picture)
    for i, caption in enumerate(captions):
        pen.text((i * step + step // 2 + gap, 10), caption, fill="black", anchor="mm", font=ImageFont.load_default(11))
    return from_pillow(picture)


# The panels of the curves: what its axis says, and which columns of a history it shows.
PANELS = {
    "loss": ("d_loss", "g_loss"),
    "probability of being real": ("D(x)", "D(G(z))_before", "D(G(z))_after"),
    "share that D is right about": ("accuracy_real", "accuracy_fake", "accuracy_trained", "accuracy_held_out"),
    "length of the gradient": ("d_gradient", "g_gradient"),
    "spread of fakes over that of reals": ("spread",),
    "Frechet distance": ("frechet_distance",),
}


def save_curves(
    path: Path,
    history: Mapping[str, Sequence[float]],
    healthy: Mapping[str, tuple[float, float]] | None = None,
    guessed: Sequence[float] = (2 * math.log(2), math.log(2)),
) -> None:
    """Draw a history over its epochs (PNG): a panel for each of PANELS of which it has a column.

    `healthy` says between which values a column lies while all is well, which is shaded in its panel. The dashed lines
    are a discriminator that cannot tell: the `guessed` losses of both, and probabilities of one half.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {title: [name for name in names if name in history] for title, names in PANELS.items()}
    panels = {title: names for title, names in panels.items() if names}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(12, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, names) in zip(figure.subplots(rows, columns, squeeze=False).flat, panels.items(), strict=False):
        for name in names:
            there = [(x, y) for x, y in zip(history["epoch"], history[name], strict=True) if math.isfinite(y)]
            axes.plot(*zip(*there, strict=True), label=name, marker="." if len(there) < 40 else "")
        for low, high in sorted({healthy[name] for name in names if name in (healthy or {})}):
            axes.axhspan(low, high, color="green", alpha=0.07, linewidth=0)
        for level in {"loss": guessed, "probability of being real": (0.5,)}.get(title, ()):
            axes.axhline(level, color="grey", linestyle="--", linewidth=0.8)
        axes.set(xlabel="epoch", ylabel=title)
        if title.startswith(("probability", "share")):
            axes.set_ylim(0, 1)
        if title.startswith("length"):
            axes.set_yscale("log")
        axes.legend(fontsize="small")
    for axes in figure.axes[len(panels) :]:
        axes.remove()
    figure.savefig(path, format="png", dpi=100)
