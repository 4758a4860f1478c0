"""benchmarks/kill_resume.py and benchmarks/full_disk.py: they find what they look for, and a few rounds of both."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import full_disk
import kill_resume

from gan_tf.common.files import atomic_write
from gan_tf.run.folder import Run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork and signals are Unix's")


def run_script(script, *options):
    argv = [sys.executable, script.__file__, *map(str, options)]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_differs_is_missing_or_was_left_behind_is_found(tmp_path):
    ours, theirs = Run(tmp_path / "ours"), Run(tmp_path / "theirs")
    for run, text in ((ours, "a"), (theirs, "b")):
        run.samples.mkdir(parents=True)
        run.config_json.write_text(text)  # It has the times of all starts.
        run.history_csv.write_text(text)
        run.sample_png(0).write_text("the same")
        (run.folder / ".lock").touch()
    (ours.samples / ".1234.epoch_0001.png").touch()
    theirs.sample_png(1).touch()
    expected = ["samples/.1234.epoch_0001.png", "samples/epoch_0001.png", "history.csv"]
    assert kill_resume.differences(ours, theirs) == expected


def test_on_a_full_disk_the_old_file_stays_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", os.fsync)  # Which FullDisk replaces for good.
    disk, path = full_disk.FullDisk(), tmp_path / "a.txt"
    path.write_text("old")
    for number in range(1, 100):
        try:
            with disk.filled(tmp_path, number), atomic_write(path) as temporary:
                temporary.write_text("new")
            break
        except OSError as error:
            assert error.errno == errno.ENOSPC
        # The last call flushes the folder, after the rename.
        assert path.read_text() == ("old" if number < 4 else "new") and list(tmp_path.iterdir()) == [path]
    assert number == 5 and path.read_text() == "new"


@pytest.mark.slow
def test_runs_that_are_killed_end_in_the_same_bits(tmp_path):
    run_script(kill_resume, "--cycles", 5, "--folder", tmp_path)
    text = (tmp_path / "kill_resume.md").read_text()
    assert re.match(r"\*\*5 kill-and-resume cycles\*\* \(of 5 asked for\), in which [1-5] runs came to their end", text)


@pytest.mark.slow
def test_runs_on_a_full_disk_end_in_the_same_bits(tmp_path):
    run_script(full_disk, "--every", 20, "--step", 400_000, "--folder", tmp_path)
    assert "| at every 20th of" in (tmp_path / "full_disk.md").read_text()
