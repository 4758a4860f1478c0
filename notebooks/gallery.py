"""Pictures of chapter 9: lengths, truncation, rows of fakes and the film."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from charts import BLUE, GREY, ORANGE
from gan_tf import notebook as nb
from gan_tf.run import plots

# The alt text of the chapter's film.
CHOIR = "Animation: a bear, a cat, a fox, a frog, an owl and a rabbit of one colour tilt and turn their heads together"
# What the chapter's pictures show, for those who cannot see them.
ALT = {
    "lengths": (
        "Two bells: the latent vectors around 11.3, with the middles on the arc on top of them, and the "
        "middles of two around 8, which hardly overlap with them"
    ),
    "walks": (
        "Four rows of eight fakes: an orange fox turns teal twice, a violet bear turns orange twice; the rows "
        "of a pair look nearly alike"
    ),
    "truncation": (
        "Above: precision falls from nearly 1 at psi 0.4 to 0.94 at psi 1.3. Below: recall rises from about "
        "0.65 to 0.97 and is level from 0.85 on. Both sets agree"
    ),
    "turn": (
        "A cat, an owl and a rabbit, a row each: their heads turn from one side to the other, and their "
        "colours shift"
    ),
    "directions": (
        "Four rows: a cat tilts its head, an owl changes colour, a rabbit turns its head, a bear closes its "
        "eyes"
    ),
    "nearest": (
        "Eight fakes above, and below each the nearest training picture, of the same species and a similar "
        "colour and tilt"
    ),
    "given": (
        "Three columns, a rabbit, a fox and an owl: as given, as found, and found with the head tilted to "
        "either side"
    ),
}


def row(images: np.ndarray) -> np.ndarray:
    """Images (N, height, width, channels) side by side."""
    return plots.grid(images, columns=len(images), scale=1)


def show_rows(rows: Sequence[np.ndarray], alt: str) -> None:
    """Batches of images, a row each."""
    grid = plots.grid(np.concatenate(rows), columns=len(rows[0]), scale=2)
    nb.show(grid, alt)


def show_lengths(vectors: Mapping[str, np.ndarray], alt: str) -> None:
    """Histograms of the lengths of vectors (N, d)."""
    canvas, axes = nb.figure(width=5.6, height=3)
    styles = [
        (BLUE, "stepfilled", 0.5),
        (ORANGE, "stepfilled", 0.5),
        ("black", "step", 1),
    ]
    for (name, group), (colour, kind, alpha) in zip(
        vectors.items(), styles, strict=True
    ):
        lengths = np.linalg.norm(group, axis=1)
        options = {"histtype": kind, "color": colour, "alpha": alpha, "linewidth": 1.5}
        axes.hist(lengths, bins=np.linspace(0, 15, 76), label=name, **options)
    axes.set(xlabel="length of the vector", ylabel="how many of 5,000", xlim=(0, 15))
    axes.legend(loc="upper left")
    nb.show(canvas, alt)


def show_truncation(psis: Sequence[float], quality: np.ndarray, alt: str) -> None:
    """Precision and recall over psi, from quality (sets, psis, 2): a line for each set of latent vectors."""
    canvas, axes = nb.figure(1, 2, width=5.6, height=2.4)
    for panel, column, name in zip(axes, (0, 1), ("precision", "recall"), strict=True):
        for number, values in enumerate(quality[..., column]):
            style = {"color": (BLUE, ORANGE)[number], "linestyle": ("-", "--")[number]}
            panel.plot(
                psis,
                values,
                marker=".",
                label=f"latent vectors, set {number + 1}",
                **style,
            )
        panel.axvline(1, color=GREY, linestyle=":", label="no truncation")
        panel.set(xlabel="psi", ylabel=name)
    axes[0].legend(loc="lower left")
    nb.show(canvas, alt)


def show_film(batches: Sequence[np.ndarray], alt: str) -> None:
    """Batches of six images as an endless animated GIF, two rows of three. 64 colours keep it small, and the page enlarges it."""
    frames = [plots.grid(batch, columns=3, scale=1) for batch in batches]
    film = Image.fromarray(np.concatenate(frames))
    film = film.quantize(64, dither=Image.Dither.NONE).convert("RGB")
    frames = np.split(np.asarray(film), len(frames))
    nb.show(
        plots.encode_animation(frames, ".gif", seconds=0.12, hold=0), alt, width=400
    )
