"""Does any file make gan_tf crash, hang, fill the memory or write where it should not?

    python benchmarks/fuzz.py --count 10000

Good files of nine kinds are mutated from a fixed seed and opened by the code that opens them for a user. Half of the
mutations change bytes. The others look inside: a member of an archive, decompressed data or a value in JSON is changed
and packed again, so that checksums fit. The first files of each kind are written by hand: bombs, and paths that lead
out of an archive.

A reader may accept a file, or raise InputError with one sentence. Anything else is a fault: another exception, the
death of the process, more than 10 s, more than 2 GB of memory, or a change outside of the file's own folder. Seconds
are the processor's, so that other load on the machine does not count; a file that takes two minutes by the clock hangs.
Memory is the peak of the process beyond what it held before. Changes are seen by Python's audit hook.

Writes results/fuzz.md. It exits with status 1 if there was a fault, and keeps the file.
"""

import argparse
import contextlib
import dataclasses
import functools
import gzip
import io
import json
import multiprocessing
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from PIL import Image, PngImagePlugin

from gan_tf.common.errors import InputError
from gan_tf.config import Config

SECONDS, PATIENCE, BYTES = 10, 120, 2 * 10**9  # What a file may take; PATIENCE is by the clock.
HEAD = ("kind", "files", "read", "refused with a sentence", "faults", "slowest, s", "most memory, MB")
CHECKPOINT = ("checkpoints/step-0.index", "checkpoints/step-0.data-00000-of-00001")
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
LABELS = (np.arange(30) % 10).astype(np.uint8)


# --- Mutate -----------------------------------------------------------------------------------------------------------

ODD_BYTES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x00" * 8, b"../", b"\n")
ODD_NUMBERS = (-1, 0, 2**31, 2**63, 10**30, 1e308, float("nan"))
ODD_VALUES = (*ODD_NUMBERS, None, True, "", "../../x", "\x00", "9" * 5000, [], {}, [[]])


def mutate_bytes(raw: bytes, random: random.Random) -> bytes:
    """A few random changes: bits, odd bytes, or a piece lost, repeated or added."""
    raw = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
        at, length = random.randrange(len(raw) + 1), random.choice((1, 2, 4, 16, 200))
        change = random.randrange(6)
        if change == 0 and at < len(raw):
            raw[at] ^= 1 << random.randrange(8)
        elif change == 1:
            odd = random.choice(ODD_BYTES)
            raw[at : at + len(odd)] = odd
        elif change == 2:
            del raw[at : at + length]
        elif change == 3:
            raw[at:at] = raw[at : at + length]
        elif change == 4:
            raw[at:at] = random.randbytes(length)
        else:
            raw[at : at + length] = random.randbytes(length)
    return bytes(raw[: random.randrange(len(raw) + 1)] if random.random() < 0.1 else raw)


def mutate_json(raw: bytes, random: random.Random) -> bytes:
    """One random value replaced by an odd one, or one key lost or added."""
    whole = {"": json.loads(raw)}
    places, queue = [], [whole]
    while queue:
        here = queue.pop()
        for key, value in here.items() if isinstance(here, dict) else enumerate(here):
            places.append((here, key))
            if isinstance(value, (dict, list)):
                queue.append(value)
    here, key = random.choice(places)
    change = random.randrange(4)
    if change == 0 and isinstance(here, dict) and here is not whole:
        del here[key]
    elif change == 1 and isinstance(here[key], dict):
        here[key]["unheard of"] = random.choice(ODD_VALUES)
    else:
        here[key] = random.choice(ODD_VALUES)
    return json.dumps(whole.get("")).encode()


def mutate_table(raw: bytes, random: random.Random) -> bytes:
    """One cell of a CSV file replaced by an odd one, or a row or column lost."""
    rows = [line.split(",") for line in raw.decode().splitlines()]
    row = random.randrange(len(rows))
    column, change = random.randrange(len(rows[row])), random.randrange(4)
    if change == 0:
        del rows[row]
    elif change == 1:
        for cells in rows:
            del cells[column]
    else:
        rows[row][column] = random.choice(("", "nan", "-inf", "1e999", "x", '"', "9" * 400, "0x1", "1_0", "\x00"))
    return "".join(",".join(cells) + "\n" for cells in rows).encode()


