"""Does the memory of a training grow?

    python benchmarks/soak.py --minutes 60

Trains a small run of short epochs, so that each minute has as many samples, checkpoints and saved models as possible,
and notes its memory (resident set size, from /proc) every five seconds. The first minute compiles and fills caches;
what counts is the largest deviation from the value after it. In the end the run is stopped with Ctrl-C.

Writes results/soak.md.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine import ROOT, environment, table, write_results

from gan_tf.run.folder import Run

OPTIONS = "--dataset digits --steps-per-epoch 8 --batch-size 16 --width 32 --epochs 10000000"
EVERY, WARM_UP = 5, 60  # Seconds.
HEAD = ("minute", "memory, MB", "deviation")


def resident(pid: int) -> float:
    """The memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def watch(folder: Path, seconds: float) -> list[tuple[float, float]]:
    """Train in `folder` for so long after the first epoch: (second, memory in MB) every EVERY seconds."""
    run = Run(folder)
    argv = [sys.executable, "-m", "gan_tf.train", *OPTIONS.split(), "--run", str(folder)]
    found = []
    with open(folder.with_suffix(".txt"), "w") as output:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            while not run.sample_png(1).exists():
                if process.poll() is not None:
                    sys.exit(Path(output.name).read_text())
                time.sleep(0.5)
            began = time.monotonic()
            while (now := time.monotonic() - began) < seconds:
                found.append((now, resident(process.pid)))
                time.sleep(EVERY)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--folder", type=Path, help="where to write soak.md; by default results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(Path(temporary, "run"))
        found = watch(run.folder, 60 * options.minutes)
        epochs = len(run.read_history()["epoch"])
    base = next(memory for second, memory in found if second >= WARM_UP)
    rows, deviation = [], 0.0
    for second, memory in found:
        if second >= WARM_UP:
            deviation = max(deviation, abs(memory / base - 1))
        if not rows or second >= 60 * (int(rows[-1][0]) + max(1, options.minutes / 12)):
            rows.append((f"{second / 60:.0f}", f"{memory:,.0f}", f"{memory / base - 1:+.1%}"))
    about = (
        f"**At most {deviation:.1%} from the value after one minute, in {found[-1][0] / 60:.0f} minutes** and "
        f"{epochs:,} epochs, each with a sample, a checkpoint and both models. {environment()} `{OPTIONS}`."
    )
    write_results("soak", about, table(HEAD, rows), folder=options.folder)


if __name__ == "__main__":
    main()
