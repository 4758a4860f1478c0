"""What does each loss do, and each switch beside it? Every one is trained from three seeds for the same time.

    python benchmarks/ablation.py --data-dir data --sets mnist creatures --seeds 0 1 2

How much longer a variant's step takes than the preset's is measured first, in turns, so that the same time is a number
of steps and what else the machine does changes no result. Fives train for as long as their preset does. Creatures, at
28 pixels, twice as long. A seed has failed where a loss was not finite any more, or where the fakes cover less than a
quarter of what one half of the real images covers of the other. Writes results/ablation.md and results/ablation.png.
Fakes are kept in --folder, and what is there is not trained again.
"""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from measures import spread
from pictures import RESULTS, read, recipe
from recipes import cost, made

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset
from gan_tf.data.registry import load
from gan_tf.gan import GAN, sample
from gan_tf.measure.features import Features, dataset_features
from gan_tf.measure.metrics import coverage, frechet_distance
from gan_tf.run.callbacks import Diverged, TerminateOnNonFinite

PER_EPOCH, FAKES = 32, 2000
# What is trained on, and for how many steps of the default: half a minute and a minute of one core.
SETS = {
    "mnist": ({"label": "5"}, 1280),
    # With mirror images, which neither help nor harm them: recipes.py.
    "creatures": ({"image_size": 28, "batch_size": 16, "flip": True}, 2560),
}
VARIANTS = {
    "the preset": {},
    "minimax": {"loss": "minimax"},
    "hinge": {"loss": "hinge"},
    "wasserstein, gradient penalty": {"loss": "wasserstein"},
    "least squares": {"loss": "least-squares"},
    "relativistic, R1 and R2": {"loss": "relativistic"},
    "R1 of 1": {"r1": 1.0},
    "no R1": {"r1": 0.0},
    "spectral normalisation": {"spectral_norm": True, "r1": 0.0},
    "labels smoothed by 0.1": {"label_smoothing": 0.1},
    "D learns twice as fast": {"d_learning_rate": 2.0},  # Times the learning rate, as `config_of` has it.
    "two D steps": {"d_steps": 2},
    "constant rates": {"decay": "none"},
    "linear decay": {"decay": "linear"},
    "cosine decay": {"decay": "cosine"},
    "beta1 of 0.5": {"beta_1": 0.5},
    "no averaged weights": {"ema": 0.0},
}


def config_of(name: str, variant: str, data_dir: str | None) -> Config:
    fields = {"data_dir": data_dir, "steps_per_epoch": PER_EPOCH, **SETS[name][0], **VARIANTS[variant]}
    if "d_learning_rate" in fields:
        fields["d_learning_rate"] *= preset_config(name).learning_rate
    return preset_config(name, **fields)


def train(config: Config, images: ImageDataset, path: Path) -> np.ndarray | None:
    """The fakes of that training, from `path` where they are there already; None where it diverged."""
    if not path.exists() or json.loads(str(read(path)["recipe"])) != [recipe(config), config.epochs]:
        gan, fakes = GAN(config, images.shape), np.zeros((0, *images.shape), np.uint8)
        try:
            gan.fit(images, callbacks=[TerminateOnNonFinite()], verbose=0)
            latents = np.random.default_rng(1).standard_normal((FAKES, config.latent_dim))
            fakes = sample(gan.ema_generator, latents)
        except Diverged as error:
            print(error, flush=True)
        with atomic_write(path) as temporary:
            np.savez(temporary, images=fakes, recipe=json.dumps([recipe(config), config.epochs]))
    fakes = read(path)["images"]
    return fakes if len(fakes) else None