def mutate_archive(raw: bytes, random: random.Random) -> bytes:
    """One member of a .zip changed, renamed, lost or repeated; all checksums fit."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at, change = random.randrange(len(members)), random.randrange(8)
    name, content = members[at]
    if change == 0:
        del members[at]
    elif change == 1:
        members.append((name, mutate_bytes(content, random)))
    elif change == 2:
        members[at] = random.choice(("../../evil.png", "/tmp/gan_tf_evil.png", "a" * 5000, "..", "/", "a\\b")), content
    elif name.endswith(".json"):
        members[at] = name, mutate_json(content, random)
    else:
        members[at] = name, mutate_bytes(content, random)
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # Of names that are there twice.
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def mutate_gzip(raw: bytes, random: random.Random) -> bytes:
    """The decompressed data changed."""
    return gzip.compress(mutate_bytes(gzip.decompress(raw), random), 1)


def mutate_png(raw: bytes, random: random.Random) -> bytes:
    """One chunk of a PNG changed; all checksums fit. Other pictures get a random change."""
    if not raw.startswith(b"\x89PNG"):
        return mutate_bytes(raw, random)
    chunks, at = [], 8
    while at < len(raw):
        (length,) = struct.unpack(">I", raw[at : at + 4])
        chunks.append((raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length]))
        at += length + 12
    at = random.randrange(len(chunks))
    chunks[at] = chunks[at][0], mutate_bytes(chunks[at][1], random)
    return raw[:8] + b"".join(png_chunk(*chunk) for chunk in chunks)


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


# --- Files by hand ----------------------------------------------------------------------------------------------------


def zip_of(members: Mapping[str, bytes], zeros: Mapping[str, int] | None = None) -> bytes:
    """An archive of these members, and of some that are so many zeros after what `members` has of them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
                for _ in range((zeros or {}).get(name, 0) >> 20):
                    file.write(bytes(2**20))
    return packed.getvalue()


def npy_header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz_by_hand() -> list[bytes]:
    labels, million = npy(np.zeros(4, np.uint8)), 4_000_000
    images = npy(np.zeros((4, 28, 28), np.uint8))
    return [
        zip_of({"x_train.npy": npy_header((million, 28, 28)), "y_train.npy": labels}, {"x_train.npy": million * 784}),
        zip_of({"x_train.npy": npy_header((10**9, 28, 28)), "y_train.npy": labels}),
        zip_of({"x_train.npy": npy_header((2**40, 28, 28)), "y_train.npy": labels}),
        zip_of({"x_train.npy": npy_header((4, 28, 28), "|O"), "y_train.npy": labels}),
        zip_of({"x_train.npy": images, "y_train.npy": npy(np.full(4, 200, np.uint8))}),
        b"\x80\x04cos\nsystem\n(S'touch /tmp/gan_tf_evil'\ntR.",
        b"",
    ]


def pictures_by_hand() -> list[bytes]:
    """Pictures that are bombs."""

    def png(width: int, height: int, depth: int, kind: int, *more: bytes) -> bytes:
        head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + png_chunk(b"IEND", b"")

    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 1))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(9400 * (9400 * 4 + 1)), 1))
    bitmap = struct.pack("<IiiHHIIIIII", 40, 9000, 9000, 1, 24, 0, 0, 0, 0, 0, 0)
    return [
        png(30_000, 30_000, 8, 2, png_chunk(b"IDAT", zlib.compress(bytes(1000)))),
        png(2**31 - 1, 2**31 - 1, 8, 2),
        png(9_400, 9_400, 8, 6, pixels),  # The largest that Pillow lets through, with transparency.
        png(10, 10, 8, 2, *[text] * 3, png_chunk(b"IDAT", zlib.compress(bytes(310)))),
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\x00\x00",
        b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + bitmap,
        b"",
    ]


