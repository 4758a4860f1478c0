"""What does each doubling of the image cost? Speed and memory of the colour preset at every size, on creatures.

Each size is a run of its own, by the command that a person would type, in a process whose peak memory is then known.
Writes results/sizes.md; ten minutes on two cores. The last row is the smallest run at 512 pixels.

    python benchmarks/sizes.py
"""

import os
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mnist_five import RESULTS, timed

from gan_tf.config import SIZES

# size, batch, width, steps
RUNS = [(size, 8, 128, max(2, 64 * 64**2 // max(size, 64) ** 2)) for size in SIZES] + [
    (512, 4, 128, 2),
    (512, 4, 512, 2),
]


def train(size: int, batch: int, width: int, steps: int) -> tuple[float, float, float]:
    """Seconds of the process, images per second after the first epoch, and peak memory in GB, of a short run."""
    options = {"image-size": size, "batch-size": batch, "width": width, "steps-per-epoch": steps, "epochs": 3}
    argv = [f"--{name}={value}" for name, value in options.items()]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "gan_tf.train", "--dataset", "creatures", *argv, "--run", f"{folder}/run"]
        text, seconds, memory = timed(command)
    # The bar's figure is the epoch's own; the first one compiled.
    return seconds, float(re.findall(r"images/s: ([\d.]+)", text)[-1]), memory


def main() -> None:
    head = ("size", "batch", "width", "steps", "process, s", "images/s", "peak memory, GB")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for size, batch, width, steps in RUNS:
        seconds, speed, memory = train(size, batch, width, steps)
        rows.append(f"| {size} | {batch} | {width} | {3 * steps} | {seconds:.1f} | {speed:.1f} | {memory:.2f} |")
        print(rows[-1], flush=True)
    text = f"{os.cpu_count()} CPU cores.\n\n" + "\n".join(rows) + "\n"
    (RESULTS / "sizes.md").write_text(text)


if __name__ == "__main__":
    main()
