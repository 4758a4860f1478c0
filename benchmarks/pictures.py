"""How good are the pictures of the colour presets after 2, 5 and 10 minutes, beside PyTorch's DCGAN (peer.py)?

First `--speed`, on a machine that does nothing else: ours and the peer train in turns, so that a machine that slows
down slows both, and the medians go to results/pictures_speed.json. They turn minutes into steps: the peer's first
measurement is the clock for all sets and recipes, and ours is as many times as fast as it was in turns with the peer.
Then each trains exactly so many steps, and what else the machine does can change no picture.

    python benchmarks/pictures.py --data-dir data --speed
    python benchmarks/pictures.py --data-dir data --sets pokemon creatures --seeds 0 1 2 --peer-seeds 0

The first dozen fakes of the first seed, the peer's above ours, go to results/pictures_SET.png; all fakes, and grids of
64, to --folder. What is there is not made again, so that a long measurement can be done in
pieces; the tables, results/pictures.md, always show the sets and seeds of the last call. A seed takes ten
minutes of two cores, for the peer too. The peer needs PyTorch: pip install -e .[bench]
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np
import tensorflow as tf
from measures import Table

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, steps_per_epoch
from gan_tf.data.registry import load
from gan_tf.gan import GAN, sample

SETS = ("pokemon", "anime", "animal_faces", "creatures")
MINUTES = (2, 5, 10)
PEER_BATCH = 64
TURNS, SECONDS = 5, 10
RESULTS = Path(__file__).parent / "results"
SPEED = RESULTS / "pictures_speed.json"


def recipe(config: Config) -> dict:
    """What of a Config decides how fast and how well it learns, where it differs from the defaults, as json would give
    it back."""
    unimportant = {"dataset", "data_dir", "seed", "epochs", "max_bad", "fit", "background"}
    differing = {
        k: v for k, v in dataclasses.asdict(config).items() if v != getattr(Config, k) and k not in unimportant
    }
    return json.loads(json.dumps(differing))


def costly(config: Config) -> dict:
    """What of a recipe decides how long a step takes: all but flips, which cost nothing that recipes.py could tell."""
    return {k: v for k, v in recipe(config).items() if k != "flip"}


def fakes_of(images: ImageDataset) -> int:
    """How many fakes are judged, ours and the peer's alike."""
    return min(5000, max(2000, len(images)))


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


