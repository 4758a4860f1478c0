"""Is anything lost, however often a run is killed?

    python benchmarks/kill_resume.py --cycles 1000

A small run is killed with SIGKILL and resumed, again and again, until it ends. Then every file must have the bits of a
run that was never killed. Half of the kills come at a random moment, half just before a random one of the calls that
write, rename or delete something in the run's folder. Both are drawn from --seed.

A process that has imported TensorFlow, and not used it yet, forks one for each start, so no start waits for the import.
Steps run eagerly, as compiling them would take most of the time. Nothing else differs from python -m gan_tf.train.

Writes results/kill_resume.md after each run, so that it can be stopped at any time. It exits with status 1 at the first
run that differs, and keeps its folder.
"""

import argparse
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from engine import environment, table, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages. Each of these is imported once, before the forks.
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import numpy as np
import sklearn.datasets  # noqa: F401
import tensorflow as tf

import gan_tf.run.callbacks
import gan_tf.train
from gan_tf.run.folder import Run

OPTIONS = "--digit 5 --steps-per-epoch 2 --batch-size 4 --latent-dim 8 --width 16 --ema 0.9 --decay cosine --epochs 3"
WRITES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")  # Of Python's audit events.
HEAD = ("kills", "at", "what the folder held")


def writes(event: str, arguments: tuple, folder: str) -> bool:
    """Whether an audit event is a change of something in the folder."""
    if event not in WRITES or not str(arguments[0]).startswith(folder):
        return False
    # mode and flags of `open`: reading is no change.
    return event != "open" or bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def fork(work: Callable[[], None], output: Path) -> int:
    """Start `work` in a process of its own, and return its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        descriptor = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        work()
        code = 0
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def train(folder: Path, argv: list[str], last_write: float, count: Path | None) -> None:
    """The command, killed before its write number `last_write`; if it ends, it stores how many it had in `count`."""
    done = 0

    def audit(event: str, arguments: tuple) -> None:
        nonlocal done
        if writes(event, arguments, str(folder)):
            done += 1
            if done > last_write:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    tf.config.run_functions_eagerly(True)
    gan_tf.train.main(argv)
    if count:
        count.write_text(str(done))


def wait(pid: int, seconds: float) -> int:
    """The exit status of a process, which is killed after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def differences(ours: Run, theirs: Run) -> list[str]:
    """The files that two finished runs do not have in common to the bit, and those that nothing should have left. What
    says when and how often a run was started may differ."""
    names = [
        {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()} - {".lock"}
        for run in (ours, theirs)
    ]
    found = sorted(names[0] ^ names[1])
    for name in sorted(names[0] & names[1]):
        a, b = ours.folder / name, theirs.folder / name
        if name.startswith("checkpoints/") or name == "config.json":
            continue
        if name.endswith(".keras"):
            pairs = zip(*(keras_weights(path) for path in (a, b)), strict=True)
            same = all(np.array_equal(x, y) for x, y in pairs)
        else:
            same = a.read_bytes() == b.read_bytes()
        found += [] if same else [name]
    for index in ours.checkpoints.glob("*.index"):
        if not (theirs.checkpoints / index.name).exists():
            continue
        states = [tf.train.load_checkpoint(str(run.checkpoints / index.stem)) for run in (ours, theirs)]
        tensors = [{name for name in state.get_variable_to_dtype_map()} for state in states]
        counts = {name for name in tensors[0] if "save_counter" in name or name == "_CHECKPOINTABLE_OBJECT_GRAPH"}
        same = tensors[0] == tensors[1] and all(
            np.array_equal(*(state.get_tensor(name) for state in states)) for name in tensors[0] - counts
        )
        found += [] if same and len(tensors[0]) > 60 else [f"checkpoints/{index.name}"]
    return found


def keras_weights(path: Path) -> list[np.ndarray]:
    return tf.keras.models.load_model(path, compile=False).get_weights()


def state_of(run: Run) -> str:
    """How far a run had got when it was killed."""
    if not run.config_json.exists():
        return "not yet config.json"
    if run.progress_gif.exists():
        return "all epochs and pictures"
    indices = [path.stem for path in run.checkpoints.glob("*.index")] if run.checkpoints.exists() else []
    step = max((int(stem.rpartition("-")[2]) for stem in indices), default=None)
    return "no checkpoint" if step is None else f"a checkpoint of step {step}"


class Cycles:
    """Kills and resumes runs in `folder`, and compares each with the one that was not killed."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.random = folder, random.Random(seed)
        self.output, self.kills, self.runs = folder / "output", Counter(), 0
        self.reference = Run(folder / "reference")
        began, count = time.monotonic(), folder / "count"
        self.start(self.reference, float("inf"), 3600, count)
        # The whole life of a process, and all of its writes.
        self.seconds, self.writes = time.monotonic() - began, int(count.read_text())

    def start(self, run: Run, last_write: float, seconds: float, count: Path | None = None) -> bool:
        """Start or resume a run: whether it was killed. Exits if it failed."""
        place = ["--resume", str(run.folder)] if run.config_json.exists() else ["--run", str(run.folder)]
        argv = [*OPTIONS.split(), *place]
        code = wait(fork(lambda: train(run.folder, argv, last_write, count), self.output), seconds)
        if code not in (0, -signal.SIGKILL):
            sys.exit(f"{run.folder} ended with status {code}:\n{self.output.read_text()}")
        return code != 0

    def finish(self, cycles: int) -> None:
        """Begin a run, and kill and resume it until it ends or there were `cycles` kills; then compare it."""
        run = Run(self.folder / f"run-{self.runs}")
        for number in itertools.count(self.kills.total()):
            by_clock = number % 2 == 0
            if number >= cycles:
                killed = self.start(run, float("inf"), 3600)
            elif by_clock:
                killed = self.start(run, float("inf"), self.random.uniform(0, self.seconds))
            else:
                killed = self.start(run, self.random.randrange(self.writes), 3600)
            if not killed:
                break
            self.kills["a random moment" if by_clock else "a random write", state_of(run)] += 1
            if not run.config_json.exists():
                shutil.rmtree(run.folder, ignore_errors=True)
        code = wait(fork(lambda: sys.exit(", ".join(differences(run, self.reference)) or 0), self.output), 3600)
        if code:
            sys.exit(f"{run.folder} differs from {self.reference.folder}: {self.output.read_text()}")
        shutil.rmtree(run.folder)
        self.runs += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to write kill_resume.md; by default results/")
    options = parser.parse_args()
    work, began = Path(tempfile.mkdtemp(prefix="kill_resume-")), time.monotonic()
    cycles = Cycles(work, options.seed)
    while cycles.kills.total() < options.cycles:
        cycles.finish(options.cycles)
        minutes = (time.monotonic() - began) / 60
        about = (
            f"**{cycles.kills.total():,} kill-and-resume cycles** (of {options.cycles:,} asked for), in which "
            f"{cycles.runs:,} runs came to their end, each with the same bits as one that was never killed: "
            "history, samples, pictures, metrics, networks, optimizers and averages; and no file more or less. "
            f"Seed {options.seed}, {minutes:.0f} minutes. {environment()} Each run: `{OPTIONS}`, eagerly."
        )
        rows = [(count, *what) for what, count in sorted(cycles.kills.items())]
        write_results("kill_resume", about, table(HEAD, rows), folder=options.folder)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
