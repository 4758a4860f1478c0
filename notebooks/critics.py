"""Chapter 8's pictures: losses over the logit, maps of discriminators, orbits of a tiny game, and the ablation.

Blue belongs to reals and orange to fakes, as in the other chapters. In the ablation's figures, blue means better than
the preset, orange worse, and grey no verdict.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.lines import Line2D

import plane
import results
from charts import BLUE, GREY, ORANGE
from gan_tf import notebook as nb
from gan_tf.run import plots

# The alt text of the picture that the chapter opens and ends with.
ENDING = (
    "Six rows of handwritten fives, one for each loss. Beside each row, the range of its Frechet distances on fives and"
    " on creatures, relative to the preset's, coloured by verdict"
)
# What the chapter's pictures show, for those who cannot see them.
ALT = {
    "losses": (
        "Six panels, one for each loss, with three curves over the logit: the discriminator's loss on reals falls, its"
        " loss on fakes rises, and the generator's falls, except for least squares, where it is a bowl around 0"
    ),
    "pulls": (
        "The slope of the generator's loss over the logit of a fake: minimax near 0 on the left, non-saturating near 0"
        " on the right, hinge and Wasserstein -1 everywhere, least squares a rising line that crosses 0"
    ),
    "maps": (
        "Six maps of a ring of reals around a heap of fakes. Without a limit all lines lie in one narrow ring between"
        " them; with R1, R2, both, WGAN-GP or spectral normalisation a few lines are far apart"
    ),
    "steepness": (
        "The slope between reals and fakes over 600 steps, three seeds each, on a logarithmic axis: without a limit it"
        " rises from below 10 to above 30; the other five are level between 0.5 and 2"
    ),
    "places": (
        "A heat map of slopes at reals, at fakes, between them and at the steepest place: without a limit from 13 to"
        " 57; R1 and R2 about 1.9, both together 1.1, WGAN-GP 1, spectral norm 0.55, the same in all places"
    ),
    "orbits": (
        "Three paths of fake and slope. No limit: a circle around the goal. R1: a spiral into it. Gradient penalty: a"
        " loop that stays further out than the start"
    ),
    "false": (
        "Bars: the tempting rule makes from 0 to 10 and more false verdicts in a table, the rank test with Holm's rule"
        " none in nearly all tables"
    ),
}
# The ablation's name of each loss.
VARIANTS = {
    "non-saturating": "the preset",
    "minimax": "minimax",
    "hinge": "hinge",
    "least-squares": "least squares",
    "wasserstein": "wasserstein, gradient penalty",
    "relativistic": "relativistic, R1 and R2",
}
STYLES = ("-", "--", ":", "-.", (0, (4, 1, 1, 1, 1, 1)), (0, (1, 1)))
# Okabe and Ito's colours, which the colour-blind can tell.
COLOURS = ("black", BLUE, "#56b4e9", "#009e73", ORANGE, "#cc79a7")
VERDICTS = {"better": BLUE, "worse": ORANGE, "none": GREY, "preset": "black"}
WORDS = {"better": "better", "worse": "worse", "none": "no verdict", "preset": "preset"}
SETS = {"mnist": ("fives", "o"), "creatures": ("creatures", "s")}
PRESET = "the preset"


def show_losses(logits: np.ndarray, curves: Mapping[str, Sequence], alt: str) -> None:
    """For each loss, D's loss on reals, D's loss on fakes (or None) and G's loss, over the logits."""
    canvas, axes = nb.figure(2, 3, width=3.1, height=2.5)
    parts = (("D, reals", BLUE, "-"), ("D, fakes", ORANGE, "-"), ("G", "black", "--"))
    for panel, (name, halves) in zip(axes.flat, curves.items(), strict=True):
        paired = halves[1] is None
        for (label, colour, style), values in zip(parts, halves, strict=True):
            if values is not None:
                shown = "D" if paired and label != "G" else label
                panel.plot(logits, values, color=colour, linestyle=style, label=shown)
        panel.axvline(0, color=GREY, linewidth=0.6)
        panel.set(title=name, ylim=(-4.2, 6), ylabel="loss")
        panel.set(xlabel="logit of real - logit of fake" if paired else "logit")
        if paired or panel is axes.flat[0]:
            panel.legend(fontsize="small", loc="lower left")
    nb.show(canvas, alt)


