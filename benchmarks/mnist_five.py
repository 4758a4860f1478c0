"""How good and how fast are the default fives, beside the recipe that tutorials use?

Both train on MNIST's 5,421 fives as processes of their own, both then draw 5,421 images, and a classifier that saw
neither judges them. Writes results/mnist_five.md and the README's picture. On two cores five minutes, and half an hour
for each seed of the tutorials' recipe, which does not change: without seeds, its rows stay as they are.

    python benchmarks/mnist_five.py --data-dir data --tutorial-seeds 0
    python benchmarks/mnist_five.py --data-dir data --tutorial-seeds
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from gan_tf.config import preset_config
from gan_tf.data.images import batches, steps_per_epoch
from gan_tf.data.registry import load, read_npz
from gan_tf.gan import GAN, sample, to_unit_range
from gan_tf.measure.metrics import coverage, frechet_distance
from gan_tf.run import plots
from gan_tf.run.folder import Run

FIVES = 5421
RESULTS = Path(__file__).parent / "results"


def classifier(path: Path) -> tuple[keras.Model, float]:
    """Two convolutions and a dense layer, trained on MNIST's training set: images (N, 28, 28, 1) uint8 -> 128
    features and ten logits. Also its accuracy on the test set."""
    keras.utils.set_random_seed(0)
    images, labels = read_npz(path)
    inputs = keras.Input((28, 28, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    for width in (32, 64):
        x = layers.MaxPooling2D()(layers.Conv2D(width, 3, activation="relu")(x))
    features = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    logits = layers.Dense(10)(layers.Dropout(0.3)(features))
    model = keras.Model(inputs, logits)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, 5 * len(images) // 128)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"], jit_compile=False)
    model.fit(images[..., np.newaxis], labels, batch_size=128, epochs=5, verbose=2)
    with np.load(path) as arrays:
        accuracy = model.evaluate(arrays["x_test"][..., np.newaxis], arrays["y_test"], verbose=0)[1]
    return keras.Model(inputs, [features, logits]), accuracy


def timed(argv: list[str]) -> tuple[str, float, float]:
    """Run a process: what it printed, its seconds, and its peak memory in GB."""
    with tempfile.TemporaryFile("w+") as printed:
        began = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": sys.path[0]}
        process = subprocess.Popen(argv, stdout=printed, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        printed.seek(0)
        text = printed.read()
    if status:
        sys.exit(text)
    return text, seconds, usage.ru_maxrss / 2**20


def train_ours(seed: int, data_dir: str, folder: Path) -> dict:
    """The command with no other option than the seed, and the images that generate draws."""
    run = folder / f"ours-{seed}"
    command = [sys.executable, "-m", "gan_tf.train", "--dataset", "mnist", "--digit", "5", "--data-dir", data_dir]
    text, seconds, memory = timed([*command, "--seed", str(seed), "--run", str(run)])
    training = float(re.search(r"Trained [\d,]+ steps in ([\d.]+) s", text).group(1))
    if seed == 0:  # The README's picture: the same first latents at several epochs, not chosen.
        epochs = [0, 1, 2, 3, 4, 5, 6, 8]
        frames = [plots.open_png(Run(run).sample_png(epoch)) for epoch in epochs]
        plots.save_png(RESULTS / "mnist_five.png", plots.strip(frames, [f"epoch {epoch}" for epoch in epochs]))
    images = folder / f"ours-{seed}.npz"
    timed(
        [sys.executable, "-m", "gan_tf.generate", str(run), "--count", str(FIVES), "--seed", "1", "--out", str(images)]
    )
    with np.load(images) as drawn:
        return {"seconds": seconds, "training": training, "memory": memory, "images": drawn["images"]}


def train_tutorial(seed: int, data_dir: str, folder: Path) -> dict:
    """The same for the tutorials' recipe, below."""
    images = folder / f"tutorial-{seed}.npy"
    text, seconds, memory = timed(
        [sys.executable, __file__, "--tutorial", str(images), str(seed), "--data-dir", data_dir]
    )
    training = float(re.search(r"Trained in ([\d.]+) s", text).group(1))
    return {"seconds": seconds, "training": training, "memory": memory, "images": np.load(images)}


