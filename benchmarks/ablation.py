"""What does each loss do, and each switch? Every variant is trained from several seeds, for the same time.

    python benchmarks/ablation.py --data-dir data --sets mnist creatures --seeds 0 1 2
    python benchmarks/ablation.py --data-dir data --sets mnist --variants "the preset" "spectral normalisation"

A variant's time per step relative to the preset's is measured first, in turns. Training for the same time is then a
number of steps, and other load on the machine changes no result. Fives train for half a minute of one core, creatures
at 28 pixels for a minute. A training has failed if it diverged, or if its fakes cover less than a quarter of what a
perfect generator covers.

Fakes are kept in --folder and never trained twice. Every kept variant is in the table, judged anew and all alike; so
you can train some variants now and others later. Writes results/ablation.md and results/ablation.png.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from engine import (
    FORMAT,
    RESULTS,
    Scores,
    environment,
    expected_separations,
    is_kept,
    judge_or_fail,
    protocol,
    recipe,
    relative_cost,
    separated,
    show,
    show_of_floor,
    spread,
    table,
    train_fakes,
    verdicts,
    write_results,
)
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset
from gan_tf.data.registry import load
from gan_tf.measure import report
from gan_tf.measure.features import dataset_features

PRESET, FLOOR = "the preset", "a perfect generator (floor)"
STEPS_PER_EPOCH, COUNT = 32, 2710
# The fields of each set, and the preset's number of steps.
SETS = {
    "mnist": ({"label": "5"}, 1280),
    # With mirror images, because half of the creatures face the other way. Without labels: told the species, two of the
    # preset's three seeds lost most hues in so small a training, which would hide what a variant does.
    "creatures": ({"image_size": 28, "batch_size": 16, "flip": True, "conditional": False}, 2560),
}
VARIANTS = {
    PRESET: {},
    "minimax": {"loss": "minimax"},
    "hinge": {"loss": "hinge"},
    "wasserstein, gradient penalty": {"loss": "wasserstein", "r1": None},
    "least squares": {"loss": "least-squares"},
    "relativistic, R1 and R2": {"loss": "relativistic", "r1": None},
    "R1 of 1": {"r1": 1.0},
    "no R1": {"r1": 0.0},
    "spectral normalisation": {"spectral_norm": True, "r1": 0.0},
    "labels smoothed by 0.1": {"label_smoothing": 0.1},
    "D learns twice as fast": {"d_learning_rate": 2.0},  # Times the preset's learning rate.
    "two D steps": {"d_steps": 2},
    "constant rates": {"decay": "none"},
    "linear decay": {"decay": "linear"},
    "cosine decay": {"decay": "cosine"},
    "beta1 of 0.5": {"beta_1": 0.5},
    "no averaged weights": {"ema": 0.0},
}


def variant_config(name: str, variant: str, data_dir: str | None = None) -> Config:
    """The Config of a variant on one of SETS."""
    fields = {"data_dir": data_dir, "steps_per_epoch": STEPS_PER_EPOCH, **SETS[name][0], **VARIANTS[variant]}
    if "d_learning_rate" in fields:
        fields["d_learning_rate"] *= preset_config(name).learning_rate
    return preset_config(name, **fields)


@dataclasses.dataclass
class SetResult:
    """Of one data set, by variant: the cost of a step relative to the preset's, and the scores of each seed, None where
    it diverged."""

    name: str
    about: str
    floor: Scores
    costs: dict[str, float]
    judged: dict[str, list[Scores | None]]

    def failed(self, scores: Scores | None) -> bool:
        return scores is None or scores["coverage"].mean() < self.floor["coverage"].mean() / 4

    def distances(self, variant: str) -> list[float]:
        """The Frechet distance of each seed, infinite where it diverged."""
        return [np.inf if one is None else float(one["frechet_distance"].mean()) for one in self.judged[variant]]


def measure_set(
    name: str,
    images: ImageDataset,
    configs: Mapping[str, Config],
    reference: report.Reference,
    steps: int,
    train: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    turns: int = 7,
) -> SetResult:
    """Train the variants in `train` where their fakes are not kept, then judge every variant of `configs` of which all
    seeds are kept. Variants that equal the preset are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    preset, costs, judged = configs[PRESET], Costs(folder, turns), {}
    for variant, config in configs.items():
        if variant != PRESET and recipe(config, images) == recipe(preset, images):
            continue
        if variant not in train and not costs.knows(variant):
            continue
        cost = costs.get(variant, preset, config, images)
        epochs = max(1, round(steps / cost / config.steps_per_epoch))
        stem = folder / variant.replace(",", "").replace(" ", "-")
        seeded = [dataclasses.replace(config, epochs=epochs, seed=seed) for seed in seeds]
        if variant not in train and not all(all_kept(one, images, stem) for one in seeded):
            continue
        judged[variant] = []
        for one in seeded:
            (fakes,) = train_fakes(one, images, stem, count=COUNT).values()
            judged[variant].append(judge_or_fail(reference, fakes))
            print(name, variant, one.seed, show(judged[variant][-1:], "frechet_distance"), flush=True)
    about = f"{name}: {len(images):,} images of {images.shape[0]} pixels, {steps:,} steps of the preset. "
    about += f"Features of {reference.extract.name}. {protocol(reference)}"
    return SetResult(name, about, reference.floor, {variant: costs.known[variant] for variant in judged}, judged)


def all_kept(config: Config, images: ImageDataset, stem: Path) -> bool:
    """Whether the fakes at the end of this training are kept."""
    path = stem.with_name(f"{stem.name}-{config.seed}-{config.epochs * config.steps_per_epoch}.npz")
    return is_kept(path, recipe(config, images), COUNT)


