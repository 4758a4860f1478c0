"""How good and how fast are the default fives, compared with the recipe that many tutorials share?

Ours is the command that a person would type, timed as a process of its own; so is the tutorials' recipe. An independent
classifier of MNIST judges both, and real fives too: what a perfect generator would get from equally many images.

    python benchmarks/mnist_five.py --data-dir data
    python benchmarks/mnist_five.py --data-dir data --tutorial-seeds 0

On two cores each of our seeds takes a minute. A seed of the tutorials' recipe takes half an hour; its fakes are kept in
--folder and trained only once. Writes results/mnist_five.md, results/mnist_five.png and a row of
results/readme_table.md.
"""

import argparse
import dataclasses
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from engine import (
    GLOSSARY,
    RESULTS,
    Scores,
    environment,
    protocol,
    read_npz,
    readme_cell,
    run_process,
    show,
    show_of_floor,
    table,
    update_readme_table,
    write_results,
)

# isort: split
# After the engine, which imports TensorFlow without its messages.
import keras
import numpy as np
import tensorflow as tf
from keras import layers

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.data.registry import load
from gan_tf.gan import sample, to_unit_range
from gan_tf.measure import report
from gan_tf.measure.features import Features
from gan_tf.run import plots
from gan_tf.run.folder import Run, save_picture

FAKES, EPOCHS = 5000, 70  # The tutorials' recipe trains for 50 to 100 epochs.
FIVE = 5


# --- The judge --------------------------------------------------------------------------------------------------------


def make_classifier(
    images: np.ndarray, labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray, epochs: int = 5
) -> Features:
    """A classifier of all ten digits, whose last hidden layer has 128 features: two convolutions and a dense layer.
    Images are uint8 (N, 28, 28, 1). Neither GAN ever sees it."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((28, 28, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    for width in (32, 64):
        x = layers.MaxPooling2D()(layers.Conv2D(width, 3, activation="relu")(x))
    hidden = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    logits = layers.Dense(10)(layers.Dropout(0.3)(hidden))
    model = keras.Model(inputs, logits)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, max(1, epochs * len(images) // 128))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], jit_compile=False)
    model.fit(images, labels, batch_size=128, epochs=epochs, verbose=0)
    accuracy = model.evaluate(test_images, test_labels, verbose=0)[1]
    name = f"a classifier of MNIST that never saw the fakes, right {accuracy:.1%} of the time (chance: 10.0%)"
    network = keras.Model(inputs, {"features": hidden, "label": logits})
    return Features(name, 128, network, accuracy={"label": accuracy}, chance={"label": 0.1})


def make_reference(fives: ImageDataset, test_fives: np.ndarray, config: Config, features: Features) -> report.Reference:
    """What fakes are judged against. The test fives join the held-out ones: no GAN trained on either."""
    train, held_out = train_holdout_split(fives, config)
    held_out = np.concatenate([held_out, len(fives) + np.arange(len(test_fives))])
    images = np.concatenate([fives.images[:], test_fives])
    return report.Reference(images, features, train=train, held_out=held_out)


def share_of_fives(features: Features, images: np.ndarray) -> float:
    """The share of images that the classifier calls a five."""
    return float(np.mean(features.read(images)["label"] == FIVE))


# --- The contenders ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Trained:
    """One training: its process's seconds and peak memory in GB, the seconds of training alone, and its fakes."""

    what: str
    seed: int
    seconds: float
    training: float
    memory: float
    images: np.ndarray


def train_ours(
    seed: int, arguments: Sequence[str], folder: Path, pictures: Path | None = None, count: int = FAKES
) -> Trained:
    """Run `python -m gan_tf.train` with these arguments, and draw fakes from the saved generator. The folder `pictures`
    gets mnist_five.png, the same latents after each epoch."""
    run = Run(folder / f"ours-{seed}")
    command = ["-m", "gan_tf.train", *arguments, "--seed", str(seed), "--run", str(run.folder)]
    text, seconds, memory = run_process(command)
    training = float(re.search(r"Trained [\d,]+ steps in ([\d.]+) s", text).group(1))
    generator = keras.models.load_model(run.generator_keras, compile=False)
    latents = np.random.default_rng(1).standard_normal((count, generator.input_shape[1]))
    fakes = sample(generator, latents)
    if pictures:  # Nothing in them is selected.
        last = run.sampled_epochs()[-1]
        epochs = [epoch for epoch in (0, 1, 2, 3, 4, 5, 6, 8) if epoch <= last]
        frames = [plots.open_png(run.sample_png(epoch)) for epoch in epochs]
        save_picture(pictures / "mnist_five.png", plots.strip(frames, [f"epoch {epoch}" for epoch in epochs]))
    return Trained("gan_tf", seed, seconds, training, memory, fakes)


