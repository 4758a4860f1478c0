"""Pictures of chapter 7: the board of measures and forgeries, the scores of one measure, and points with their balls."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Circle, Rectangle

from charts import BLUE, GREY, ORANGE
from gan_tf import notebook as nb

PALE = "#d6e6f2"  # Behind what was caught.
ROW = 0.29  # The height of a row of the board, whose columns are 1 wide.
# What the chapter's pictures show, for those who cannot see them.
ALT = {
    "board": "Two tables with nine measures and four sets of pictures each, and three pictures of each set above its column. Copies fooled all measures but the copying ratio, mirrored copies fooled all, noise only the copying ratio, our GAN the class score and the copying ratio",
    "train": "Sixteen drawn heads: bears, frogs, owls, cats and rabbits, in many colours",
    "near": "Eight new creatures, and below each its nearest training picture: by features of nearly the same colour, by pixels often of another one",
    "fakes": "Above, eight drawn creatures; below, eight fakes: clearly frog, bear, rabbit, cat and fox, with rougher edges",
    "class score": "Scores from 1 to 5.3. Copies, mirrored copies and our GAN are in the band of new pictures, blurred and same eyes just below it, one picture, noise and three species far below",
    "Frechet distance": "Copies are at 0, mirrored copies at the band of new pictures. To the right of it, from near to far: same eyes, our GAN, blurred, three species, noise, one picture",
    "shapes": "Three histograms over that of a bell: another bell, two humps with a gap between them, and a one-sided tail. Each has the Frechet distance 0.000",
    "bias": "Above: the Frechet distances of our GAN and of new pictures both fall from 250 to 5,000 fakes, in parallel. Below: their kernel distances stay level, in bands that become narrower",
    "kernel distance": "Copies and mirrored copies are left of the band of new pictures. To the right of it, from near to far: same eyes, our GAN, blurred, three species, noise, one picture",
    "precision and recall": "Precision: only noise, at 0.54, and our GAN are below the band. Recall: one picture and noise are at 0, three species at 0.6, the others near the band",
    "balls": "Real points around the origin in small balls, and one far to the right, whose huge ball holds all fakes",
    "density and coverage": "Density: one picture is at 2.8, noise below 0.2, the others near 1. Coverage: one picture and noise are near 0, three species at 0.66, the others near the band",
    "patches": "Copies are at 0; mirrored copies and three species at the band of new pictures. To the right of it: our GAN, same eyes, blurred, one picture, noise",
    "copying ratio": "Copies are at 0, noise at 4.4, all others close to 1",
    "closest": "Eight fakes, and below each its nearest training picture: the same species and pose, mostly the same colour, and often other eyes",
}


def show_board(
    fooled: Mapping[str, Mapping[str, bool]],
    pictures: Mapping[str, np.ndarray],
    alt: str,
) -> None:
    """Which measure each forgery fooled, {measure: {forgery: fooled}}, below three of its `pictures`, uint8 (N, side,
    side, 3).

    Four forgeries to a table, one table below the other, so that a phone shows their words large enough.
    """
    names = list(pictures)
    groups = [names[i : i + 4] for i in range(0, len(names), 4)]
    left, top, bottom = -1.62, -1.32, ROW * len(fooled) + 0.1
    scale = 5.6 / (4 - left)
    canvas, panels = nb.figure(1, len(groups), 5.6, scale * (bottom - top))
    for panel, group in zip(np.atleast_1d(panels), groups, strict=True):
        for column, name in enumerate(group):
            put_forgery(panel, column, name, pictures[name])
        for row, (measure, verdicts) in enumerate(fooled.items()):
            middle = ROW * (row + 0.5)
            style = {"ha": "right", "va": "center", "fontsize": 11}
            panel.text(-0.06, middle, measure, **style)
            for column, name in enumerate(group):
                put_verdict(panel, column, middle, verdicts[name])
        panel.set(xlim=(left, 4), ylim=(bottom, top), aspect="equal")
        panel.axis("off")
    nb.show(canvas, alt)


def put_forgery(panel, column: int, name: str, pictures: np.ndarray) -> None:
    """A forgery's name above its first picture, which has two smaller ones to its right."""
    places = ((0.02, -0.68, 0.64), (0.68, -0.68, 0.31), (0.68, -0.35, 0.31))
    for picture, (x, y, side) in zip(pictures, places, strict=False):
        x += column
        panel.imshow(picture, extent=(x, x + side, y + side, y))
    style = {"ha": "center", "va": "bottom", "fontsize": 11}
    panel.text(column + 0.5, -0.74, name.replace(" ", "\n", 1), **style)


def put_verdict(panel, column: int, middle: float, fooled: bool) -> None:
    """One cell of the board: a coloured word."""
    colour, ink = (ORANGE, "white") if fooled else (PALE, "black")
    corner = (column + 0.02, middle - ROW / 2 + 0.015)
    panel.add_patch(Rectangle(corner, 0.96, ROW - 0.03, color=colour))
    style = {"ha": "center", "va": "center", "color": ink, "fontsize": 11}
    weight = "bold" if fooled else "normal"
    word = "fooled" if fooled else "caught"
    panel.text(column + 0.5, middle, word, weight=weight, **style)


