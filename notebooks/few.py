"""Chapter 2's pictures: augmented images, the discriminator's memory, and fakes beside their originals."""

from collections.abc import Mapping, Sequence

import numpy as np

from charts import BLUE, ORANGE
from gan_tf import notebook as nb
from gan_tf.run import plots

# The alt text of the picture that the chapter begins with.
OPENING = (
    "16 fives from a training without augmentation, and below them 16 from one with it"
)
# Those of its other pictures.
ALT = {
    "plain": (
        "After 1,280 steps, the share of training images called real is near 1, and that of images never seen has fallen"
        " to about 0"
    ),
    "both": (
        "Without augmentation the two curves part and end near 1 and 0; with it, they stay together near 0.6"
    ),
    "pokemon": (
        "Above, with augmentation: both shares stay near each other. Below, without: that of training images rises above"
        " 0.9, that of others falls below 0.3"
    ),
    "augmented": (
        "Four rows of the same five, eight times each: shifted, shifted, with a black square over a part of it, and on"
        " grounds from black to grey"
    ),
    "copies": (
        "Four rows of eight: the fakes nearest to training images, each above its original; they are similar, but not the"
        " same"
    ),
    "leak": (
        "Above, only real images lifted: fives on grey grounds. Below, both lifted: fives on black"
    ),
}
COLUMNS = 8  # More would be too small on a phone.
TITLES = {"plain": "without augmentation", "augmented": "with augmentation"}


def show_memory(histories: Mapping[str, Sequence[Mapping]], alt: str) -> None:
    """For each way of training, the share of training and of held-out images that the discriminator calls real,
    against the steps: a thin line for each seed, and a thick one for their mean."""
    canvas, axes = nb.figure(1, len(histories), width=4.6, height=2.8)
    for panel, (name, seeds) in zip(np.ravel(axes), histories.items(), strict=True):
        for column, label, colour, style in (
            ("accuracy_trained", "images it trains on", BLUE, "-"),
            ("accuracy_held_out", "images it has never seen", ORANGE, "--"),
        ):
            steps = seeds[0]["step"]
            values = np.array([history[column] for history in seeds])
            if len(seeds) > 1:
                panel.plot(
                    steps,
                    values.T,
                    color=colour,
                    linestyle=style,
                    alpha=0.35,
                    linewidth=1,
                )
            panel.plot(
                steps,
                values.mean(axis=0),
                color=colour,
                linestyle=style,
                linewidth=2.5,
                label=label,
            )
        panel.set(
            title=TITLES.get(name, name),
            xlabel="step",
            ylabel="share called real",
            ylim=(-0.03, 1.03),
        )
        panel.legend(fontsize="small")
    nb.show(canvas, alt)


def show_rows(rows: Mapping[str, np.ndarray], alt: str) -> None:
    """Images (N, height, width, channels) below each title, as many for all of them."""
    count = len(next(iter(rows.values())))
    height = 0.35 + 0.6 * -(-count // COLUMNS)
    canvas, axes = nb.figure(1, len(rows), width=0.6 * COLUMNS, height=height)
    for panel, (title, pictures) in zip(np.ravel(axes), rows.items(), strict=True):
        panel.imshow(
            np.squeeze(plots.grid(pictures, columns=COLUMNS)),
            cmap="gray",
            vmin=0,
            vmax=255,
        )
        panel.axis("off")
        panel.set_title(title, fontsize="medium", loc="left")
    nb.show(canvas, alt)
