"""Train every combination of some settings from several seeds, side by side.

Example: python -m gan_tf.sweep --seeds 0 1 2 --set r1=0.1,1 --dataset mnist --digit 5

Other options are those of gan_tf.train and hold for all runs.

It runs on Ray Tune, on this machine or on a cluster (--address).

The sweep's folder gets a run folder for each trial, and table.md.
"""

import argparse
import csv
import dataclasses
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.files import atomic_write

# Train in a process whose input is a pipe. When that closes, because whoever started it has ended, it stops as after
# Ctrl-C: with a checkpoint.
TRAIN = """
import os, signal, sys, threading
def stop_with_parent():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=stop_with_parent, daemon=True).start()
from gan_tf import train
train.main()
"""
MEASURES = ("frechet_distance", "coverage")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    setting: str  # what differs from other settings, such as "r1=0.1 width=64"; "" if nothing does
    seed: int
    epochs: int
    options: tuple[str, ...]  # of gan_tf.train

    @property
    def name(self) -> str:
        """The name of its folder."""
        return ",".join([*self.setting.split(), f"seed={self.seed}"])


def parser() -> argparse.ArgumentParser:
    """The sweep's own options. What it does not know is for gan_tf.train."""
    found = argparse.ArgumentParser(
        prog="python -m gan_tf.sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the seeds of each setting (0 1 2)")
    found.add_argument(
        "--set", action="append", default=[], metavar="NAME=A,B", help="values of an option; can be given several times"
    )
    found.add_argument("--out", type=Path, metavar="DIR", help="the folder to create (a new one in runs/)")
    found.add_argument("--resume", type=Path, metavar="DIR", help="continue the sweep in this folder")
    found.add_argument("--early-stopping", action="store_true", help="stop the worst runs early (Ray's ASHA)")
    found.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster (this machine)")
    found.add_argument("--cpus", type=float, default=1, help="CPU cores for each run (1)")
    found.add_argument("--gpus", type=float, default=0, help="GPUs for each run, also a part of one (0)")
    return found


def read_settings(texts: Sequence[str]) -> list[dict[str, str]]:
    """All combinations of the values in texts such as "r1=0.1,1". Raises InputError."""
    choices = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not name or not equals or not all(values.split(",")):
            raise InputError(f"--set is {text!r}, but it must be an option and its values, such as r1=0.1,1.")
        if name in choices:
            raise InputError(f"--set names {name} twice: put all of its values into one, {name}=A,B.")
        choices[name] = values.split(",")
    return [dict(zip(choices, combination, strict=True)) for combination in itertools.product(*choices.values())]


