"""Which switches help the colour presets? Each preset with one of them on and off, for the same time of training.

    python benchmarks/switches.py --data-dir data --sets pokemon anime

Minutes become steps by the speeds in results/pictures_speed.json (those of the recipe, or the preset's if it has none),
so other load changes no picture, and the step sizes decay to 0 by then. The relative cost of a step is measured in
turns. Fakes are kept in --folder and never trained twice; all are judged anew and alike. Writes results/switches.md. On
two cores it takes as many minutes as it says, for each seed and variant.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from engine import (
    Scores,
    Strata,
    environment,
    expected_separations,
    protocol,
    read_speeds,
    relative_cost,
    separated,
    show,
    show_of_floor,
    step_recipe,
    steps_in,
    table,
    train_fakes,
    verdicts,
    write_results,
)

from gan_tf.common.errors import exit_on_input_error
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, steps_per_epoch
from gan_tf.data.registry import load
from gan_tf.measure import report
from gan_tf.measure.features import rotation_network
from gan_tf.measure.metrics import sliced_wasserstein, thumbnails

# What the verdicts are on, and its title in the table.
DISTANCES = {"frechet_distance": "Frechet distance", "thumbnails": "thumbnails", "texture": "7x7 patches"}
SWITCHES = {
    "R1": {"r1": 1.0},
    "flips": {"flip": True},
    "augmentation": {"augment": ("translation", "cutout")},
}
OFF = {"r1": 0.0, "flip": False, "augment": ()}
ALL = tuple(SWITCHES)
# Of each set: minutes, and of each variant the switches that are on.
RUNS = {
    "pokemon": [
        (2, (ALL, ("R1", "flips"), ("R1", "augmentation"), ("flips", "augmentation"))),
        (10, (ALL, ("R1", "flips"), ("R1", "augmentation"), ("R1",), ("augmentation",))),
    ],
    "anime": [(2, (("R1", "flips"), ("R1",), ("flips",))), (10, (ALL, ("R1", "flips"), ("R1",)))],
    "animal_faces": [(2, (ALL, ("R1", "flips"), ("R1", "augmentation"), ("flips", "augmentation")))],
    "creatures": [(2, (ALL, ("R1", "flips"), ("R1",), ("flips",))), (10, (("R1", "flips"), ("R1",)))],
}

Variant = tuple[str, float, tuple[str, ...]]  # set, minutes, the switches that are on


def with_only(config: Config, on: Sequence[str]) -> Config:
    """`config` with these switches on and the others off."""
    fields = dict(OFF)
    for name in on:
        fields |= SWITCHES[name]
    return dataclasses.replace(config, **fields)


def train_and_judge(
    config: Config, images: ImageDataset, reference: report.Reference, steps: int, seeds: Sequence[int], stem: Path
) -> list[Scores]:
    """The scores of each seed of `config` after `steps` steps, trained unless its fakes are kept."""
    config = dataclasses.replace(config, epochs=steps // steps_per_epoch(images, config))
    judged = []
    for seed in seeds:
        (fakes,) = train_fakes(dataclasses.replace(config, seed=seed), images, stem, count=reference.count * 2).values()
        scores = reference.measure(fakes)
        judged.append(scores | {"texture": scores[f"pyramid_{images.shape[0]}"]})  # The finest level of the pyramid.
    return judged


def pairs(variants: Sequence[Variant]) -> list[tuple[str, Variant, Variant]]:
    """(switch, the variant with it, the variant without it), for variants that differ in nothing else."""
    found = []
    for name, minutes, on in variants:
        for switch in on:
            without = (name, minutes, tuple(other for other in on if other != switch))
            if without in variants:
                found.append((switch, (name, minutes, on), without))
    return found


def switch_table(values: Mapping[Variant, Mapping[str, Sequence[float]]], level: float = 0.1) -> str:
    """What each switch does on each set, in each of DISTANCES. `values` has each seed's value by variant and measure;
    all pairs of variants that differ in the switch alone count together, so a verdict needs several of them."""
    strata: dict[tuple[str, str, str], list] = {}
    texts: dict[tuple[str, str, str], list[str]] = {}
    for switch, on, off in pairs([*values]):
        for measure in DISTANCES:
            key, samples = (on[0], switch, measure), (values[on][measure], values[off][measure])
            strata.setdefault(key, []).append(samples)
            beside = ", ".join(off[2]) or "nothing"
            medians = " / ".join(f"{statistics.median(some):.3g}" for some in samples)
            mark = {"lower": " (all lower)", "higher": " (all higher)", "": ""}[separated(*samples)]
            texts.setdefault(key, []).append(f"{on[1]:g} min beside {beside}: {medians}{mark}")
    found = verdicts(strata, level)
    rows = []
    for key, verdict in found.items():
        word = ("helps" if verdict.lower else "harms") if verdict.significant else "none"
        name, switch, measure = key
        rows.append([name, switch, DISTANCES[measure], "; ".join(texts[key]), f"{verdict.p:.2g}", word])
    return f"{chances(strata, level)}\n\n{table(('set', 'switch', 'measure', 'with / without', 'p', 'verdict'), rows)}"


def chances(strata: Mapping[tuple, Strata], level: float) -> str:
    """How many comparisons there are, and how often chance alone would decide them."""
    single = [one for some in strata.values() for one in some]
    count = sum(bool(separated(*one)) for one in single)
    return (
        f"{len(single)} comparisons of medians, with the switch and without it, of trainings that differ in nothing "
        f"else. In {count}, all seeds with the switch are beyond all without; chance alone would do that in "
        f"{expected_separations(single):.1f}, so one such comparison proves little. A verdict takes all comparisons "
        "of a set, a switch and a measure together (exact stratified rank test, two-sided) and is corrected for "
        f"{len(strata)} of them (Holm): the chance of any false verdict in this table is at most {level:.0%}."
    )


HEAD = ("set", "minutes", "steps", "switches that are on", "relative cost of a step", "Frechet distance")
HEAD += ("of the floor", "thumbnails", "of the floor", "7x7 patches", "coverage", "copying")


def variant_row(
    variant: Variant, steps: int, is_preset: bool, cost: float, judged: Sequence[Scores], floor: Scores
) -> list[str]:
    """A variant's row of the table of all variants."""
    name, minutes, on = variant
    cells = [name, f"{minutes:g}", str(steps), (", ".join(on) or "none") + " (the preset)" * is_preset, f"{cost:.2f}"]
    for measure in ("frechet_distance", "thumbnails"):
        cells += [show(judged, measure), show_of_floor(judged, floor, measure)]
    return [*cells, *(show(judged, measure) for measure in ("texture", "coverage", "copying_ratio"))]