def archives_by_hand() -> list[bytes]:
    picture = good_pictures()[0]
    return [
        zip_of({"../../evil.png": picture, "/tmp/gan_tf_evil.png": picture, "a/../../b.png": picture}),
        zip_of({"bomb.png": picture}, {"bomb.png": 3 * 2**30}),
        zip_of({}),
        b"",
    ]


def idx_by_hand() -> list[bytes]:
    return [gzip.compress(bytes(3 * 10**9), 1), b""]


def keras_by_hand() -> list[bytes]:
    return [zip_of({"config.json": json_by_hand()[0], "metadata.json": b"{}"}), b""]


def tables_by_hand() -> list[bytes]:
    return [b"a" * 10**7, b"," * 10**6, b"\x00"]


def json_by_hand() -> list[bytes]:
    return [b"[" * 200_000, b'{"a":' * 200_000, b'{"format": 6}', b"1" * 10_000, b"\xff\xfe", b"null", b"", b"[]"]


# --- The kinds --------------------------------------------------------------------------------------------------------


@functools.cache
def good_pictures() -> list[bytes]:
    """A small picture in each format and mode that the folder loader reads."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (20, 24, 4), np.uint8)
    found = []
    for format, modes in {"PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), "JPEG": ("RGB", "L", "CMYK")}.items():
        for mode in modes:
            picture = Image.fromarray(pixels)
            picture = Image.fromarray(pixels[..., 0].astype(np.uint16)) if mode == "I;16" else picture.convert(mode)
            file, extra = io.BytesIO(), {}
            if format == "PNG":
                extra["pnginfo"] = PngImagePlugin.PngInfo()
                extra["pnginfo"].add_text("a", "b" * 50, zip=True)
            else:
                exif = Image.Exif()
                exif[274] = 6  # Orientation.
                extra["exif"] = exif
            picture.save(file, format, **extra)
            found.append(file.getvalue())
    for format in ("GIF", "WEBP", "BMP", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(pixels[..., :3]).save(file, format)
        found.append(file.getvalue())
    return found


def good_parquet() -> list[bytes]:
    return [parquet(6, labels=False), parquet(6, labels=True)]


def parquet(rows: int, labels: bool) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pictures = []
    for number in range(rows):
        file = io.BytesIO()
        Image.fromarray(np.full((28, 28), number, np.uint8)).save(file, "PNG")
        pictures.append({"bytes": file.getvalue(), "path": f"{number}.png"})
    columns = {"image": pictures, **({"label": list(range(rows))} if labels else {})}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


CONFIG = Config(epochs=3, steps_per_epoch=2, batch_size=4, latent_dim=8, width=16, conditional=True)


def small_gan():
    from gan_tf.run.build import build_gan

    return build_gan(CONFIG, (28, 28, 1), classes=3)


def make_run(folder: Path) -> None:
    """A run of three epochs that nobody trained, with all files that it would have."""
    from gan_tf.data.images import ImageDataset
    from gan_tf.gan import GAN
    from gan_tf.run.checkpoints import CheckpointStore
    from gan_tf.run.folder import Run

    labels = np.arange(24) % 3
    images = ImageDataset("squares", np.zeros((24, 28, 28, 1), np.uint8), labels, "here", ("a", "b", "c"))
    run = Run.create(folder, CONFIG, images, None)
    run.record_start(CONFIG, [(0, 6)], 0)
    columns = ("epoch", *GAN.LOGGED, *GAN.DIAGNOSTICS)
    lines = [",".join(columns), *(",".join([str(epoch), *["0.5"] * (len(columns) - 1)]) for epoch in (1, 2, 3))]
    run.history_csv.write_text("\n".join(lines) + "\n")
    gan = small_gan()
    run.save_models(gan)
    CheckpointStore(gan, run.checkpoints).save()


OF_A_RUN = ("config.json", "history.csv", "checkpoint", ".keras")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of files. Good ones and those by hand are made when they are asked for."""

    good: Callable[[], list[bytes]]
    by_hand: Callable[[], list[bytes]]
    look_inside: Callable[[bytes, random.Random], bytes]
    open: Callable[[Path], object]  # opens a file in a folder of its own, as a command would


