import contextlib
import errno
import os
import time
from pathlib import Path

import pytest

from gan_tf.common.files import atomic_write, cache_folder, remove_partial_files, working_folder


def test_a_write_appears_whole_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt" and path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_and_does_not_replace_another(tmp_path):
    path = tmp_path / "folder"
    with atomic_write(path) as temporary:
        temporary.mkdir()
        (temporary / "a.txt").write_text("a")
        assert not path.exists()
    for raised, why in ((KeyboardInterrupt, None), (OSError, "not empty")):
        with pytest.raises(raised, match=why), atomic_write(path) as temporary:
            temporary.mkdir()
            (temporary / "a.txt").write_text("b")
            if raised is KeyboardInterrupt:
                raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [path] and (path / "a.txt").read_text() == "a"


@pytest.mark.skipif(os.name != "posix", reason="Windows flushes no folders")
def test_a_power_cut_finds_the_content_before_the_name_and_both_on_the_disk(tmp_path, disk_calls):
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("a")
    assert disk_calls == [("flush of temporary", "a.txt"), ("replace", "a.txt"), ("flush", tmp_path.name)]
    disk_calls.clear()
    with atomic_write(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "b.txt").write_text("b")
    content = [("flush", "b.txt"), ("flush of temporary", "folder")]
    assert disk_calls == [*content, ("replace", "folder"), ("flush", tmp_path.name)]
    disk_calls.clear()
    with atomic_write(tmp_path / "a.txt", durable=False) as temporary:
        temporary.write_text("c")
    assert disk_calls == [("replace", "a.txt")] and (tmp_path / "a.txt").read_text() == "c"


@pytest.mark.skipif(os.name != "posix", reason="Windows flushes no folders")
def test_a_drive_that_cannot_flush_a_folder_is_no_error_and_one_that_fails_is(tmp_path, monkeypatch):
    for number, fails in ((errno.EINVAL, False), (errno.EIO, True)):

        def refuse(descriptor, number=number):
            if os.path.isdir(f"/proc/self/fd/{descriptor}") or number == errno.EIO:
                raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError) if fails else contextlib.nullcontext(), atomic_write(tmp_path / "a") as temporary:
            temporary.write_text(str(number))
        assert (tmp_path / "a").read_text() == str(errno.EINVAL) and len(list(tmp_path.iterdir())) == 1


def test_partial_files_of_a_killed_process_are_removed_and_others_stay(tmp_path):
    (tmp_path / "samples").mkdir()
    kept = [tmp_path / ".cache.json", tmp_path / "1.png", tmp_path / "samples" / "2.png"]
    with atomic_write(tmp_path / "samples" / "a.png") as temporary:
        temporary.touch()
    for path in [*kept, temporary]:  # As if the process had been killed while it wrote a.png.
        path.touch()
    (tmp_path / ".1234.savedmodel" / "variables").mkdir(parents=True)
    (tmp_path / ".1234.savedmodel" / "variables" / ".1.index").touch()
    remove_partial_files(tmp_path)
    assert not (tmp_path / ".1234.savedmodel").exists()
    kept.append(tmp_path / "samples" / "a.png")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_the_cache_is_where_keras_has_its_data_sets(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "datasets"
    monkeypatch.delenv("KERAS_HOME")
    assert cache_folder() == Path.home() / ".keras" / "datasets"


def test_a_working_folder_is_deleted_by_its_process_or_when_that_is_dead_and_never_because_the_clock_jumped(
    tmp_path, monkeypatch
):
    now = time.time()
    with working_folder(tmp_path) as mine:
        (mine / "half").touch()
        (tmp_path / ".new-dead").mkdir()
        (tmp_path / ".new-dead" / "half").touch()
        monkeypatch.setattr(time, "time", lambda: now - 3600 * 24 * 365)
        with working_folder(tmp_path):
            assert mine.exists() and (tmp_path / ".new-dead").exists()
        monkeypatch.setattr(time, "time", lambda: now + 3600 * 24 * 365)
        with working_folder(tmp_path):
            assert (mine / "half").exists() and not (tmp_path / ".new-dead").exists()
    assert list(tmp_path.iterdir()) == []
