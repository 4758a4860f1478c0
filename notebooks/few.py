"""Chapter 2's pictures: augmented images, the discriminator's memory, and fakes beside their originals."""

from collections.abc import Mapping, Sequence

import numpy as np

from charts import BLUE, ORANGE
from gan_tf import notebook as nb
from gan_tf.run import plots

# The alt text of the picture that the chapter begins with.
OPENING = "Two rows of 12 fakes: fives from a training without augmentation, and from one with it"
TITLES = {"plain": "without augmentation", "augmented": "with augmentation"}


def show_memory(histories: Mapping[str, Sequence[Mapping]], alt: str) -> None:
    """For each way of training, the share of training and of held-out images that the discriminator calls real,
    against the steps: a thin line for each seed, and a thick one for their mean."""
    canvas, axes = nb.figure(1, len(histories), width=5.6, height=2.8)
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
    """Images (N, height, width, channels), one row for each title, with the title above it."""
    count = len(next(iter(rows.values())))
    canvas, axes = nb.figure(1, len(rows), width=0.75 * count, height=1.05)
    for panel, (title, pictures) in zip(np.ravel(axes), rows.items(), strict=True):
        panel.imshow(
            np.squeeze(plots.grid(pictures, columns=count)),
            cmap="gray",
            vmin=0,
            vmax=255,
        )
        panel.axis("off")
        panel.set_title(title, fontsize="medium", loc="left")
    nb.show(canvas, alt)