class Kinds:
    """The nine kinds of files, and what opens them. Without `by_hand`, all files are mutated ones."""

    def __init__(self, scratch: Path, by_hand: bool = True):
        self.scratch = scratch
        self.kinds = {
            "npz": Kind(self.good_npz, npz_by_hand, mutate_archive, self.open_npz),
            "idx": Kind(self.good_idx, idx_by_hand, mutate_gzip, self.open_idx),
            "parquet": Kind(good_parquet, lambda: [b"PAR1", b""], mutate_bytes, self.open_parquet),
            "zip": Kind(self.good_zip, archives_by_hand, mutate_archive, self.open_zip),
            "picture folder": Kind(good_pictures, pictures_by_hand, mutate_png, self.open_pictures),
            "config.json": Kind(lambda: self.of_run("config.json"), json_by_hand, mutate_json, self.open_config),
            "history.csv": Kind(lambda: self.of_run("history.csv"), tables_by_hand, mutate_table, self.open_history),
            "checkpoint": Kind(
                lambda: self.of_run(*CHECKPOINT), lambda: [b"", b""], mutate_bytes, self.open_checkpoint
            ),
            ".keras": Kind(lambda: self.of_run("generator.keras"), keras_by_hand, mutate_archive, self.open_keras),
        }
        self.made = functools.cache(
            lambda kind: (self.kinds[kind].good(), self.kinds[kind].by_hand() if by_hand else [])
        )

    @functools.cached_property
    def run(self):
        """A run of three epochs."""
        from gan_tf.run.folder import Run

        if not (self.scratch / "run").exists():
            make_run(self.scratch / "run")
        return Run(self.scratch / "run")

    @functools.cached_property
    def gan(self):
        return small_gan()

    def of_run(self, *names: str) -> list[bytes]:
        return [(self.run.folder / name).read_bytes() for name in names]

    def good_npz(self) -> list[bytes]:
        return [zip_of({"x_train.npy": npy(IMAGES), "y_train.npy": npy(LABELS)})]

    def good_idx(self) -> list[bytes]:
        images = struct.pack(">4I", 2051, 30, 28, 28) + IMAGES.tobytes()
        return [gzip.compress(images, 1), gzip.compress(struct.pack(">2I", 2049, 30) + LABELS.tobytes(), 1)]

    def good_zip(self) -> list[bytes]:
        return [zip_of({f"a/{number}.png": picture for number, picture in enumerate(good_pictures()[:5])})]

    def file(self, kind: str, number: int, seed: int) -> bytes:
        """File `number` of a kind: the same for the same seed."""
        good, by_hand = self.made(kind)
        if number < len(by_hand):
            return by_hand[number]
        draw = random.Random(f"{seed} {kind} {number}")
        raw = good[number % len(good)]
        return (self.kinds[kind].look_inside if draw.random() < 0.5 else mutate_bytes)(raw, draw)

    def open(self, kind: str, number: int, seed: int, folder: Path) -> str:
        """Write the file into a new folder and open it: "" if it was read, or the sentence of InputError. What else a
        reader raises is raised."""
        folder.mkdir()
        os.environ["KERAS_HOME"] = str(folder / "cache")
        before, tempfile.tempdir = tempfile.tempdir, str(folder)  # Keras unpacks some files there first.
        path = folder / {"npz": "mnist.npz", "idx": "a.gz", "zip": "a.zip", "parquet": "a.parquet"}.get(kind, "file")
        path.write_bytes(self.file(kind, number, seed))
        quiet = io.StringIO()
        try:
            with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.number = number
                self.kinds[kind].open(path)
        except InputError as error:
            return str(error)
        finally:
            tempfile.tempdir = before
        return ""

    def open_npz(self, path: Path) -> None:
        from gan_tf.data.grey import load_grey, read_npz
        from gan_tf.data.registry import DIGITS

        load_grey("mnist", DIGITS, [path], read_npz, CONFIG)

    def open_idx(self, path: Path) -> None:
        from gan_tf.data.grey import load_grey, read_idx
        from gan_tf.data.registry import CLOTHES

        other = path.with_name("b.gz")
        of_images = self.number % 2 == 0
        other.write_bytes(self.good_idx()[of_images])
        load_grey("fashion", CLOTHES, [path, other] if of_images else [other, path], read_idx, CONFIG)

    def open_parquet(self, path: Path) -> None:
        from gan_tf.data.grey import load_grey, read_letters
        from gan_tf.data.registry import LETTERS
        from gan_tf.data.sources import unpack

        if self.number % 2:
            load_grey("letters", LETTERS, [path], read_letters, CONFIG)
        else:
            unpack(path, path.with_name("unpacked"))

    def open_zip(self, path: Path) -> None:
        from gan_tf.data.sources import unpack

        unpack(path, path.with_name("unpacked"))

    def open_pictures(self, path: Path) -> None:
        from gan_tf.data.folder import load_folder

        pictures = path.with_name("pictures")
        pictures.mkdir()
        for number in range(3):
            Image.fromarray(np.full((9, 9, 3), number, np.uint8)).save(pictures / f"{number}.png")
        path.rename(pictures / "file.png")
        load_folder(pictures, Config(image_size=32, max_bad=0.0)).images[:].sum()

    def copy_run(self, path: Path, name: str):
        """A run of which one file is the mutated one."""
        from gan_tf.run.folder import Run

        run = Run(path.with_name("run"))
        shutil.copytree(self.run.folder, run.folder)
        os.replace(path, run.folder / name)
        return run

    def open_config(self, path: Path) -> None:
        from gan_tf.run.card import model_card
        from gan_tf.run.folder import Run
        from gan_tf.train import parse

        run = Run.open(self.copy_run(path, "config.json").folder)
        config, _ = run.read_config()
        parse(["--resume", str(run.folder)], config)
        run.record_start(config, [(0, 6)], 2)
        run.load_generator()
        model_card(run)

    def open_history(self, path: Path) -> None:
        from gan_tf.measure.health import Watch
        from gan_tf.run import plots
        from gan_tf.train import check_history

        run = self.copy_run(path, "history.csv")
        history, watch = check_history(run), Watch(CONFIG)
        for row in zip(*history.values(), strict=True):
            watch.add(dict(zip(history, row, strict=True)))
        run.cut_history(2)
        if history:
            plots.save_curves(run.curves_png, history)

    def open_checkpoint(self, path: Path) -> None:
        from gan_tf.run.checkpoints import CheckpointStore

        run = self.copy_run(path, CHECKPOINT[self.number % 2])
        CheckpointStore(self.gan, run.checkpoints).restore()

    def open_keras(self, path: Path) -> None:
        from gan_tf.generate import Request

        run = self.copy_run(path, "generator.keras")
        list(Request(run.load_generator(), 2, shares=list(run.read_classes().values())).images())