def train_tutorial(seed: int, data_dir: str, folder: Path) -> Trained:
    """The tutorials' recipe in a process of its own, or what was kept of an earlier one."""
    images = folder / f"tutorial-{seed}-{EPOCHS}.npz"
    if not images.exists():
        command = [__file__, "--tutorial", str(images), str(seed), "--data-dir", data_dir]
        text, seconds, memory = run_process(command)
        training = float(re.search(r"Trained in ([\d.]+) s", text).group(1))
        with atomic_write(images.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps({"seconds": seconds, "training": training, "memory": memory}))
    figures = json.loads(images.with_suffix(".json").read_text())
    return Trained("tutorial", seed, **figures, images=read_npz(images)["images"])


def tutorial(
    out: Path, seed: int, images: np.ndarray, epochs: int = EPOCHS, batch: int = 256, count: int = FAKES
) -> tuple[keras.Model, keras.Model]:
    """Train the recipe that many tutorials share, and save its fakes: 5x5 kernels on 256-128-64 channels, batch 256,
    Adam with step size 1e-4, dropout, no averaged weights. Returns generator and discriminator."""
    keras.utils.set_random_seed(seed)
    generator = keras.Sequential([keras.Input((100,)), layers.Dense(7 * 7 * 256, use_bias=False)])
    for layer in (layers.BatchNormalization(), layers.LeakyReLU(), layers.Reshape((7, 7, 256))):
        generator.add(layer)
    for width, stride in ((128, 1), (64, 2)):
        generator.add(layers.Conv2DTranspose(width, 5, strides=stride, padding="same", use_bias=False))
        generator.add(layers.BatchNormalization())
        generator.add(layers.LeakyReLU())
    generator.add(layers.Conv2DTranspose(1, 5, strides=2, padding="same", use_bias=False, activation="tanh"))
    discriminator = keras.Sequential([keras.Input((28, 28, 1))])
    for width in (64, 128):
        discriminator.add(layers.Conv2D(width, 5, strides=2, padding="same"))
        discriminator.add(layers.LeakyReLU())
        discriminator.add(layers.Dropout(0.3))
    discriminator.add(layers.Flatten())
    discriminator.add(layers.Dense(1))
    optimizers = keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4)
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function(autograph=False)
    def step(reals):
        noise = tf.random.normal((tf.shape(reals)[0], 100))
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fakes = generator(noise, training=True)
            real, fake = discriminator(reals, training=True), discriminator(fakes, training=True)
            g_loss = entropy(tf.ones_like(fake), fake)
            d_loss = entropy(tf.ones_like(real), real) + entropy(tf.zeros_like(fake), fake)
        pairs = ((optimizers[0], g_tape, g_loss, generator), (optimizers[1], d_tape, d_loss, discriminator))
        for optimizer, tape, loss, model in pairs:
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    for optimizer, model in zip(optimizers, (generator, discriminator), strict=True):
        optimizer.build(model.trainable_variables)
    data = tf.data.Dataset.from_tensor_slices(to_unit_range(images)).shuffle(len(images), seed=seed).batch(batch)
    began = time.perf_counter()
    for _ in range(epochs):
        for reals in data:
            step(reals)
    print(f"Trained in {time.perf_counter() - began:.1f} s.")
    fakes = sample(generator, np.random.default_rng(1).standard_normal((count, 100)))
    with atomic_write(out) as temporary:
        np.savez(temporary, images=fakes)
    return generator, discriminator


# --- Write ------------------------------------------------------------------------------------------------------------

HEAD = ("what", "seed", "process, s", "training, s", "peak memory, GB", "called a five")
HEAD += ("Frechet distance", "of the floor", "thumbnails", "coverage")
HEAD += ("kernel distance x 1000", "copying", "held-out ratio")


