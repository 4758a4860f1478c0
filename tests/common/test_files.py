from pathlib import Path

import pytest

from gan_tf.common.files import atomic_write, cache_folder, remove_partial_files


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
