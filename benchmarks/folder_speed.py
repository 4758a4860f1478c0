"""How long does it take to open a folder of pictures, the first time and the second?

    python benchmarks/folder_speed.py --data-dir data

Each row is a process of its own. The folders are pokemon/ in the data folder, and 16,000 generated JPEGs of 512x512
pixels, which need 20 GB where temporary files go. Writes results/folder_speed.md. On two cores it takes five minutes.
"""

import argparse
import io
import os
import resource
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL
from engine import environment, run_process, table, write_results
from PIL import Image

from gan_tf.config import Config
from gan_tf.data.folder import load_folder

HEAD = ("folder", "pictures", "size", "start", "seconds", "CPU seconds", "peak memory, GB")


def make_jpeg(seed: int, side: int = 512) -> bytes:
    """A JPEG that costs about as much to decode as a photograph: soft shapes, and grain over them."""
    random = np.random.default_rng(seed)
    shapes = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
    shapes = shapes.resize((side, side), Image.Resampling.BICUBIC)
    grain = random.integers(-12, 13, (side, side, 1), np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(shapes) + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def make_folder(folder: Path, count: int = 16_000, drawings: int = 400, side: int = 512) -> None:
    """Fill a new folder with `count` different files: `drawings` pictures, repeated with different comments."""
    folder.mkdir()
    files = [make_jpeg(seed, side) for seed in range(drawings)]
    for number in range(count):
        raw, comment = files[number % drawings], b"%05d" % number
        # A JPEG begins with two bytes; then a comment may follow, with its length.
        content = raw[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + raw[2:]
        (folder / f"{number:05}.jpg").write_bytes(content)


def open_once(folder: Path, size: int) -> tuple[int, float, float]:
    """The number of pictures, and the seconds and CPU seconds that `load_folder` takes."""
    import keras  # noqa: F401  Every training has imported it by then.

    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    images = load_folder(folder, Config(image_size=size))
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return len(images), seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(folder: Path, size: int, start: str) -> list[str]:
    """Open the folder in a new process: a row of the table."""
    text, _, memory = run_process([__file__, "--open", str(folder), str(size)])
    count, seconds, cpu = text.splitlines()[-1].split()
    figures = (f"{float(figure):.2f}" for figure in (seconds, cpu, memory))
    return [folder.name, f"{int(count):,}", f"{size}x{size}", start, *figures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default=os.environ.get("GAN_TF_DATA", "data"))
    parser.add_argument("--open", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        print(*open_once(Path(options.open[0]), int(options.open[1])))
        return
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["KERAS_HOME"] = temporary
        generated = Path(temporary, "generated")
        make_folder(generated)
        for folder, size in ((Path(options.data_dir) / "pokemon", 64), (generated, 64), (generated, 512)):
            for start in ("first", "second"):
                rows.append(row(folder, size, start))
                print(table(HEAD, rows[-1:]), flush=True)
    about = (
        f"Pillow {PIL.__version__}, NumPy {np.__version__}. {environment()} On average {os.getloadavg()[2]:.1f} "
        "processes ran in the last 15 minutes; two would be this benchmark alone. Seconds are those of `load_folder`. "
        "Memory is that of the process, most of which importing TensorFlow takes."
    )
    write_results("folder_speed", about, table(HEAD, rows))


if __name__ == "__main__":
    main()