def show_scores(measures: Sequence, alt: str, scale: str = "linear") -> None:
    """What the forgeries got in one or two measures, a line for each, beside the band of the floors."""
    canvas, axes = nb.figure(1, len(measures), width=5.6, height=2.4)
    for panel, measure in zip(np.atleast_1d(axes), measures, strict=True):
        names = [name for name in measure.scores if name != "control"]
        low, high = min(measure.floors), max(measure.floors)
        panel.axvspan(low, high, color=GREY, alpha=0.35, label="new pictures", lw=0)
        for fooled, colour, marker in ((True, ORANGE, "^"), (False, BLUE, "o")):
            some = [name for name in names if measure.fooled(name) == fooled]
            rows, values = map(names.index, some), [measure.scores[n] for n in some]
            label = "fooled" if fooled else "caught"
            style = {"color": colour, "marker": marker, "s": 45, "zorder": 3}
            panel.scatter(values, [*rows], label=label, **style)
        panel.set_yticks(range(len(names)), names)
        panel.set(ylim=(len(names) - 0.5, -0.5), ylabel="forgery")
        panel.set_xlabel(f"{measure.name} ({measure.good} is good)")
        if scale == "symlog":  # Linear up to twice the largest floor, with zero in it.
            most = max(measure.scores.values())
            panel.set_xscale("symlog", linthresh=2 * high, linscale=1.5)
            panel.set_xlim(min(0, *measure.scores.values()) - high / 2, 2 * most)
        panel.grid(axis="y", alpha=0.3)
    options = {"ncols": 3, "frameon": False}
    first = np.atleast_1d(axes)[0]
    first.legend(loc="lower center", bbox_to_anchor=(0.5, 1), **options)
    nb.show(canvas, alt)


def show_shapes(shapes: Mapping[str, np.ndarray], found: Mapping[str, float], alt: str):
    """Histograms of the first column of points (N, 2), one above the other, each over that of the first set. `found` is
    said in the titles."""
    bell, *_ = shapes.values()
    canvas, axes = nb.figure(1, len(shapes), width=5.6, height=1.7)
    bins = np.linspace(-3.5, 4.5, 81)
    for panel, (name, values) in zip(axes, shapes.items(), strict=True):
        panel.hist(bell[:, 0], bins, color=GREY, alpha=0.4)
        panel.hist(values[:, 0], bins, color=ORANGE, histtype="step", linewidth=1.5)
        panel.set_title(f"{name}: Frechet distance {found[name]:.3f}", fontsize=10)
        panel.set(xlabel="value of the feature", ylabel="how many")
    nb.show(canvas, alt)


def show_bias(
    counts: Sequence[int],
    found: Mapping[str, Mapping[str, Sequence[Sequence[float]]]],
    alt: str,
) -> None:
    """Distances against the number of pictures, {measure: {what: values of some sets for each number}}: a line through
    the means, and a band from least to most."""
    canvas, axes = nb.figure(1, len(found), width=5.6, height=2.6)
    styles = ((ORANGE, "o", "-"), (GREY, "s", "--"))
    for panel, (measure, curves) in zip(axes, found.items(), strict=True):
        for (name, values), style in zip(curves.items(), styles, strict=True):
            colour, marker, line = style
            means = [np.mean(sets) for sets in values]
            panel.plot(counts, means, line, color=colour, marker=marker, label=name)
            ends = [min(sets) for sets in values], [max(sets) for sets in values]
            panel.fill_between(counts, *ends, color=colour, alpha=0.25, lw=0)
        panel.set(xscale="log", xlabel="fakes (logarithmic)", ylabel=measure)
        panel.set_xticks(counts, [f"{count:,}" for count in counts])
        panel.minorticks_off()
        panel.axhline(0, color="black", linewidth=0.6)
    axes[0].legend()
    nb.show(canvas, alt)


def show_balls(real: np.ndarray, fake: np.ndarray, radii: np.ndarray, alt: str) -> None:
    """Real points (N, 2) in their balls, and fakes (M, 2)."""
    canvas, axes = nb.figure(width=5.8, height=3.2)
    for point, radius in zip(real, radii, strict=True):
        axes.add_patch(Circle(point, radius, alpha=0.06, color=BLUE))
    axes.plot(*real.T, "o", color=BLUE, markersize=3, label="real, each in its ball")
    axes.plot(*fake.T, "x", color=ORANGE, label="fake")
    axes.set(xlabel="first feature", ylabel="second feature", aspect="equal")
    axes.set(xlim=(-4, 12), ylim=(-4.3, 4.3))
    axes.legend(loc="upper left")
    nb.show(canvas, alt)