def show_pulls(logits: np.ndarray, slopes: Mapping[str, np.ndarray], alt: str) -> None:
    """The slope of the generator's loss over the logit of a fake, a line for each loss."""
    canvas, axes = nb.figure(width=5.6, height=3.4)
    for (name, values), style, colour in zip(
        slopes.items(), STYLES, COLOURS, strict=False
    ):
        axes.plot(logits, values, label=name, linestyle=style, color=colour)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set(xlabel="logit of a fake", ylabel="slope of the generator's loss")
    axes.set(ylim=(-3, 3))
    axes.legend(fontsize="small", loc="upper left")
    nb.show(canvas, alt)


def show_answers(
    x: np.ndarray, learned: Mapping[str, np.ndarray], best: Mapping[str, np.ndarray]
) -> None:
    """The logits that a discriminator learned with each loss, on top of the best ones where a formula is given."""
    alt = (
        "Four panels. With cross-entropy the trained logit lies on log p / q, with hinge on a step between -1 and 1,"
        " relativistic on log p / q plus a constant; with least squares it is a soft wave between -1 and 1"
    )
    canvas, axes = nb.figure(2, 2, width=3.1, height=2.6)
    for panel, (name, values) in zip(axes.flat, learned.items(), strict=True):
        if name in best:
            panel.plot(x, best[name], color="black", linewidth=5, alpha=0.25)
        panel.plot(x, values, color=BLUE)
        panel.axhline(0, color=GREY, linewidth=0.6)
        panel.set(title=name, xlabel="x", ylabel="logit", ylim=(-4, 4.5))
    nb.show(canvas, alt)


