"""How good are the colour presets after 2 and 5 minutes and at their end, compared with PyTorch's DCGAN (peer.py)?

First measure the speed, if possible on an otherwise idle machine:

    python benchmarks/pictures.py --data-dir data --speed

Ours and the peer train in turns of ten seconds, so that a machine that slows down slows both. The medians go to
results/pictures_speed.json and turn minutes into steps. The peer's first measurement is the clock for all sets. Then

    python benchmarks/pictures.py --data-dir data --sets pokemon creatures --seeds 0 1 2 --peer-seeds 0

trains exactly that many steps, so other load on the machine changes no picture. All fakes, and grids of 64, are kept in
--folder and never trained twice. A seed takes eight minutes of two cores, and the peer's ten. Writes
results/pictures.md with the sets and seeds of this call, pictures of the first fakes, not selected, to
results/pictures_SET.png (the peer's above ours), and each set's row of results/readme_table.md. The peer needs PyTorch:
pip install -e .[bench]
"""

import argparse
import dataclasses
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from engine import (
    FAKES,
    GLOSSARY,
    RESULTS,
    SPEED,
    Scores,
    environment,
    in_turns,
    median_ratio,
    protocol,
    read_npz,
    read_speeds,
    readme_cell,
    show,
    show_of_floor,
    step_recipe,
    stepper,
    steps_in,
    table,
    train_fakes,
    update_readme_table,
    write_results,
)

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, steps_per_epoch
from gan_tf.data.registry import load
from gan_tf.measure import report
from gan_tf.measure.features import Features, creature_reader, rotation_network
from gan_tf.run import plots
from gan_tf.run.build import build_for
from gan_tf.run.folder import save_picture

SETS = ("pokemon", "anime", "animal_faces", "celeba", "creatures")
MINUTES = (2, 5)  # and the preset's end
PEER_MINUTES = (2, 5, 10)
PEER_BATCH = 64
TURNS, SECONDS = 5, 10


# --- The peer, and speed ----------------------------------------------------------------------------------------------