def plan(settings: Sequence[dict[str, str]], seeds: Sequence[int], options: Sequence[str]) -> list[Trial]:
    """The trials of a sweep. Raises InputError if gan_tf.train would not take one's options."""
    from gan_tf import train

    trials = []
    for setting in settings:
        chosen = [f"--{name.replace('_', '-')}={value}" for name, value in setting.items()]
        given = [*options, *chosen]
        config = train.parse(given).config
        if not config.evaluate_every:
            # About four times, and at the end.
            every = next(n for n in range(max(1, config.epochs // 4), 0, -1) if config.epochs % n == 0)
            given += [f"--evaluate-every={every}"]
        elif config.epochs % config.evaluate_every:
            raise InputError(
                f"--evaluate-every {config.evaluate_every} would not measure the last of {config.epochs} epochs: use a "
                "number that divides them."
            )
        label = " ".join(f"{name}={value}" for name, value in setting.items())
        trials += [Trial(label, seed, config.epochs, (*given, f"--seed={seed}")) for seed in seeds]
    return trials


def make_trainable() -> type:
    """Ray's view of a trial: a process that trains, of which each evaluated epoch is an iteration."""
    from ray import tune

    class Training(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            trial = config["trial"]
            self.folder, self.epochs, self.shown = Path(trial["folder"]), trial["epochs"], 0
            begun = (self.folder / "config.json").exists()
            options = ["--resume", str(self.folder)] if begun else [*trial["options"], "--run", str(self.folder)]
            threads = str(max(1, int(trial["cpus"])))
            environment = os.environ | {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
            self.log = open(f"{self.folder}.txt", "a")  # noqa: SIM115 (it stays open as long as the process)
            self.process = subprocess.Popen(
                [sys.executable, "-c", TRAIN, *options],
                cwd=trial["directory"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=self.log,
                stderr=self.log,
            )

        def step(self) -> dict[str, Any]:
            """Wait for the next epoch that was evaluated."""
            while True:
                code, measured = self.process.poll(), measured_epochs(self.folder)
                if len(measured) > self.shown:
                    row = measured[self.shown]
                    self.shown += 1
                    is_last = row["epoch"] == self.epochs
                    if not (is_last and self.process.wait()):
                        return row | {"done": is_last}
                elif code is not None:
                    raise RuntimeError(last_line(Path(self.log.name)))
                time.sleep(0.2)

        def cleanup(self) -> None:
            self.process.communicate()  # Closes its input.
            self.log.close()

        def save_checkpoint(self, checkpoint_dir: str) -> dict:
            return {}  # The run's folder has all there is.

        def load_checkpoint(self, checkpoint: Any) -> None:
            pass

    return Training


def measured_epochs(folder: Path) -> list[dict[str, float]]:
    """The epochs of a run that were evaluated, with what a sweep compares. It is read without gan_tf.run, whose
    TensorFlow would take half a gigabyte in each of Ray's processes."""
    if not (folder / "history.csv").exists():
        return []
    with open(folder / "history.csv", newline="") as file:
        # The last line may be half written.
        found = [[row[name] for name in ("epoch", *MEASURES)] for row in csv.DictReader(file) if row["coverage"]]
    rows: list[dict[str, float]] = [dict(zip(("epoch", *MEASURES), map(float, row), strict=True)) for row in found]
    return [row for row in rows if math.isfinite(row["coverage"])]


def last_line(path: Path) -> str:
    """The last line of a log."""
    return (path.read_text().strip().splitlines() or ["it said nothing"])[-1]


def connect(address: str | None) -> None:
    """Start Ray here, or join the cluster at `address`. Raises InputError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Nothing is sent anywhere.
    try:
        import ray
        import ray.tune
    except ImportError:
        raise InputError(
            "A sweep needs Ray Tune, which is not installed: python -m pip install -e '.[sweep]'"
        ) from None
    try:
        ray.init(address=address or "local", log_to_driver=False)
    except Exception as error:  # When it takes too long to start, Ray raises no other class.
        why = str(error).splitlines()[0]
        if not address:
            raise InputError(f"Ray did not start here ({why}): try again when this machine is less busy.") from error
        raise InputError(
            f"There is no Ray cluster at {address} ({why}): start one with ray start --head, or leave --address out."
        ) from error


def make_scheduler(trials: Sequence[Trial]) -> Any:
    """Ray's ASHA (Li et al. 2020, arXiv:1810.05934): after a quarter of the epochs, a half and all, it ends a run that
    is worse than the median of those that have come so far."""
    from ray.tune.schedulers import ASHAScheduler

    most = max(trial.epochs for trial in trials)
    return ASHAScheduler(time_attr="epoch", max_t=most, grace_period=max(1, most // 4), reduction_factor=2)


def run_trials(folder: Path, trials: Sequence[Trial], given: argparse.Namespace) -> list[str]:
    """Run what is left of a sweep. Returns the last line of each run that failed."""
    import ray
    from ray import tune

    directory = folder / "ray"
    trainable = tune.with_resources(make_trainable(), {"cpu": given.cpus, "gpu": given.gpus})
    if tune.Tuner.can_restore(str(directory)):
        tuner = tune.Tuner.restore(str(directory), trainable, resume_errored=True)
    else:
        common = {"directory": os.getcwd(), "cpus": given.cpus}
        space = [
            {"folder": str(folder / trial.name), "options": list(trial.options), "epochs": trial.epochs} | common
            for trial in trials
        ]
        scheduler = make_scheduler(trials) if given.early_stopping else None
        tuner = tune.Tuner(
            trainable,
            param_space={"trial": tune.grid_search(space)},
            tune_config=tune.TuneConfig(metric="frechet_distance", mode="min", scheduler=scheduler),
            run_config=tune.RunConfig(name=directory.name, storage_path=str(folder), verbose=1),
        )
    try:
        results = tuner.fit()
    finally:
        ray.shutdown()
    found = [results[number] for number in range(len(results))]
    return [
        last_line(Path(f"{result.config['trial']['folder']}.txt")) for result in found if result.error and result.config
    ]


def table(folder: Path, trials: Sequence[Trial]) -> str:
    """Markdown: each setting's last measures, the median of its seeds (lowest to highest)."""
    lines = ["| setting | seeds | stopped early | Frechet distance | coverage |", "| --- | --- | --- | --- | --- |"]
    for setting in dict.fromkeys(trial.setting for trial in trials):
        mine = [trial for trial in trials if trial.setting == setting]
        last = [measured_epochs(folder / trial.name)[-1:] for trial in mine]
        early = sum(not row or row[0]["epoch"] < trial.epochs for row, trial in zip(last, mine, strict=True))
        cells = [spread(row[0][name] for row in last if row) or "-" for name in MEASURES]
        lines.append(f"| {setting or 'as given'} | {len(mine)} | {early} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: Iterable[float], form: str = ".3g") -> str:
    """Several values as 'median (lowest to highest)'; one value alone as itself; none as nothing."""
    values = [*values]
    if not values:
        return ""
    median, low, high = (f"{value:{form}}" for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({low} to {high})" if len(values) > 1 else median


def begin(given: argparse.Namespace, options: Sequence[str]) -> list[Trial]:
    """The trials of a new sweep. Raises InputError."""
    for name in ("--run", "--resume", "--seed", "--distribute"):
        if any(option.split("=")[0] == name for option in options):
            raise InputError(f"{name} has no place in a sweep: it names each run itself, and takes --seeds.")
    return plan(read_settings(given.set), given.seeds, options)


def create(out: Path | None, trials: Sequence[Trial]) -> Path:
    """Make a new sweep's folder. Raises InputError."""
    folder = (out or Path("runs", f"sweep-{time.strftime('%Y%m%d-%H%M%S')}")).resolve()
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise InputError(
            f"{folder} exists already: continue that sweep with --resume {folder}, or name another."
        ) from None
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}): name a writable one with --out.") from error
    with atomic_write(folder / "sweep.json") as temporary:
        temporary.write_text(json.dumps([dataclasses.asdict(trial) for trial in trials], indent=2) + "\n")
    return folder


def reopen(folder: Path) -> list[Trial]:
    """The trials of the sweep in a folder. Raises InputError if it is none."""
    try:
        record = json.loads((folder / "sweep.json").read_text())
        return [Trial(**trial | {"options": tuple(trial["options"])}) for trial in record]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{folder} is not the folder of a sweep ({error}): it needs a sweep.json.") from error


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The sweep's own options, and those of its runs. Raises InputError."""
    given, options = parser().parse_known_args(argv)
    if given.resume and (given.out or given.set or options):
        raise InputError("--resume continues a sweep as it was begun: leave --set, --out and the options of a run out.")
    return given, options


def sweep(argv: list[str]) -> None:
    """The command. Raises InputError."""
    given, options = parse(argv)
    trials = reopen(given.resume) if given.resume else begin(given, options)
    connect(given.address)  # It takes seconds, so mistakes in the options are found before.
    folder = given.resume.resolve() if given.resume else create(given.out, trials)
    print(f"{len(trials)} runs in {folder}", flush=True)
    failed = run_trials(folder, trials, given)
    text = table(folder, trials)
    with atomic_write(folder / "table.md") as temporary:
        temporary.write_text(text)
    print(f"\n{text}\nMedians of the seeds (lowest to highest), also in {folder / 'table.md'}.")
    if failed:
        raise InputError(f"{len(failed)} of {len(trials)} runs failed, the first with: {failed[0]}")


def main(argv: list[str] | None = None) -> None:
    """Run the command with `argv`, or else with the arguments of the process."""
    with exit_on_input_error():
        sweep(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    main()
