"""A few hundred of the files that benchmarks/fuzz.py mutates, and what it does about faults."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gan_tf.common.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import fuzz


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    # Some of the files by hand unpack to gigabytes.
    return fuzz.Kinds(tmp_path_factory.mktemp("fuzz"), by_hand=False)


@pytest.mark.parametrize("kind", [*fuzz.Kinds(Path()).kinds])
def test_a_mutated_file_is_read_or_refused_with_one_sentence(kinds, kind, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    count = 15 if kind in fuzz.OF_A_RUN else 50
    answers = [kinds.open(kind, number, 1, tmp_path / str(number)) for number in range(count)]
    assert not any("\n" in answer.strip() for answer in answers)
    assert any(answers), "no file was damaged"


def test_the_same_seed_mutates_alike(kinds):
    files = [kinds.file("npz", 2, seed) for seed in (0, 0, 1)]
    assert files[0] == files[1] != files[2]


def misbehave(number, path):
    """What a reader must not do, by the number of the file; 5 and 6 are as they must be."""
    if number == 0:
        raise ValueError("no sentence")
    if number == 1:
        os._exit(7)
    if number == 2:
        len(b"a" * 10**8)
    if number == 3:
        (path.parent.parent / "outside").touch()
    if number == 4:
        raise InputError("two\nlines")
    if number == 5:
        raise InputError("one line")


PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
import fuzz, test_fuzz
class Misbehaving(fuzz.Kinds):
    def __init__(self, scratch, by_hand=True):
        self.kinds = {"any": fuzz.Kind(None, None, None, lambda path: test_fuzz.misbehave(self.number, path))}
        self.made = lambda kind: ([], [b"by hand"] * 7)
fuzz.Kinds, fuzz.BYTES = Misbehaving, 5 * 10**7
rows, faults = fuzz.fuzz(7, 0, Path(sys.argv[3]), [])
print(rows[0][:5], *faults, sep="; ")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_faults_are_found(tmp_path):
    # In a fresh process: the threads of TensorFlow, which other tests have started, would not survive a fork.
    folders = [os.path.dirname(path) for path in (fuzz.__file__, __file__)]
    argv = [sys.executable, "-c", PROGRAM, *folders, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    counts, *faults = done.stdout.splitlines()[-1].split("; ")
    assert counts == "('any', '7', '1', '1', '5')"
    words = ("ValueError: no sentence", "died (7)", "more than 2 GB", f"open {tmp_path / 'outside'}", "not one line")
    assert len(faults) == 5 and all(word in fault for word, fault in zip(words, faults, strict=True))
