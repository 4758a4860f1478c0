"""Chapter 1's pictures: convolutions of a five, tables of layers, and a training that can be watched."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from IPython import display

from charts import BLUE, GREY, ORANGE
from gan_tf import notebook as nb
from gan_tf.gan import sample
from gan_tf.run import plots

# The alt text of the chapter's film, and those of its other pictures.
FILM = "Animation: 32 squares of grey noise turn into pale blots, then strokes, then handwritten fives"
ALT = {
    "halved": (
        "A real five and three outputs of half its size: one shows the sides of strokes, one their upper and lower edges,"
        " one a smaller five"
    ),
    "doubled": (
        "A five of 14 pixels; doubled by SPOT, a soft five of 28 pixels; the 4 by 4 random weights; doubled by them, a"
        " pattern of squares with a five behind it"
    ),
    "epochs": (
        "Rows of six fakes. After the first epoch, grey shadows of fives; then white strokes, some of them torn; in the"
        " last rows, fives, not all of them good"
    ),
    "average": (
        "Six rows of the same eight fives. In the upper three, from the generator, strokes and specks change from row to"
        " row. The lower three, from the average, look alike"
    ),
}
COLUMNS = 8


def show_panels(pictures: Mapping[str, np.ndarray], alt: str) -> None:
    """Pictures (side, side) of any range, each on a grey scale of its own, under their titles, two a row."""
    canvas, axes = nb.figure(2, (len(pictures) + 1) // 2, width=2.9, height=3.1)
    for panel in np.ravel(axes):
        panel.axis("off")
    for panel, (title, picture) in zip(np.ravel(axes), pictures.items(), strict=False):
        edge = np.abs(picture).max()
        panel.imshow(np.squeeze(picture), cmap="gray", vmin=-edge, vmax=edge)
        panel.set_title(f"{title}, {len(picture)} x {len(picture)}")
    nb.show(canvas, alt)


def show_layers(model: keras.Sequential) -> None:
    """A table: what each layer turns its input into, and how many weights it has."""
    lines = ["| layer | output | weights |", "| --- | --- | ---: |"]
    lines.append(f"| input | {shape(model.input_shape)} | |")
    for layer in model.layers:
        weights = f"{layer.count_params():,}" if layer.count_params() else ""
        lines.append(
            f"| {type(layer).__name__} | {shape(layer.output.shape)} | {weights} |"
        )
    nb.say("\n".join([*lines, f"| **all** | | **{model.count_params():,}** |"]))


def shape(batch: Sequence) -> str:
    """The shape of one element of a batch."""
    return " x ".join(map(str, batch[1:]))


class Watch:
    """Shows training live: a grid of fakes from fixed noise and a line of numbers, redrawn at each call.

    `rows` has the numbers of each epoch, and `frames` the grids, by epoch; those between two epochs have fractions.
    """

    NAMES = ("D(x)", "D(G(z)) before", "D(G(z)) after", "loss of D", "loss of G")

    def __init__(self, noise: np.ndarray):
        self.noise, self.frames, self.rows, self.places = noise, {}, [], []

    def __call__(
        self, generator: keras.Model, epoch: float, row: Sequence[float] = ()
    ) -> None:
        self.frames[epoch] = plots.grid(sample(generator, self.noise), columns=COLUMNS)
        if len(row):
            self.rows.append(np.asarray(row))
        now = [
            f"{name} {value:.2f}" for name, value in zip(self.NAMES, row, strict=False)
        ]
        line = display.Pretty("   ".join([f"epoch {epoch:.0f}", *now]))
        parts = (
            nb.encode(
                self.frames[epoch], f"{len(self.noise)} fakes after epoch {epoch:.0f}"
            ),
            line,
        )
        if self.places and not len(row):
            return  # Between two epochs, the grid is only kept.
        if not self.places:
            self.places = [display.DisplayHandle() for _ in parts]
            for place, part in zip(self.places, parts, strict=True):
                place.display(part)
            return
        for place, part in zip(self.places, parts, strict=True):
            place.update(part)


def show_film(watch: Watch, alt: str) -> None:
    """The grids as an animated GIF: all of the first epochs, and every other one of the later."""
    epochs = [epoch for epoch in watch.frames if epoch <= 6 or epoch % 2 == 0]
    # Sixteen levels of grey make a small file.
    frames = [watch.frames[epoch] // 16 * 17 for epoch in epochs]
    nb.show(plots.encode_animation(frames, ".gif", seconds=0.3, hold=2.0), alt)


def show_epochs(watch: Watch, epochs: Sequence[int], count: int = 6) -> None:
    """The first fakes of some epochs, a row each, with the epoch before it."""
    canvas, axes = nb.figure(1, len(epochs), width=4.8, height=0.72)
    for panel, epoch in zip(np.ravel(axes), epochs, strict=True):
        panel.imshow(
            watch.frames[epoch][:60, : 58 * count + 2, 0], cmap="gray", vmin=0, vmax=255
        )
        panel.axis("off")
        panel.set_anchor("E")  # The room that is left is the text's.
        panel.text(
            -0.02,
            0.5,
            f"epoch {epoch}",
            transform=panel.transAxes,
            ha="right",
            va="center",
        )
    nb.show(canvas, ALT["epochs"])


def show_game(watch: Watch) -> None:
    """D(x) and D(G(z)), before and after D's update, over the epochs."""
    canvas, axes = nb.figure(width=4.6, height=3.6)
    table = np.array(watch.rows)
    epochs = np.arange(1, len(table) + 1)
    axes.plot(epochs, table[:, 0], color=BLUE, marker="o", label="D(x), real fives")
    axes.plot(
        epochs,
        table[:, 1],
        color=ORANGE,
        marker="s",
        label="D(G(z)), before D's update",
    )
    axes.plot(
        epochs,
        table[:, 2],
        color=ORANGE,
        marker="v",
        linestyle="--",
        label="D(G(z)), after it",
    )
    axes.axhline(0.5, color=GREY, linestyle=":", label="cannot tell: one half")
    axes.set(xlabel="epoch", ylabel="mean probability of real", ylim=(0.3, 0.7))
    axes.legend(fontsize="small")
    first, last = table[0], table[-1]
    nb.show(
        canvas,
        f"D(x) goes from {first[0]:.2f} in the first epoch to {last[0]:.2f} in the last, D(G(z)) from {first[1]:.2f} to"
        f" {last[1]:.2f} before each update of D, and from {first[2]:.2f} to {last[2]:.2f} after it",
    )