class Peer:
    """PyTorch's DCGAN, in a process of its own, on the images that it finds in `folder`."""

    def __init__(self, python: str, images: ImageDataset, folder: Path):
        self.folder, self.images = folder, folder / f"images-{images.fingerprint[:16]}.npy"
        self.command = [python, str(Path(__file__).parent / "peer.py"), str(self.images)]
        self.count = fakes_of(images)
        if not self.images.exists():
            with atomic_write(self.images) as temporary:
                np.save(temporary, images.images[:])

    def __enter__(self):
        """Ready to take turns."""
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def speed(self, seconds: float) -> float:
        """Images per second, of so long a turn."""
        print(seconds, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def train(self, seed: int, steps: list[int]) -> dict[int, np.ndarray]:
        """The fakes after each of these numbers of steps."""
        paths = {step: self.folder / f"peer-{seed}-{step}.npz" for step in steps}
        if not all(path.exists() for path in paths.values()):
            out = ["--seed", str(seed), "--fakes", str(self.count), "--marks", *map(str, steps)]
            subprocess.run([*self.command, str(self.folder / f"peer-{seed}"), *out], check=True)
        return {step: read(path)["images"] for step, path in paths.items()}


class TakeTurns(keras.callbacks.Callback):
    """Ends `fit` after TURNS turns of ours and of the peer, and keeps the images per second of each."""

    def __init__(self, peer: Peer):
        super().__init__()
        self.peer, self.ours, self.theirs, self.calls = peer, [], [], 0

    def on_train_batch_end(self, batch, logs=None):
        self.calls += 1
        steps, now = int(self.model.step), time.perf_counter()
        if self.calls < 3:  # The first call compiled.
            self.steps, self.began = steps, now
        elif now - self.began >= SECONDS:
            config = self.model.config
            self.ours.append((steps - self.steps) * config.batch_size * config.d_steps / (now - self.began))
            self.theirs.append(self.peer.speed(SECONDS))
            self.model.stop_training = len(self.ours) == TURNS
            self.steps, self.began = steps, time.perf_counter()


def measure_speed(config: Config, images: ImageDataset, peer: Peer, clock: float | None) -> dict:
    """Images per second of the peer (`clock`, where it was measured before), and of ours, at its own batch and at the
    peer's: so many times the peer's as the median of neighbouring turns says."""
    with peer:
        measured, theirs = {"recipe": costly(config), "peer_is": peer.version}, []
        for name, batch_size in (("ours", config.batch_size), ("ours_at_64", PEER_BATCH)):
            turns = TakeTurns(peer)
            gan = GAN(dataclasses.replace(config, batch_size=batch_size), images.shape)
            gan.fit(images, epochs=10**6, callbacks=[turns], verbose=0)
            ratios = [ours / theirs for ours, theirs in zip(turns.ours, turns.theirs, strict=True)]
            measured[f"{name}_by_peer"] = statistics.median(ratios)
            theirs += turns.theirs
    measured["peer"] = clock or statistics.median(theirs)
    return measured | {name: measured["peer"] * measured[f"{name}_by_peer"] for name in ("ours", "ours_at_64")}


class KeepFakes(keras.callbacks.Callback):
    """Draws fakes of the averaged generator, always of the same latent vectors, after each of these numbers of steps,
    which are multiples of an epoch's."""

    def __init__(self, paths: dict[int, Path], count: int):
        super().__init__()
        self.paths, self.count = paths, count

    def on_epoch_end(self, epoch, logs=None):
        path = self.paths.get(int(self.model.step))
        if path:
            latents = np.random.default_rng(1).standard_normal((self.count, self.model.config.latent_dim))
            images = sample(self.model.ema_generator, latents)
            with atomic_write(path) as temporary:
                np.savez(temporary, images=images, recipe=json.dumps(recipe(self.model.config)))


def train_ours(config: Config, images: ImageDataset, folder: Path, steps: list[int]) -> dict[int, np.ndarray]:
    """The fakes after each of these numbers of steps."""
    paths = {step: folder / f"ours-{config.seed}-{step}.npz" for step in steps}

    def is_there(path):
        return path.exists() and json.loads(str(read(path)["recipe"])) == recipe(config)

    if not all(map(is_there, paths.values())):
        epochs = steps[-1] // steps_per_epoch(images, config)
        config = dataclasses.replace(config, epochs=epochs)
        GAN(config, images.shape).fit(images, callbacks=[KeepFakes(paths, fakes_of(images))], verbose=0)
    return {step: read(path)["images"] for step, path in paths.items()}


def steps_after(minutes: float, images_per_second: float, batch: int, per_epoch: int = 1) -> int:
    """How many steps that is, in whole epochs."""
    return max(1, round(minutes * 60 * images_per_second / batch / per_epoch)) * per_epoch


def measure_pictures(config: Config, images: ImageDataset, peer: Peer, options, speed: dict) -> tuple[Table, str]:
    """Train what is not there yet, and judge everything."""
    if speed.get("recipe") != costly(config):
        sys.exit(f"The speed of {config.dataset} was never measured, or with other values: run with --speed first.")
    table = Table(images, peer.folder)
    per_epoch, per_step = steps_per_epoch(images, config), config.batch_size * config.d_steps
    ours = {minutes: steps_after(minutes, speed["ours"], per_step, per_epoch) for minutes in MINUTES}
    theirs = {minutes: steps_after(minutes, speed["peer"], PEER_BATCH) for minutes in MINUTES}
    for seed in options.peer_seeds:
        fakes = peer.train(seed, [*theirs.values()])
        table.add("peer", seed, {mark: fakes[mark[1]] for mark in theirs.items()})
    for seed in options.seeds:
        fakes = train_ours(dataclasses.replace(config, seed=seed), images, peer.folder, [*ours.values()])
        table.add("ours", seed, {mark: fakes[mark[1]] for mark in ours.items()})
    table.save_dozens(RESULTS / f"pictures_{config.dataset}.png")
    length = config.epochs * per_epoch * per_step / speed["ours"] / 60
    return table, f"{table.about()} The preset's own length is {length:.1f} minutes."


def head_of(names: tuple[str, ...]) -> list[str]:
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def speed_table(speeds: dict) -> list[str]:
    names = ("ours", "ours_at_64", "peer", "ours_by_peer", "ours_at_64_by_peer")
    head = ("set", "ours", "ours at batch 64", "peer at batch 64", "ours by peer's", "ours at 64 by peer's")
    return head_of(head) + [
        f"| {name} | {' | '.join(f'{found[n]:.1f}' for n in names)} |" for name, found in speeds.items()
    ]


def write(speeds: dict, short: list[str], rows: list[str]) -> None:
    """The short table, the whole one, and that of speed."""
    peer = next(iter(speeds.values()))["peer_is"]
    versions = f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {peer}; {os.cpu_count()} CPU cores."
    speed = ["Images per second in training, medians of turns:", "", *speed_table(speeds)]
    (RESULTS / "pictures.md").write_text("\n".join([versions, "", *short, "", *rows, "", *speed]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="as of gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--peer-seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/pictures"))
    parser.add_argument("--torch-python", default=sys.executable, help="the interpreter that has PyTorch")
    parser.add_argument("--speed", action="store_true", help="measure speed, and nothing else")
    options = parser.parse_args()
    speeds = json.loads(SPEED.read_text()) if SPEED.exists() else {}
    short, rows, notes = head_of(Table.SHORT), head_of(Table.HEAD), []
    for name in options.sets:
        config = preset_config(name, data_dir=options.data_dir)
        images = load(config)
        folder = options.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        peer = Peer(options.torch_python, images, folder)
        if options.speed:
            # All images are 64x64x3, so that sets of the same recipe are learned at the same speed.
            same = [speed for speed in speeds.values() if speed["recipe"] == costly(config)]
            clock = next((speed["peer"] for speed in speeds.values()), None)
            speeds[name] = same[0] if same else measure_speed(config, images, peer, clock)
            SPEED.write_text(json.dumps(speeds, indent=2) + "\n")
            print(*speed_table({name: speeds[name]}), sep="\n", flush=True)
        else:
            table, note = measure_pictures(config, images, peer, options, speeds.get(name, {}))
            short, rows, notes = [*short, table.short(MINUTES[-1])], rows + table.rows, [*notes, note]
    if not options.speed:
        write({name: speeds[name] for name in options.sets}, short, [*notes, "", *rows])


if __name__ == "__main__":
    with exit_on_input_error():
        main()
