"""How long does it take to open a folder of pictures, the first time and the second?

Each row is a process of its own: pokemon/ of the data folder, and 16,000 drawn JPEGs of 512x512, for which 20 GB must
be free where temporary files go. Writes results/folder_speed.md. On two cores five minutes.

    python benchmarks/folder_speed.py --data-dir data
"""

import argparse
import io
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import PIL
from PIL import Image

from gan_tf.config import Config
from gan_tf.data.folder import load_folder

RESULTS = Path(__file__).parent / "results"
LARGE = 16_000


def draw(seed: int) -> bytes:
    """A JPEG of 512x512 that costs about what a photograph does: soft shapes, and grain over them."""
    random = np.random.default_rng(seed)
    shapes = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize((512, 512), Image.Resampling.BICUBIC)
    grain = random.integers(-12, 13, (512, 512, 1), np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def draw_all(folder: Path) -> None:
    """Fill a folder with 16,000 files: 400 drawings, each 40 times with another comment, as no two may be the same."""
    folder.mkdir()
    drawings = [draw(seed) for seed in range(400)]
    for number in range(LARGE):
        raw, comment = drawings[number % len(drawings)], b"%05d" % number
        # A JPEG's first two bytes are its start; then a comment may follow, with its length.
        content = raw[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + raw[2:]
        (folder / f"{number:05}.jpg").write_bytes(content)


def open_once(folder: str, size: int) -> None:
    """In a process of its own: print what `row` reads. Keras is imported before, as it is in any training."""
    import keras  # noqa: F401

    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    images = load_folder(Path(folder), Config(image_size=size))
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\n{len(images)} {seconds} {cpu} {after.ru_maxrss / 2**20}")


def row(folder: Path, size: int, start: str) -> str:
    """Open the folder in a new process: a line of the table."""
    command = [sys.executable, __file__, "--open", str(folder), str(size)]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    count, seconds, cpu, memory = map(float, text.splitlines()[-1].split())
    return f"| {folder.name} | {int(count):,} | {size}x{size} | {start} | {seconds:.2f} | {cpu:.2f} | {memory:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=os.environ.get("GAN_TF_DATA", "data"))
    parser.add_argument("--open", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        open_once(options.open[0], int(options.open[1]))
        return
    rows = ["| folder | pictures | to | start | seconds | CPU seconds | peak memory, GB |", "|---" * 7 + "|"]
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["KERAS_HOME"] = temporary
        drawn = Path(temporary, "drawn")
        draw_all(drawn)
        for folder, size in ((Path(options.data_dir) / "pokemon", 64), (drawn, 64), (drawn, 512)):
            for start in ("first", "second"):
                rows.append(row(folder, size, start))
                print(rows[-1], flush=True)
    load = os.getloadavg()[2]
    lines = [
        f"Pillow {PIL.__version__}, NumPy {np.__version__}, {os.cpu_count()} CPU cores, on which {load:.1f} processes "
        f"ran at once in the last 15 minutes (two would be this benchmark alone). Seconds are those of `load_folder`, "
        "memory is that of the process, of which importing TensorFlow takes the most.",
        "",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    (RESULTS / "folder_speed.md").write_text(text)


if __name__ == "__main__":
    main()