def tutorial(out: str, seed: int, data_dir: str, epochs: int = 70, batch: int = 256) -> None:
    """The recipe that the tutorials share: wide 5x5 kernels, batch 256, Adam at 1e-4, dropout, no average."""
    keras.utils.set_random_seed(seed)
    images = load(preset_config("mnist", label=5, data_dir=data_dir)).images
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

    @tf.function
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
    pixels = to_unit_range(images)
    data = tf.data.Dataset.from_tensor_slices(pixels).shuffle(len(pixels), seed=seed).batch(batch)
    began = time.perf_counter()
    for _ in range(epochs):
        for reals in data:
            step(reals)
    print(f"Trained in {time.perf_counter() - began:.1f} s.")
    np.save(out, sample(generator, np.random.default_rng(1).standard_normal((FIVES, 100))))


def cost_of_fit(data_dir: str, epochs: int = 9) -> float:
    """The median ratio of an epoch by `fit`, with its progress bar, to the same epoch by a bare Python loop around
    the same compiled step. The two take turns, so that a machine that slows down slows both."""
    config = preset_config("mnist", label=5, data_dir=data_dir, epochs=epochs)
    images = load(config)
    bare, data = GAN(config, images.shape), iter(batches(images, config))
    step, ratios = tf.function(bare.train_step), []

    class TakeTurns(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            fit = time.perf_counter() - self.began
            began = time.perf_counter()
            for _ in range(steps_per_epoch(images, config)):
                step(next(data))
            ratios.append(fit / (time.perf_counter() - began))

    GAN(config, images.shape).fit(images, callbacks=[TakeTurns()])
    return statistics.median(ratios[1:])  # The first turn compiles.


def seconds_of_help() -> float:
    """The median seconds that --help takes, of five times."""
    return statistics.median(timed([sys.executable, "-m", "gan_tf.train", "--help"])[1] for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=os.environ.get("GAN_TF_DATA", "data"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--tutorial-seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--tutorial", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tutorial:
        tutorial(options.tutorial[0], int(options.tutorial[1]), options.data_dir)
        return
    path = Path(options.data_dir) / "mnist.npz"
    judge, accuracy = classifier(path)

    def judged(images: np.ndarray) -> tuple[np.ndarray, float]:
        features, logits = judge.predict(images, batch_size=512, verbose=0)
        return features, float(np.mean(logits.argmax(axis=1) == 5))

    reals, _ = judged(load(preset_config("mnist", label=5, data_dir=options.data_dir)).images)
    with np.load(path) as arrays:
        test_features, test_fives = judged(arrays["x_test"][arrays["y_test"] == 5][..., np.newaxis])
    floor = frechet_distance(reals, test_features)
    head = ["what", "seed", "process, s", "training, s", "peak memory, GB", "called a five", "Frechet distance"]
    rows = [f"| {' | '.join([*head, 'of the floor', 'coverage'])} |", "|---" * 9 + "|"]
    rows.append(f"| real test fives ({len(test_features)}) | | | | | {test_fives:.2%} | {floor:.2f} | 1.00 | |")
    with tempfile.TemporaryDirectory() as folder:
        jobs = [("gan_tf", train_ours, seed) for seed in options.seeds]
        jobs += [("tutorial", train_tutorial, seed) for seed in options.tutorial_seeds]
        for name, train, seed in jobs:
            result = train(seed, options.data_dir, Path(folder))
            features, fives = judged(result["images"])
            distance = frechet_distance(reals, features)
            rows.append(
                f"| {name} | {seed} | {result['seconds']:.1f} | {result['training']:.1f} | {result['memory']:.2f} | "
                f"{fives:.2%} | {distance:.2f} | {distance / floor:.2f} | {coverage(reals, features):.3f} |"
            )
            print(rows[-1], flush=True)
    stored = RESULTS / "mnist_five.md"
    if not options.tutorial_seeds and stored.exists():
        rows += [line for line in stored.read_text().splitlines() if line.startswith("| tutorial |")]
    lines = [
        f"Classifier: {accuracy:.2%} on MNIST's test set. {FIVES} images each. TensorFlow {tf.__version__}, Keras "
        f"{keras.__version__}, {os.cpu_count()} CPU cores.",
        "",
        *rows,
        "",
        f"An epoch by `fit` takes {cost_of_fit(options.data_dir):.3f} times that of a bare loop around the same step.",
        f"`python -m gan_tf.train --help` answers in {seconds_of_help():.2f} s.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    stored.write_text(text)


if __name__ == "__main__":
    main()