# --- Watch ------------------------------------------------------------------------------------------------------------

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod")
RUNS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "os.kill")


class Guard:
    """Python's audit hook: what the process changed outside of `allowed`, and what it started."""

    def __init__(self):
        self.allowed, self.found = "/", []
        sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple) -> None:
        if event in RUNS:
            self.found.append(f"{event} {arguments}")
        elif event in CHANGES:
            reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes)) else ""
            if path and event != "open" and arguments[-1] >= 0 and not os.path.isabs(path):  # In an open folder.
                path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), path)
            path = path and os.path.abspath(path)
            if not reads and path and not path.startswith((self.allowed, "/dev/null", "/proc/self")):
                self.found.append(f"{event} {path}")


def peak_memory(reset: bool = False) -> int:
    """The peak of this process's memory in bytes, on Linux; or begin to measure it anew."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
        return 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def work(kinds: Kinds, seed: int, jobs) -> None:
    """Open the files that `jobs` asks for, and answer what happened."""
    guard = Guard()
    while True:
        kind, number, folder = jobs.recv()
        peak_memory(reset=True)
        before, began = peak_memory(), time.process_time()
        guard.allowed, guard.found = str(folder), []
        try:
            sentence, fault = kinds.open(kind, number, seed, folder), ""
            if "\n" in sentence.strip():
                fault = f"not one line: {sentence!r}"
        except BaseException as error:
            sentence, fault = "", f"{type(error).__name__}: {error}"
        guard.allowed = "/"
        fault = fault or "; ".join(guard.found)
        jobs.send((sentence, fault[:500], time.process_time() - began, peak_memory() - before))


class Worker:
    """A process that opens files, and is replaced when it dies or hangs."""

    def __init__(self, kinds: Kinds, seed: int):
        self.kinds, self.seed, self.process = kinds, seed, None

    def open(self, kind: str, number: int, folder: Path) -> tuple[str, str, float, int]:
        """What a file did: the sentence, the fault or "", seconds, and bytes."""
        if self.process is None:
            fork = multiprocessing.get_context("fork")
            self.pipe, theirs = fork.Pipe()
            self.process = fork.Process(target=work, args=(self.kinds, self.seed, theirs), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send((kind, number, folder))
        try:
            if self.pipe.poll(PATIENCE):
                return self.pipe.recv()
            fault = "hangs"
        except EOFError:
            self.process.join()
            fault = f"the process died ({self.process.exitcode})"
        self.stop()
        return "", fault, float(PATIENCE), 0

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.join()
            self.process = None


def schedule(kinds: Kinds, count: int) -> Iterator[tuple[str, int]]:
    """`count` files, in turn one of each kind."""
    for number in range(count):
        yield list(kinds.kinds)[number % len(kinds.kinds)], number // len(kinds.kinds)


def fuzz(count: int, seed: int, scratch: Path, only: list[str]) -> tuple[list[tuple], list[str]]:
    """Open `count` files: the rows of a table, and the faults."""
    kinds = Kinds(scratch)
    results: dict[str, list[tuple]] = {kind: [] for kind in kinds.kinds if not only or kind in only}
    if not {*results}.isdisjoint(OF_A_RUN):
        # In a process of its own: once TensorFlow's threads have started here, no worker could be forked.
        maker = multiprocessing.get_context("fork").Process(target=make_run, args=(scratch / "run",))
        maker.start()
        maker.join()
    for kind in results:
        kinds.made(kind)  # Before a worker is forked, so that each has them.
    faults, worker = [], Worker(kinds, seed)
    for kind, number in schedule(kinds, count):
        if kind not in results:
            continue
        folder = scratch / f"{kind.strip('.').replace(' ', '-')}-{number}"
        sentence, fault, seconds, memory = worker.open(kind, number, folder)
        fault = fault or ("more than 10 s" if seconds > SECONDS else "") or ("more than 2 GB" if memory > BYTES else "")
        results[kind].append((sentence, fault, seconds, memory))
        if fault:
            faults.append(f"{kind} {number}: {fault}")
            print(faults[-1], flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    worker.stop()
    rows = []
    for kind, found in results.items():
        counts = Counter("faults" if fault else "refused" if sentence else "read" for sentence, fault, _, _ in found)
        slowest, most = (max((row[i] for row in found), default=0) for i in (2, 3))
        figures = (f"{len(found):,}", *(f"{counts[what]:,}" for what in ("read", "refused", "faults")))
        rows.append((kind, *figures, f"{slowest:.1f}", f"{most / 1e6:,.0f}"))
    return rows, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="files in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[], help="kinds, as the table names them")
    parser.add_argument("--folder", type=Path, help="where to write fuzz.md; by default results/")
    options = parser.parse_args()
    from engine import environment, table, write_results

    scratch, began = Path(tempfile.mkdtemp(prefix="fuzz-")), time.monotonic()
    rows, faults = fuzz(options.count, options.seed, scratch, options.only)
    total = sum(int(row[1].replace(",", "")) for row in rows)
    about = (
        f"**{total:,} mutated files, {len(faults)} faults.** Seed {options.seed}, "
        f"{(time.monotonic() - began) / 60:.0f} minutes. {environment()}"
    )
    write_results("fuzz", about, table(HEAD, rows), *faults, folder=options.folder)
    shutil.rmtree(scratch)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