def show_maps(
    maps: Mapping[str, np.ndarray], reals: np.ndarray, fakes: np.ndarray, alt: str
) -> None:
    """The logits of discriminators at plane.GRID as maps, with a line at every half from -3 to 3."""
    canvas, axes = nb.figure(2, (len(maps) + 1) // 2, width=3.1, height=3.2)
    for panel, (name, logits) in zip(axes.flat, maps.items(), strict=True):
        logits = logits.reshape(plane.SIDE, plane.SIDE)
        shares = 1 / (1 + np.exp(-logits))
        grid = plane.AXIS, plane.AXIS
        levels = np.linspace(0, 1, 11)
        panel.contourf(*grid, shares, levels=levels, cmap=plane.FIELD, alpha=0.75)
        lines = np.arange(-3, 3.1, 0.5)
        panel.contour(*grid, logits, levels=lines, colors="black", linewidths=0.7)
        panel.plot(*reals[:120].T, **plane.REAL)
        panel.plot(*fakes[:80].T, **plane.FAKE)
        plane.frame(panel, name)
    nb.show(canvas, alt)


def show_steepness(
    steps: Sequence[int], slopes: Mapping[str, Sequence[np.ndarray]], alt: str
) -> None:
    """The mean slope between reals and fakes over the steps, a line for each seed."""
    canvas, axes = nb.figure(width=5.6, height=3.6)
    for (name, seeds), style, colour in zip(
        slopes.items(), STYLES, COLOURS, strict=True
    ):
        for number, values in enumerate(seeds):
            label = None if number else name
            axes.plot(steps, values, linestyle=style, color=colour, label=label)
    axes.set(yscale="log", xlabel="step", ylabel="slope (logits per unit of length)")
    axes.legend(fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    nb.show(canvas, alt)


def show_places(table: Mapping[str, Mapping[str, float]], alt: str) -> None:
    """A heat map of slopes: a row for each discriminator, a column for each place."""
    canvas, axes = nb.figure(width=5.6, height=0.5 * len(table) + 0.8)
    values = np.array([[*row.values()] for row in table.values()])
    axes.imshow(np.log(values), cmap="Blues", aspect="auto", vmax=np.log(values).max())
    dark = np.log(values) > (np.log(values).max() + np.log(values).min()) / 2
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if dark[i, j] else "black"
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour)
    axes.set_yticks(range(len(table)), [*table])
    axes.set_xticks(range(values.shape[1]), [*next(iter(table.values()))])
    axes.set(xlabel="where the slope is measured", ylabel="discriminator")
    nb.show(canvas, alt)


def show_orbits(paths: Mapping[str, np.ndarray], alt: str) -> None:
    """Paths (steps, 2) of a fake and D's slope, a row each: in the plane of both, and the fake over the steps."""
    canvas, axes = nb.figure(2, len(paths), width=3.1, height=2.4)
    edge = 1.1 * max(np.abs(path).max() for path in paths.values())
    for (name, path), (left, right) in zip(paths.items(), axes, strict=True):
        left.plot(*path.T, color=BLUE, linewidth=0.9)
        left.plot(*path[0], "o", color="black")
        left.plot(0, 0, "*", color=ORANGE, markersize=12)
        left.set(title=name, xlabel="fake", ylabel="slope of D")
        left.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
        right.plot(path[:, 0], color=BLUE)
        right.axhline(0, color=ORANGE, linewidth=1, linestyle="--")
        right.set(xlabel="step", ylabel="fake", ylim=(-edge, edge))
    nb.show(canvas, alt)


def show_false_verdicts(counts: Mapping[str, np.ndarray], alt: str) -> None:
    """For each rule, how many false verdicts each of many simulated tables got: bars of the share of tables."""
    canvas, axes = nb.figure(width=5.6, height=3.2)
    most = max(values.max() for values in counts.values())
    for (name, values), colour, shift in zip(
        counts.items(), (ORANGE, BLUE), (-0.2, 0.2), strict=True
    ):
        shares = np.bincount(values, minlength=most + 1) / len(values)
        axes.bar(
            np.arange(most + 1) + shift, 100 * shares, 0.4, color=colour, label=name
        )
    axes.set(xlabel="false verdicts in a table", ylabel="tables (%)")
    axes.set_xlim(-0.6, min(most, 12) + 0.6)
    axes.legend(fontsize="small")
    nb.show(canvas, alt)


class Ablation:
    """benchmarks/results/ablation.md: how many `seeds`, `distances[set][variant]` as (lowest, median, highest),
    `rows[variant]` of the verdict table, and the `sets[variant]` that it was compared with the preset on."""

    def __init__(self):
        text = (results.FOLDER / "ablation.md").read_text(encoding="utf-8")
        self.seeds = len(re.search(r"Seeds ([\d ]+),", text)[1].split())
        self.distances, self.rows = {}, {}
        for row in results.read_table("ablation"):
            if "verdict" in row:
                self.rows[row["variant"]] = row
            elif row["failed"]:  # Not the floor.
                name = SETS[row["set"]][0]
                found = map(
                    float,
                    re.findall(r"inf|\d[\d.]*(?:e\+\d+)?", row["Frechet distance"]),
                )
                median, low, high = found
                place = self.distances.setdefault(name, {})
                place[row["variant"]] = low, median, high
        self.sets = {
            variant: [SETS[name][0] for name in row["compared on"].split(", ")]
            for variant, row in self.rows.items()
        }

    def verdict(self, variant: str) -> str:
        """A key of VERDICTS."""
        return "preset" if variant == PRESET else self.rows[variant]["verdict"]

    def with_verdict(self, verdict: str) -> list[str]:
        """The variants with a verdict."""
        return [name for name, row in self.rows.items() if row["verdict"] == verdict]

    def separated(self) -> int:
        """In how many comparisons all seeds of the variant are beyond all of the preset's."""
        beyond = [row["all seeds beyond the preset"] for row in self.rows.values()]
        return sum(len(cell.split(", ")) for cell in beyond if cell)

    def sentence(self) -> str:
        """The verdicts in words."""
        parts = (
            f"{WORDS[v]}: {'; '.join(self.with_verdict(v)) or 'none'}"
            for v in ("better", "worse", "none")
        )
        return ". ".join(parts)


def draw_ranges(axes, found: Ablation, variants: Sequence[str]) -> None:
    """From lowest to highest seed, with a mark at the median, relative to the preset's median; a row for each variant,
    the sets one above the other."""
    for shift, (name, marker) in zip((-0.17, 0.17), SETS.values(), strict=True):
        unit = found.distances[name][PRESET][1]
        for y, variant in enumerate(variants):
            if variant not in found.distances[name]:
                continue
            low, median, high = np.array(found.distances[name][variant]) / unit
            colour = VERDICTS[found.verdict(variant)]
            axes.plot([low, min(high, 99)], [y + shift] * 2, color=colour, linewidth=2)
            style = {"color": colour, "marker": marker, "markeredgecolor": "black"}
            axes.plot(min(median, 99), y + shift, markersize=7, **style)
    axes.axvline(1, color="black", linestyle=":", linewidth=1)
    axes.set(xscale="log", ylim=(len(variants) - 0.5, -0.5))
    axes.set(xlabel="Frechet distance, preset = 1")
    largest = max(np.max(line.get_xdata()) for line in axes.lines)
    ticks = [t for t in (0.5, 0.7, 1, 1.5, 2, 3, 5, 10) if t <= 1.1 * largest]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", alpha=0.3)


def legend(on, verdicts: Sequence[str], **where) -> None:
    """What the colours and the marks of `draw_ranges` mean, on axes or on a figure."""
    handles = [
        Line2D([], [], color=VERDICTS[v], linewidth=4, label=WORDS[v]) for v in verdicts
    ]
    for name, marker in SETS.values():
        style = {"marker": marker, "color": "white", "markeredgecolor": "black"}
        handles.append(Line2D([], [], linestyle="", label=name, **style))
    on.legend(handles=handles, fontsize="small", ncols=3, **where)


def show_ablation(found: Ablation) -> None:
    """All variants, grouped by verdict."""
    order = [
        PRESET,
        *(n for v in ("better", "worse", "none") for n in found.with_verdict(v)),
    ]
    canvas, axes = nb.figure(width=6.2, height=0.42 * len(order) + 1.2)
    draw_ranges(axes, found, order)
    axes.set_yticks(range(len(order)), order)
    axes.set_ylabel("variant")
    legend(axes, [*VERDICTS], loc="lower center", bbox_to_anchor=(0.3, 1))
    alt = f"The range of the seeds' distances for {len(order) - 1} variants on two sets, relative to the preset's"
    nb.show(canvas, f"{alt}. {found.sentence()}")


def say_verdicts(found: Ablation) -> None:
    """The verdicts as a list, the comparisons that look clear, and who could not get a verdict."""
    lines = [
        f"- **{WORDS[verdict].capitalize()}**: {'; '.join(found.with_verdict(verdict)) or 'nothing'}."
        for verdict in ("better", "worse", "none")
    ]
    single = [name for name, sets in found.sets.items() if len(sets) == 1]
    comparisons = sum(map(len, found.sets.values()))
    lines += [
        "",
        f"In {found.separated()} of the {comparisons} comparisons, all seeds of the variant lie beyond all of the"
        f" preset's. These variants were compared on one set only, because on the other they *are* the preset:"
        f" {'; '.join(single)}.",
    ]
    nb.say("\n".join(lines))


def show_ending(fakes: Mapping[str, np.ndarray], found: Ablation) -> None:
    """Fakes of each loss, uint8 (N, 28, 28, 1), a row each, and beside them the ablation's ranges."""
    canvas, axes = nb.figure(2, width=2.8, height=5.4)
    grid = np.concatenate([plots.grid(row, columns=len(row)) for row in fakes.values()])
    count = len(fakes)
    shape = {"extent": (0, 1, count - 0.5, -0.5), "aspect": "auto"}
    axes[0].imshow(np.squeeze(grid), cmap="gray", vmin=0, vmax=255, **shape)
    axes[0].set_yticks(range(count), fakes)
    axes[0].set(xticks=[], xlabel="fakes of a short training", ylabel="loss")
    draw_ranges(axes[1], found, [VARIANTS[name] for name in fakes])
    longer = f"median and range of {found.seeds} longer trainings"
    axes[1].set(yticks=[], ylabel=longer)
    verdicts = {found.verdict(VARIANTS[name]): None for name in fakes}
    legend(canvas, [*verdicts], loc="outside upper center")
    nb.show(canvas, ENDING)
