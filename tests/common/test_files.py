import pytest

from gan_tf.common.files import atomic_write, remove_partial_files


def test_a_file_is_written_completely_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / "samples").mkdir()
    leftover, whole = tmp_path / "samples" / ".123.epoch_0001.png", tmp_path / "samples" / "epoch_0001.png"
    leftover.write_bytes(b"half")
    whole.write_bytes(b"whole")
    (tmp_path / ".lock").touch()
    remove_partial_files(tmp_path)
    assert not leftover.exists() and whole.exists() and (tmp_path / ".lock").exists()