def floor_row(name: str, floor: Scores, side: int) -> list[str]:
    """The row of a perfect generator."""
    names = ("frechet_distance", None, "thumbnails", None, f"pyramid_{side}", "coverage", "copying_ratio")
    return [name, "", "", "a perfect generator (floor)", "", *(show([floor], n) if n else "1.00" for n in names)]


def mirrored_row(images: ImageDataset) -> list[str]:
    """The distance of the thumbnails of two random halves, and the same with one half mirrored. It is larger where
    more of the images face one way, so mirror images are unlike them."""
    one, other = np.array_split(np.random.default_rng(0).permutation(images.images[:]), 2)
    return [
        images.name,
        *(f"{sliced_wasserstein(thumbnails(one), thumbnails(some)):.2f}" for some in (other, other[:, :, ::-1])),
    ]


def images_per_second(config: Config) -> float:
    """The speed of this recipe as pictures.py measured it, or that of the set's preset."""
    speeds = read_speeds()
    same = [speed["ours"] for speed in speeds.values() if speed["recipe"] == step_recipe(config)]
    return same[0] if same else speeds[config.dataset]["ours"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder with your data files, as in gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=[*RUNS], choices=RUNS, metavar="SET")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/switches"), help="keeps the fakes")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows, values, notes, mirrored = [], {}, [], []
    for name in options.sets:
        preset = preset_config(name, data_dir=options.data_dir)
        images = load(preset)
        mirrored.append(mirrored_row(images))
        reference = report.run_reference(images, preset, rotation_network(images, options.folder))
        notes.append(f"- {name}: features of {reference.extract.name}. {protocol(reference)}")
        rows.append(floor_row(name, reference.floor, images.shape[0]))
        for minutes, variants in RUNS[name]:
            for on in variants:
                config = with_only(preset, on)
                per_step, per_epoch = config.batch_size * config.d_steps, steps_per_epoch(images, config)
                steps = steps_in(minutes, images_per_second(config), per_step, per_epoch)
                stem = options.folder / name / ("-".join(on) or "none")
                judged = train_and_judge(config, images, reference, steps, options.seeds, stem)
                values[name, minutes, on] = {d: [float(one[d].mean()) for one in judged] for d in DISTANCES}
                cost, variant = relative_cost(preset, config, images), (name, minutes, on)
                rows.append(variant_row(variant, steps, config == preset, cost, judged, reference.floor))
                print(table(HEAD, rows[-1:]), flush=True)
    seeds = f"Seeds {' '.join(map(str, options.seeds))}: median of the seeds (lowest to highest). {environment()}"
    facing = table(("set", "thumbnails of two halves", "with one half mirrored"), mirrored)
    write_results("switches", seeds, switch_table(values), table(HEAD, rows), "\n".join(notes), facing)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