class Costs:
    """The relative cost of each variant, measured once and kept in a file, so that kept fakes stay valid."""

    def __init__(self, folder: Path, turns: int):
        self.path, self.turns = folder / f"costs-{FORMAT}.json", turns
        self.known = json.loads(self.path.read_text()) if self.path.exists() else {}

    def knows(self, variant: str) -> bool:
        return variant in self.known

    def get(self, variant: str, preset: Config, config: Config, images: ImageDataset) -> float:
        if variant not in self.known:
            self.known[variant] = relative_cost(preset, config, images, self.turns)
            with atomic_write(self.path) as temporary:
                temporary.write_text(json.dumps(self.known, indent=2) + "\n")
        return self.known[variant]


def rows(result: SetResult) -> list[list[str]]:
    """The floor, then a row per variant."""
    floor = result.floor
    lines = [[result.name, FLOOR, "", show([floor], "frechet_distance"), "1.00", show([floor], "coverage"), ""]]
    for variant, judged in result.judged.items():
        alive = [scores for scores in judged if scores is not None]
        cells = [result.name, variant, f"{result.costs[variant]:.2f}", spread(result.distances(variant))]
        cells += [show_of_floor(alive, floor, "frechet_distance"), show(alive, "coverage")]
        lines.append([*cells, f"{sum(map(result.failed, judged))} of {len(judged)}"])
    return lines


def verdict_table(results: Sequence[SetResult], level: float = 0.1) -> str:
    """Is a variant better or worse than the preset? With the probability of a false verdict, over all of them."""
    variants = [v for v in VARIANTS if v != PRESET and any(v in result.judged for result in results)]
    compared = {
        variant: {r.name: (r.distances(variant), r.distances(PRESET)) for r in results if variant in r.judged}
        for variant in variants
    }
    found = verdicts({variant: [*by_set.values()] for variant, by_set in compared.items()}, level)
    lines = []
    for variant, by_set in compared.items():
        beyond = [f"{separated(*strata)} on {name}" for name, strata in by_set.items() if separated(*strata)]
        verdict = found[variant]
        word = ("better" if verdict.lower else "worse") if verdict.significant else "none"
        lines.append([variant, ", ".join(by_set), ", ".join(beyond), f"{verdict.p:.2g}", word])
    strata = [one for by_set in compared.values() for one in by_set.values()]
    count = sum(bool(separated(*one)) for one in strata)
    text = (
        f"{len(strata)} comparisons of a variant's Frechet distances with the preset's, one per set. In {count}, all "
        f"seeds of the variant are beyond all of the preset's; chance alone would do that in "
        f"{expected_separations(strata):.1f}. A verdict therefore takes all sets together (exact stratified rank test, "
        f"two-sided) and is corrected for {len(variants)} variants (Holm): the chance of any false verdict in this "
        f"table is at most {level:.0%}."
    )
    return f"{text}\n\n{table(('variant', 'compared on', 'all seeds beyond the preset', 'p', 'verdict'), lines)}"


def draw_figure(results: Sequence[SetResult], path: Path) -> None:
    """One panel per set: the Frechet distance of every seed of every variant, a red cross where it failed. Dashed: the
    preset's median. Dotted: a perfect generator."""
    longest = max(len(result.judged) for result in results)
    figure = Figure(figsize=(6 * len(results), 0.36 * longest + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, result in zip(figure.subplots(1, len(results), squeeze=False).flat, results, strict=True):
        for y, (variant, judged) in enumerate(result.judged.items()):
            for distance, scores in zip(result.distances(variant), judged, strict=True):
                failed = {"marker": "x", "color": "tab:red"} if result.failed(scores) else {"color": "tab:blue"}
                if np.isfinite(distance):
                    axes.scatter(distance, y, alpha=0.7, **failed)
        axes.axvline(np.median(result.distances(PRESET)), color="grey", linestyle="--", linewidth=0.8)
        axes.axvline(result.floor["frechet_distance"].mean(), color="green", linestyle=":", linewidth=1)
        axes.set(xscale="log", xlabel="Frechet distance (red cross: failed; dotted: perfect)", title=result.name)
        axes.set_yticks(range(len(result.judged)), [*result.judged])
        axes.invert_yaxis()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


HEAD = ("set", "variant", "relative cost of a step", "Frechet distance", "of the floor", "coverage", "failed")


def write(results: Sequence[SetResult], seeds: Sequence[int], folder: Path | None = None) -> Path:
    """results/ablation.md and results/ablation.png."""
    head = f"Seeds {' '.join(map(str, seeds))}, each variant trained for the same time: median of the seeds (lowest to "
    head += f"highest). {environment()}"
    draw_figure(results, (folder or RESULTS) / "ablation.png")
    lines = [row for result in results for row in rows(result)]
    notes = "\n".join(f"- {result.about}" for result in results)
    return write_results("ablation", head, table(HEAD, lines), verdict_table(results), notes, folder=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder with your data files, as in gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, metavar="VARIANT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/ablation"))
    options = parser.parse_args()
    results = []
    for name in options.sets:
        configs = {variant: variant_config(name, variant, options.data_dir) for variant in VARIANTS}
        images = load(configs[PRESET])
        reference = report.run_reference(images, configs[PRESET], dataset_features(images, configs[PRESET]))
        train = [PRESET, *options.variants]
        folder, steps = options.folder / name, SETS[name][1]
        results.append(measure_set(name, images, configs, reference, steps, train, options.seeds, folder))
    write(results, options.seeds)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
