"""Is anything damaged when the disk is full?

    python benchmarks/full_disk.py

A small run is trained once for each call that opens a file for writing, makes a folder, renames or flushes something:
that call fails as on a full disk. Then once for each size of a real file system in memory (tmpfs) from which the run
does not fit any more to that at which it fits, in steps of --step bytes; that needs root, and is skipped otherwise.

Each time, training must end with one sentence or make the failure good, and leave no temporary file. Resumed with room,
it must have the bits of a run that nothing disturbed. All of it happens in one process, and steps run eagerly: each
training takes a second.

Writes results/full_disk.md. It exits with status 1 at the first training that does anything else.
"""

import argparse
import contextlib
import errno
import functools
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from engine import environment, table, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages.
import tensorflow as tf
from kill_resume import differences

from gan_tf import train
from gan_tf.common.errors import InputError
from gan_tf.run.folder import Run

OPTIONS = "--digit 5 --steps-per-epoch 1 --batch-size 4 --latent-dim 8 --width 16 --epochs 2"
HEAD = ("the disk is full", "trainings", "ended with one sentence", "the same bits in the end")


class FullDisk:
    """Counts the calls that need room in `folder`, and lets number `fails_at` fail."""

    def __init__(self):
        self.folder, self.done, self.fails_at = "", 0, 0
        sys.addaudithook(self.audit)
        self.fsync, os.fsync = os.fsync, self.flush

    def audit(self, event: str, arguments: tuple) -> None:
        if event not in ("open", "os.mkdir", "os.rename") or not self.folder:
            return
        reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not reads and str(arguments[0]).startswith(self.folder):
            self.count()

    def flush(self, descriptor: int) -> None:
        if self.folder:
            self.count()
        self.fsync(descriptor)

    def count(self) -> None:
        self.done += 1
        if self.done == self.fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextlib.contextmanager
    def filled(self, folder: Path, fails_at: int = 0) -> Iterator[None]:
        self.folder, self.done, self.fails_at = str(folder), 0, fails_at
        try:
            yield
        finally:
            self.folder = ""


def command(run: Run) -> str:
    """Start or resume a run: the sentence with which it ended, or "" if it was finished."""
    place = ["--resume", str(run.folder)] if run.config_json.exists() else ["--run", str(run.folder)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            train.train([*OPTIONS.split(), *place])
        except InputError as error:
            return str(error)
    return ""


def check(run: Run, reference: Run, fill: Callable[[], contextlib.AbstractContextManager], make_room: Callable) -> bool:
    """Train on a full disk, then with room: whether the disk was full. Exits if anything is not as it must be."""
    with fill():
        sentence = command(run)
    left = [path for path in run.folder.parent.rglob(".[0-9]*")]
    if left or (sentence and ("\n" in sentence or os.strerror(errno.ENOSPC) not in sentence)):
        sys.exit(f"{run.folder} ended with {sentence!r} and left {left}")
    if sentence and not run.config_json.exists() and run.folder.exists():
        sys.exit(f"{run.folder} is there without a config.json")
    make_room()
    again = command(run) if sentence else ""
    found = differences(run, reference)
    if again or found:
        sys.exit(f"{run.folder}, which had ended with {sentence!r}, ended with {again!r} and differs in {found}")
    return bool(sentence)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of this many bytes at `folder`."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def can_mount(folder: Path) -> bool:
    try:
        with small_disk(folder, 2**16):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="fail at every Nth call only")
    parser.add_argument("--step", type=int, default=16 * 2**10, help="bytes between two sizes of the small disk")
    parser.add_argument("--folder", type=Path, help="where to write full_disk.md; by default results/")
    options = parser.parse_args()
    tf.config.run_functions_eagerly(True)
    work, disk = Path(tempfile.mkdtemp(prefix="full_disk-")), FullDisk()
    reference = Run(work / "reference")
    with disk.filled(reference.folder):
        command(reference)
    calls, noticed, rows = disk.done, 0, []
    for number in range(options.every, calls + 1, options.every):
        run = Run(work / "one" / f"call-{number}")
        run.folder.parent.mkdir(exist_ok=True)
        full = check(run, reference, functools.partial(disk.filled, run.folder, number), lambda: None)
        noticed += full
        print(f"call {number} of {calls}: {'full' if full else 'made good'}", flush=True)
        shutil.rmtree(run.folder.parent)
    count = calls // options.every
    rows.append(
        (
            f"at every {options.every}th of {calls} calls" if options.every > 1 else f"at each of {calls} calls",
            count,
            noticed,
            count,
        )
    )
    total = sum(path.stat().st_size for path in reference.folder.rglob("*"))
    if can_mount(work / "disk"):
        count = 0
        for size in range(2 * 2**12, 4 * total, options.step):
            with small_disk(work / "disk", size):
                run, room = Run(work / "disk" / "run"), ["mount", "-o", f"remount,size={8 * total}", work / "disk"]
                make_room = functools.partial(subprocess.run, room, check=True)
                full = check(run, reference, contextlib.nullcontext, make_room)
                print(f"{size:,} bytes: {'full' if full else 'enough'}", flush=True)
            if not full:
                break
            count += 1
        rows.append((f"of {8 * 2**10:,} to {size:,} bytes (tmpfs)", count, count, count))
    else:
        rows.append(("a small tmpfs", "skipped: it needs root and mount", "", ""))
    about = f"{environment()} The run: `{OPTIONS}`, eagerly, {total / 1e6:.1f} MB in the end."
    write_results("full_disk", about, table(HEAD, rows), folder=options.folder)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