class Peer:
    """PyTorch's DCGAN in a process of its own. Its images and fakes are files in `folder`."""

    def __init__(self, python: str, images: ImageDataset, folder: Path, train: bool = True):
        self.folder, self.images, self.count, self.train = folder, images, FAKES, train
        self.path = folder / "images.npy"
        self.command = [python, str(Path(__file__).parent / "peer.py"), str(self.path)]

    def write_images(self) -> None:
        if not self.path.exists():
            with atomic_write(self.path) as temporary:
                np.save(temporary, self.images.images[:])

    def __enter__(self) -> "Peer":
        """Start the process that takes turns. Its first line says what it is."""
        self.write_images()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait()

    def speed(self, seconds: float = SECONDS) -> float:
        """Images per second in a turn of that length."""
        print(seconds, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def fakes(self, seed: int, steps: Sequence[int]) -> dict[int, np.ndarray]:
        """Fakes after each of these numbers of steps, from peer-SEED-STEP.npz. If one is missing, the peer is trained;
        with train=False, that step is left out instead."""
        paths = {step: self.folder / f"peer-{seed}-{step}.npz" for step in steps}
        if not self.train:
            paths = {step: path for step, path in paths.items() if path.exists()}
        elif not all(path.exists() for path in paths.values()):
            self.write_images()
            out = ["--seed", str(seed), "--fakes", str(self.count), "--marks", *map(str, steps)]
            subprocess.run([*self.command, str(self.folder / f"peer-{seed}"), *out], check=True)
        return {step: read_npz(path)["images"] for step, path in paths.items()}


def measure_speed(config: Config, images: ImageDataset, peer, clock: float | None, turns: int = TURNS) -> dict:
    """Images per second of the peer (`clock` where it was measured before) and of ours, with the preset's batch and
    with the peer's. Ours is the peer's times the median ratio of neighbouring turns."""
    sizes = {"ours": config.batch_size, "ours_at_64": PEER_BATCH}

    def ours(batch_size: int):
        steps = 1600 // batch_size  # About ten seconds on two cores.
        advance = stepper(dataclasses.replace(config, batch_size=batch_size), images, steps)
        return lambda: steps * batch_size * config.d_steps / advance()

    measured = in_turns({name: ours(size) for name, size in sizes.items()} | {"peer": peer.speed}, turns)
    found = {"recipe": step_recipe(config), "peer_is": peer.version}
    found["peer"] = clock or statistics.median(measured["peer"])
    for name in sizes:
        found[f"{name}_by_peer"] = median_ratio(measured[name], measured["peer"])
        found[name] = found["peer"] * found[f"{name}_by_peer"]
    return found | {"parameters": count_parameters(config, images)}


def count_parameters(config: Config, images: ImageDataset) -> int:
    """Trainable weights of our generator and discriminator together."""
    gan = build_for(images, config)
    weights = [*gan.generator.trainable_weights, *gan.discriminator.trainable_weights]
    return int(sum(np.prod(weight.shape) for weight in weights))


def speed_table(speeds: Mapping[str, dict]) -> str:
    """The speeds, with what they do not say: how much smaller our networks are."""
    names = ("ours", "ours_at_64", "peer", "ours_by_peer", "ours_at_64_by_peer")
    head = ("set", "ours", "ours at batch 64", "peer at batch 64", "ours / peer", "ours at 64 / peer", "our parameters")
    rows = [[name, *(f"{one[n]:.1f}" for n in names), f"{one['parameters']:,}"] for name, one in speeds.items()]
    one = next(iter(speeds.values()))
    theirs = int(re.search(r"([\d,]+) parameters", one["peer_is"]).group(1).replace(",", ""))
    about = (
        "Images per second in training, medians of turns. The ratio compares networks of different size: both of "
        f"our players together have {one['parameters'] / 1e6:.2f} million parameters, the peer's "
        f"{theirs / 1e6:.1f} million."
    )
    return f"{about}\n\n{table(head, rows)}"


def marks(config: Config, images: ImageDataset, speed: dict) -> tuple[dict[float, int], dict[float, int]]:
    """The steps of ours by minutes, the last of which are the preset's, and those of the peer. Raises InputError where
    the speed was not measured."""
    if speed.get("recipe") != step_recipe(config):
        raise InputError(f"The speed of {config.dataset} was not measured for this preset: run with --speed first.")
    per_step, per_epoch = config.batch_size * config.d_steps, steps_per_epoch(images, config)
    ours: dict[float, int] = {m: steps_in(m, speed["ours"], per_step, per_epoch) for m in MINUTES}
    last = config.epochs * per_epoch
    ours[round(last * per_step / speed["ours"] / 60, 1)] = last
    return ours, {minutes: steps_in(minutes, speed["peer"], PEER_BATCH) for minutes in PEER_MINUTES}


# --- Judge ------------------------------------------------------------------------------------------------------------


def set_folder(folder: Path, images: ImageDataset) -> Path:
    """Where a set's fakes are kept. Other images get another folder, so nothing made from old ones is taken for new."""
    path = folder / f"{images.name}-{images.fingerprint[:8]}"
    path.mkdir(parents=True, exist_ok=True)
    return path


@dataclasses.dataclass(frozen=True)
class Sample:
    """The fakes of one training after so many minutes."""

    what: str  # "ours" or "peer"
    seed: int
    minutes: float
    step: int
    images: np.ndarray


@dataclasses.dataclass
class SetResult:
    """Everything measured on one data set."""

    images: ImageDataset
    reference: report.Reference
    reader: Features | None  # of creatures: reads species and hue
    judged: list[tuple[Sample, Scores]]

    def last(self, what: str) -> tuple[float, list[Scores]]:
        """The most minutes that were judged, 0 if none, and the scores of each seed after them."""
        minutes = max((sample.minutes for sample, _ in self.judged if sample.what == what), default=0)
        return minutes, [scores for sample, scores in self.judged if (sample.what, sample.minutes) == (what, minutes)]


def collect(
    config: Config,
    images: ImageDataset,
    peer: Peer,
    seeds: Sequence[int],
    peer_seeds: Sequence[int],
    ours_after: Mapping[float, int],
    peer_after: Mapping[float, int],
) -> list[Sample]:
    """The fakes of the peer and of ours after each of these minutes, which are so many steps. Trains those missing."""
    samples = []
    for seed in peer_seeds:
        fakes = peer.fakes(seed, [*peer_after.values()])
        kept = {minutes: step for minutes, step in peer_after.items() if step in fakes}
        samples += [Sample("peer", seed, minutes, step, fakes[step]) for minutes, step in kept.items()]
    steps = [*ours_after.values()]
    for seed in seeds:
        seeded = dataclasses.replace(config, seed=seed)
        fakes = train_fakes(seeded, images, peer.folder / "ours", steps, peer.count)
        samples += [Sample("ours", seed, minutes, step, fakes[step]) for minutes, step in ours_after.items()]
    return samples


def judge_set(
    images: ImageDataset,
    samples: Sequence[Sample],
    reference: report.Reference,
    folder: Path,
    reader: Features | None = None,
) -> SetResult:
    """Judge every sample against the same reference, and save a grid of each."""
    judged = []
    for sample in samples:
        judged.append((sample, reference.measure(sample.images)))
        grid = plots.grid(sample.images[:64], columns=8)
        save_picture(folder / f"{sample.what}-{sample.seed}-{sample.minutes}min.png", grid)
        print(images.name, sample.what, sample.seed, sample.minutes, show([judged[-1][1]], "frechet_distance"))
    return SetResult(images, reference, reader, judged)


def save_firsts(folder: Path, name: str, samples: Sequence[Sample]) -> None:
    """Fakes of the first seed after its last minute, not selected: pictures_NAME.png, a dozen of the peer above a dozen
    of ours."""
    by_what = {what: [s for s in samples if s.what == what] for what in ("peer", "ours")}
    last = [min(some, key=lambda s: (-s.minutes, s.seed)).images for some in by_what.values() if some]
    save_picture(folder / f"pictures_{name}.png", plots.grid(np.concatenate([one[:12] for one in last]), columns=12))


# --- Write ------------------------------------------------------------------------------------------------------------

SHORT = ("set", "images", "minutes", "Frechet distance", "floor", "peer", "thumbnails", "floor", "peer")
SHORT += ("coverage", "floor", "peer", "copying")
LONG = ("set", "what", "seed", "minutes", "steps", "Frechet distance", "of the floor", "kernel distance x 1000")
LONG += ("thumbnails", "of the floor", "7x7 patches", "coverage", "copying", "held-out ratio")
CREATURES = ("what", "seed", "minutes", "species", "hues")


def short_row(result: SetResult) -> list[str]:
    """Ours at the preset's end, with the floor and the peer's last for each measure."""
    (minutes, ours), (_, peers) = result.last("ours"), result.last("peer")
    cells = [result.images.name, f"{len(result.images):,}", f"{minutes:g}"]
    for name in ("frechet_distance", "thumbnails", "coverage"):
        cells += [show(ours, name), report.show(result.reference.floor[name]), show(peers, name) if peers else ""]
    return [*cells, show(ours, "copying_ratio")]


def long_rows(result: SetResult) -> list[list[str]]:
    """The floor, then every sample."""
    floor = result.reference.floor
    texture = f"pyramid_{result.images.shape[0]}"  # The finest level: texture.

    def cells(scores: Scores) -> list[str]:
        found = [show([scores], "frechet_distance"), show_of_floor([scores], floor, "frechet_distance")]
        found += [report.show(1000 * scores["kernel_distance"])]
        found += [show([scores], "thumbnails"), show_of_floor([scores], floor, "thumbnails")]
        found += [show([scores], name) for name in (texture, "coverage", "copying_ratio")]
        return [*found, show([scores], "held_out_ratio") if "held_out_ratio" in scores else ""]

    name = result.images.name
    rows = [[name, "perfect generator (floor)", "", "", "", *cells(floor)]]
    for sample, scores in result.judged:
        rows.append([name, sample.what, sample.seed, f"{sample.minutes:g}", sample.step, *cells(scores)])
    return rows


def creature_rows(result: SetResult) -> list[list[str]]:
    """Of each sample, the shares of species and of hues that the generator did not lose."""
    rows = []
    for sample, _ in result.judged:
        counted = report.count_creatures(result.images.images[:], sample.images, result.reader)
        shares = [1 - len(counted[kind]["lost"]) / len(counted[kind]["classes"]) for kind in ("species", "hue")]
        rows.append([sample.what, sample.seed, f"{sample.minutes:g}", *(f"{share:.0%}" for share in shares)])
    return rows


def about(result: SetResult) -> str:
    """How one set was judged."""
    return f"{result.images.name}: features of {result.reference.extract.name}. {protocol(result.reference)}"


def readme_row(result: SetResult) -> list[str]:
    """The set's row of the README's table."""
    name, floor = result.images.name, result.reference.floor
    (minutes, ours), (_, peers) = result.last("ours"), result.last("peer")
    alt = f"{name}: a dozen of the peer's fakes above a dozen of ours" if peers else f"{name}: a dozen of our fakes"
    picture = f'<img src="benchmarks/results/pictures_{name}.png" alt="{alt}" width="320">'
    measures = ("frechet_distance", "thumbnails", "coverage")
    return [name, f"{minutes:g}", picture, *(readme_cell(ours, floor, peers, measure) for measure in measures)]


def write(results: Sequence[SetResult], speeds: Mapping[str, dict], folder: Path | None = None) -> Path:
    """results/pictures.md: the short table, how it was measured, every sample, creatures, and speed."""
    parts = [
        f"{environment()} The peer: {next(iter(speeds.values()))['peer_is']}.",
        table(SHORT, [short_row(result) for result in results]),
        "\n".join(f"- {about(result)}" for result in results),
        GLOSSARY,
        table(LONG, [row for result in results for row in long_rows(result)]),
    ]
    for result in results:
        if result.reader:
            about_reader = f"Shares of species and hues that are not lost. Features of {result.reader.name}."
            parts += [about_reader, table(CREATURES, creature_rows(result))]
    return write_results("pictures", *parts, speed_table(speeds), folder=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder with your data files, as in gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, metavar="SET", help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peer-seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/pictures"), help="keeps fakes and grids")
    parser.add_argument("--kept-peers", action="store_true", help="judge the fakes of the peer in --folder; train none")
    parser.add_argument("--torch-python", default=sys.executable, help="the interpreter that has PyTorch")
    parser.add_argument("--speed", action="store_true", help="measure speed, and nothing else")
    options = parser.parse_args()
    speeds, results, measured = read_speeds(), [], {}
    for name in options.sets:
        config = preset_config(name, data_dir=options.data_dir)
        images = load(config)
        folder = set_folder(options.folder, images)
        peer = Peer(options.torch_python, images, folder, train=not options.kept_peers)
        if options.speed:
            # All images are 64x64x3, so sets with the same recipe train at the same speed.
            key = json.dumps(step_recipe(config))
            if key not in measured:
                clock = next((speed["peer"] for speed in speeds.values()), None)
                with peer:
                    measured[key] = measure_speed(config, images, peer, clock)
            speeds[name] = measured[key]
            SPEED.write_text(json.dumps(speeds, indent=2) + "\n")
            print(speed_table({name: speeds[name]}), flush=True)
        else:
            ours_after, peer_after = marks(config, images, speeds.get(name, {}))
            samples = collect(config, images, peer, options.seeds, options.peer_seeds, ours_after, peer_after)
            reference = report.run_reference(images, config, rotation_network(images, folder))
            reader = creature_reader(images.shape[0], folder) if name == "creatures" else None
            results.append(judge_set(images, samples, reference, folder, reader))
            save_firsts(RESULTS, name, samples)
            update_readme_table(readme_row(results[-1]))
    if results:
        write(results, {name: speeds[name] for name in options.sets})


if __name__ == "__main__":
    with exit_on_input_error():
        main()