def measure(name: str, variants: list[str], options) -> tuple[dict[str, list[dict]], dict[str, float], str]:
    """Of each variant, what was found for each seed and how many times the default's a step takes; and a line about
    the set."""
    default = config_of(name, "the preset", options.data_dir)
    images = load(default)
    features = dataset_features(images, default)
    real = images.images[:]
    reals = features(real)
    halves = np.array_split(np.random.default_rng(0).permutation(reals), 2)
    floor = {"frechet": frechet_distance(*halves), "coverage": coverage(*halves)}
    found, costs = {}, {}
    for variant in variants:
        config = config_of(name, variant, options.data_dir)
        if recipe(config) == recipe(default) and VARIANTS[variant]:
            continue  # It is what the preset has.
        costs[variant] = cost_of(name, variant, default, images, options)
        epochs = round(SETS[name][1] / costs[variant] / PER_EPOCH)
        for seed in options.seeds:
            path = made(options.folder / name) / f"{variant.replace(' ', '-')}-{seed}.npz"
            fakes = train(dataclasses.replace(config, epochs=epochs, seed=seed), images, path)
            found.setdefault(variant, []).append(judge(reals, fakes, features, floor))
            print(name, variant, seed, found[variant][-1], flush=True)
    about = (
        f"{name}: {len(images):,} images of {images.shape[0]} pixels; {SETS[name][1]:,} steps of the preset. Judged by "
    )
    about += f"{features.name}. Real halves: Frechet distance {floor['frechet']:.2f}, coverage {floor['coverage']:.2f}."
    return found, costs, about


def cost_of(name: str, variant: str, default: Config, images: ImageDataset, options) -> float:
    """As `recipes.cost`, measured once."""
    path = options.folder / name / "costs.json"
    costs = json.loads(path.read_text()) if path.exists() else {}
    if variant not in costs:
        changed = config_of(name, variant, options.data_dir)
        costs[variant] = cost(default, changed, images) if VARIANTS[variant] else 1.0
        made(path.parent)
        path.write_text(json.dumps(costs))
    return costs[variant]


def judge(reals: np.ndarray, fakes: np.ndarray | None, features: Features, floor: dict[str, float]) -> dict:
    if fakes is None:
        return {"frechet": np.inf, "coverage": 0.0, "failed": True}
    numbers = features(fakes)
    covered = coverage(reals, numbers)
    return {"frechet": frechet_distance(reals, numbers), "coverage": covered, "failed": covered < floor["coverage"] / 4}


def draw_figure(results: dict[str, dict[str, list[dict]]], path: Path) -> None:
    """A panel for each set: of each variant, the Frechet distance of each seed, with a cross where it failed."""
    figure = Figure(figsize=(6 * len(results), 0.36 * len(VARIANTS) + 1), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, found) in zip(figure.subplots(1, len(results), squeeze=False).flat, results.items(), strict=True):
        for y, variant in enumerate(found):
            for one in found[variant]:
                mark = {"marker": "x", "color": "tab:red"} if one["failed"] else {"marker": "o", "color": "tab:blue"}
                if np.isfinite(one["frechet"]):
                    axes.scatter(one["frechet"], y, alpha=0.7, **mark)
        middle = np.median([one["frechet"] for one in found["the preset"]])
        axes.axvline(middle, color="grey", linestyle="--", linewidth=0.8)
        axes.set(xscale="log", xlabel="Frechet distance (red cross: failed)", title=name)
        axes.set_yticks(range(len(found)), [*found])
        axes.invert_yaxis()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="as of gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, metavar="VARIANT")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/ablation"))
    options = parser.parse_args()
    rows = ["| set | variant | a step takes | Frechet distance | coverage | seeds that failed |", "|---" * 6 + "|"]
    results, notes = {}, []
    for name in options.sets:
        results[name], costs, about = measure(name, options.variants, options)
        notes.append(about)
        for variant, found in results[name].items():
            columns = [spread([one[measured] for one in found]) for measured in ("frechet", "coverage")]
            failed = f"{sum(one['failed'] for one in found)} of {len(found)}"
            rows.append(f"| {name} | {variant} | {costs[variant]:.2f} | {' | '.join(columns)} | {failed} |")
    head = f"Seeds {' '.join(map(str, options.seeds))}, each variant for the same time: median (lowest to highest). "
    head += f"TensorFlow {tf.__version__}, Keras {keras.__version__}; {os.cpu_count()} CPU cores."
    (RESULTS / "ablation.md").write_text("\n".join([head, "", *rows, "", *notes]) + "\n")
    draw_figure(results, RESULTS / "ablation.png")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