def cells(scores: Scores, floor: Scores) -> list[str]:
    """The measures of one row."""
    quality = [show([scores], "frechet_distance"), show_of_floor([scores], floor, "frechet_distance")]
    quality += [show([scores], name) for name in ("thumbnails", "coverage")]
    kernel = report.show(1000 * scores["kernel_distance"])
    return [*quality, kernel, show([scores], "copying_ratio"), show([scores], "held_out_ratio")]


def rows(
    trained: Sequence[Trained], judged: Sequence[Scores], reference: report.Reference, new_fives: np.ndarray
) -> list[list[str]]:
    """The perfect generator, which is real fives, then every training."""
    features, floor = reference.extract, reference.floor
    perfect = ["perfect generator (real fives)", *[""] * 4, f"{share_of_fives(features, new_fives):.1%}"]
    lines = [[*perfect, *cells(floor, floor)]]
    for one, scores in zip(trained, judged, strict=True):
        times = [f"{one.seconds:.1f}", f"{one.training:.1f}", f"{one.memory:.2f}"]
        five = f"{share_of_fives(features, one.images):.1%}"
        lines.append([one.what, str(one.seed), *times, five, *cells(scores, floor)])
    return lines


def readme_row(trained: Sequence[Trained], judged: Sequence[Scores], reference: report.Reference) -> list[str]:
    """The README's row: ours beside the tutorials' recipe."""
    ours, peers = (
        [scores for one, scores in zip(trained, judged, strict=True) if one.what == what]
        for what in ("gan_tf", "tutorial")
    )
    minutes = statistics.median(one.training for one in trained if one.what == "gan_tf") / 60
    picture = '<img src="benchmarks/results/mnist_five.png" alt="mnist fives: epochs 0 to 8" width="320">'
    names = ("frechet_distance", "thumbnails", "coverage")
    measures = [readme_cell(ours, reference.floor, peers, name) for name in names]
    return ["mnist fives", f"{minutes:.1f}", picture, *measures]


def seconds_of_help(times: int = 5) -> float:
    """The median seconds of `python -m gan_tf.train --help`."""
    return statistics.median(run_process(["-m", "gan_tf.train", "--help"])[1] for _ in range(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=os.environ.get("GAN_TF_DATA", "data"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tutorial-seeds", type=int, nargs="*", default=[], help="seeds of the tutorials' recipe")
    parser.add_argument("--folder", type=Path, default=Path("runs/mnist_five"), help="keeps the tutorials' fakes")
    parser.add_argument("--tutorial", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    config = preset_config("mnist", label=str(FIVE), data_dir=options.data_dir)
    fives = load(config)
    if options.tutorial:
        tutorial(Path(options.tutorial[0]), int(options.tutorial[1]), fives.images[:])
        return
    everything = load(dataclasses.replace(config, label=()))
    test = read_npz(Path(options.data_dir) / "mnist.npz")
    test_images, test_labels = test["x_test"][..., np.newaxis], test["y_test"]
    features = make_classifier(everything.images[:], everything.labels, test_images, test_labels)
    new_fives = test_images[test_labels == FIVE]
    reference = make_reference(fives, new_fives, config, features)
    options.folder.mkdir(parents=True, exist_ok=True)
    arguments = ["--dataset", "mnist", "--digit", str(FIVE), "--data-dir", options.data_dir]
    with tempfile.TemporaryDirectory() as folder:
        trained = [train_ours(seed, arguments, Path(folder), RESULTS if seed == 0 else None) for seed in options.seeds]
    trained += [train_tutorial(seed, options.data_dir, options.folder) for seed in options.tutorial_seeds]
    judged = [reference.measure(one.images) for one in trained]
    update_readme_table(readme_row(trained, judged, reference))
    write_results(
        "mnist_five",
        environment(),
        table(HEAD, rows(trained, judged, reference, new_fives)),
        f"Judged by {features.name}. {protocol(reference)} A perfect generator's fives would be called fives as often "
        f"as the {len(new_fives)} of the test set. {GLOSSARY} The test fives are held out, too.",
        f"`python -m gan_tf.train --help` answers in {seconds_of_help():.2f} s.",
    )


if __name__ == "__main__":
    with exit_on_input_error():
        main()
