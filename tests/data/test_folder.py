import dataclasses
import errno
import hashlib
import json
import os
import resource
import shutil
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from gan_tf.common.errors import InputError
from gan_tf.common.files import cache_folder
from gan_tf.config import Config
from gan_tf.data import folder
from gan_tf.data.decoding import read_picture
from gan_tf.data.folder import load_folder

RED, GREEN, BLUE, TEAL = (250, 10, 20), (10, 240, 30), (20, 30, 230), (0, 128, 128)


@pytest.fixture
def config():
    return Config(dataset="./pics", image_size=28)


@pytest.fixture
def pics(tmp_path):
    path = tmp_path / "pics"
    path.mkdir()
    return path


def draw(path, colour=None, size=(40, 30), mode="RGB", **options):
    """Save a picture of one colour, by default a colour that no other picture has."""
    draw.count += 1
    colour = colour or (draw.count * 7 % 251, draw.count * 3 % 241, 60)
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)


draw.count = 0


def not_a_picture(path):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("not a picture")


def reasons(images):
    """File -> reason for each skipped file."""
    return dict(line.split(": ", 1) for line in images.skipped)


def cache_contents():
    return sorted(path.relative_to(cache_folder()).as_posix() for path in cache_folder().glob("gan_tf/**/*"))


# Channels, labels, and which files are found.


def test_one_channel_only_if_all_pictures_are_grey(pics, config):
    for name, mode in (("a.png", "L"), ("b.jpg", "L"), ("c.png", "LA"), ("d.png", "1"), ("e.tif", "I;16")):
        Image.new(mode, (9, 9)).save(pics / name)
    assert load_folder(pics, config).shape == (28, 28, 1)
    draw(pics / "f.png", RED)
    images = load_folder(pics, config)
    assert images.shape == (28, 28, 3) and images.images[5, 3, 3].tolist() == list(RED)


def test_transparency_is_learned_if_a_picture_has_some(pics, config):
    config = dataclasses.replace(config, alpha=True)
    draw(pics / "a.png", RED)
    draw(pics / "b.jpg", mode="L")
    with pytest.raises(InputError, match=r"--alpha learns transparency, but all pictures in .*pics are opaque: leave"):
        load_folder(pics, config)
    assert cache_contents() == []
    Image.new("RGBA", (9, 9), (*BLUE, 100)).save(pics / "c.png")
    images = load_folder(pics, config)
    assert images.shape == (28, 28, 4) and images.images[:, 5, 5, 3].tolist() == [255, 255, 100]
    assert images.images[0, 5, 5].tolist() == [*RED, 255]
    assert load_folder(pics, dataclasses.replace(config, alpha=False)).shape == (28, 28, 3)  # Another entry.
    assert load_folder(pics, config).shape == (28, 28, 4)


def test_pictures_get_the_proportions_of_the_size(pics, config):
    for name in "ab":
        draw(pics / f"{name}.png", size=(50, 40))
    assert load_folder(pics, dataclasses.replace(config, image_size="48x24")).shape == (24, 48, 3)


def test_labels_are_the_top_level_subfolders(pics, config):
    for name in ("dog/b.png", "cat/deep/er/z.png", "cat/a.png", "dog/a.png"):
        draw(pics / name, TEAL if name.startswith("cat/d") else None)
    images = load_folder(pics, config)
    assert images.label_names == ("cat", "dog") and images.labels.tolist() == [0, 0, 1, 1]
    assert images.images[1, 5, 5].tolist() == list(TEAL)  # Sorted by name.
    assert images.name == "pics" and load_folder(pics, config, "mine").name == "mine"
    assert images.source == str(pics) and images.skipped == ()


def test_labels_stay_with_their_pictures_when_some_are_skipped(pics, config):
    for label in ("cat", "dog", "fox"):
        for name in "abc":
            draw(pics / label / f"{name}.png")
    not_a_picture(pics / "cat" / "b.png")
    shutil.copy(pics / "cat" / "c.png", pics / "dog" / "a.png")
    images = load_folder(pics, dataclasses.replace(config, max_bad=0.2))
    assert images.labels.tolist() == [0, 0, 1, 1, 2, 2, 2] and len(images) == 7


def test_pictures_outside_of_subfolders_mean_no_labels(pics, config):
    for name in ("a.png", "cat/a.png", "cat/b.png", "dog/a.png"):
        draw(pics / name)
    images = load_folder(pics, config)
    assert len(images) == 4 and images.labels is None and images.label_names == ()
    cats = load_folder(pics, dataclasses.replace(config, label=("cat",)))
    assert len(cats) == 2 and cats.labels.tolist() == [0, 0]


def test_labels_are_filtered_before_decoding(pics, config):
    for name in ("cat/a.png", "cat/b.png", "fox/a.png"):
        draw(pics / name, mode="L")
    for name in "abcd":
        not_a_picture(pics / "dog" / f"{name}.png")  # More than --max-bad allows, if they were decoded.
    images = load_folder(pics, dataclasses.replace(config, label=("fox", "cat")))
    assert len(images) == 3 and images.shape == (28, 28, 1) and images.skipped == ()
    assert [images.label_names[label] for label in images.labels] == ["cat", "cat", "fox"]
    with pytest.raises(InputError, match=r"pics has no label 'cow'; its labels are cat, dog, fox\."):
        load_folder(pics, dataclasses.replace(config, label=("cat", "cow")))


def test_a_label_of_a_folder_without_subfolders(pics, config):
    draw(pics / "a.png")
    with pytest.raises(InputError, match="pics has no labels: leave --label out"):
        load_folder(pics, dataclasses.replace(config, label=("a",)))


def test_hidden_and_other_files_are_ignored(pics, config, capsys):
    draw(pics / "a.png")
    draw(pics / "b.PNG")
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "._a.png", ".git/c.png", "__MACOSX/c.png", ".trash/a/c.png"):
        not_a_picture(pics / name)
    images = load_folder(pics, config)
    assert len(images) == 2 and images.skipped == () and images.labels is None
    assert capsys.readouterr().err == ""


def test_a_folder_without_pictures(pics, config):
    with pytest.raises(
        InputError, match=r"pics contains no pictures \(.*\.webp, .*\) and no other files; name a folder of pictures\."
    ):
        load_folder(pics, config)
    for name in ("a.txt", "b.TXT", "c.heic", "readme", "sub/d.txt", ".hidden.png"):
        not_a_picture(pics / name)
    with pytest.raises(InputError, match=r"only 3 \.txt, 1 \.heic, 1 without a suffix;"):
        load_folder(pics, config)


def test_too_few_pictures(pics, config):
    draw(pics / "a.png")
    shutil.copy(pics / "a.png", pics / "b.png")
    with pytest.raises(InputError, match="pics contains fewer than 2 distinct pictures that can be read"):
        load_folder(pics, config)


def test_a_path_that_is_not_a_folder(pics, config):
    draw(pics / "a.png")
    with pytest.raises(InputError, match=r"pics/none does not exist; name a folder of pictures"):
        load_folder(pics / "none", config)
    with pytest.raises(InputError, match=r"a\.png is a file; name a folder"):
        load_folder(pics / "a.png", config)
    (pics / "loop").symlink_to(pics / "loop")
    with pytest.raises(InputError, match="loop does not exist"):
        load_folder(pics / "loop", config)


def test_a_tilde_is_the_home_directory(pics, config, monkeypatch):
    monkeypatch.setenv("HOME", str(pics.parent))
    draw(pics / "a.png")
    draw(pics / "b.png")
    assert len(load_folder("~/pics", config)) == 2


def test_folders_without_read_permission(pics, config, monkeypatch):
    for name in ("a.png", "b.png", "secret/c.png"):
        draw(pics / name)
    scandir, locked = os.scandir, pics / "secret"

    def refuse(path="."):  # Not chmod, which does not stop root.
        if str(path) == str(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    images = load_folder(pics, config)
    assert len(images) == 2 and reasons(images) == {"secret": "Permission denied"}
    locked = pics
    with pytest.raises(InputError, match=r"The folder .*pics cannot be read \(Permission denied\)"):
        load_folder(pics, config)


def test_links_to_folders_are_followed_once(pics, config):
    for name in ("cat/a.png", "cat/b.png"):
        draw(pics / name)
    elsewhere = pics.parent / "elsewhere"
    draw(elsewhere / "c.png")
    (pics / "all").symlink_to(pics)
    (pics / "best").symlink_to(pics / "cat")  # Sorts before cat.
    (pics / "cat" / "up").symlink_to(pics.parent)
    (pics / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(pics / "cat")
    images = load_folder(pics, config)
    assert images.label_names == ("cat", "linked") and images.labels.tolist() == [0, 0, 1]
    why = "link to a folder that is already included"
    assert reasons(images) == {"all": why, "best": why, "cat/up": why, "linked/back": why}


# Unreadable and repeated files.


def header_of_png(width, height):
    """A PNG file that announces this size and has no pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">II", zlib.crc32(body), 99) + b"IDAT"


def test_unreadable_files_are_skipped_and_listed(pics, config, capsys):
    for number in range(3):
        draw(pics / f"{number}.jpg", size=(200, 200))
    intact = (pics / "0.jpg").read_bytes()
    (pics / "a.jpg").write_bytes(intact[: len(intact) * 2 // 3])
    not_a_picture(pics / "b.png")
    (pics / "c.jpg").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (pics / "d.png").write_bytes(b"")
    (pics / "e.png").write_bytes(header_of_png(10_000, 10_000))  # Pillow would only warn.
    (pics / "f.png").write_bytes(header_of_png(60_000, 60_000))
    (pics / "g.png").symlink_to(pics / "nowhere.png")
    os.mkfifo(pics / "h.png")
    (pics / "i.png").write_bytes(header_of_png(10, 10))
    images = load_folder(pics, dataclasses.replace(config, max_bad=0.9))
    assert len(images) == 3 and images.shape == (28, 28, 3)
    why = reasons(images)
    assert list(why) == ["a.jpg", "b.png", "c.jpg", *(f"{name}.png" for name in "defghi")]
    assert "truncated" in why["a.jpg"] and "truncated" in why["i.png"]
    assert "exceeds limit of 89478485 pixels" in why["e.png"] and "exceeds limit" in why["f.png"]
    assert why["b.png"] == why["c.jpg"] == "not a picture" and why["d.png"] == "empty file"
    assert why["g.png"] == why["h.png"] == "broken link or special file"
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "skipped 9 of 12 files" in error
    assert "a.jpg" in error and "d.png" not in error  # Only the first few.


def test_odd_metadata_is_ignored(pics, config, capsys):
    """Pillow warns about it, and in tests warnings are errors."""
    draw(pics / "a.jpg", RED, quality=100, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")  # Announces five entries, has none.
    draw(pics / "b.jpg", BLUE)
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        read_picture(pics / "a.jpg", 3, config)
    images = load_folder(pics, config)
    assert len(images) == 2 and images.skipped == () and capsys.readouterr().err == ""


def test_file_names_that_are_not_text(pics, config):
    draw(pics / "a.png")
    draw(pics / "b.png")
    with open(os.fsencode(pics) + b"/\xff\xe9.png", "wb") as file:
        file.write(b"not a picture")
    images = load_folder(pics, dataclasses.replace(config, max_bad=0.5))
    images.skipped[0].encode()
    assert images.skipped == ("\\udcff\\udce9.png: not a picture",)


def test_more_unreadable_files_than_max_bad(pics, config, capsys):
    for number in range(19):
        draw(pics / f"{number:02}.png")
    not_a_picture(pics / "bad1.png")
    assert len(load_folder(pics, config)) == 19  # 1 of 20 is 0.05.
    for number in range(2, 6):
        not_a_picture(pics / f"bad{number}.png")
    before = cache_contents()
    capsys.readouterr()
    several = (
        r"5 of 24 pictures in .* cannot be read \(bad1.png: .*bad3.png: not a picture\); .* --max-bad above 0\.2\."
    )
    with pytest.raises(InputError, match=several):
        load_folder(pics, dataclasses.replace(config, max_bad=0.2))
    assert cache_contents() == before and capsys.readouterr().out == ""  # Nothing was decoded.
    assert len(load_folder(pics, dataclasses.replace(config, max_bad=0.21))) == 19
    with pytest.raises(InputError, match="5 of 24"):  # Also when they come from the cache.
        load_folder(pics, config)


def test_duplicates_do_not_dilute_the_share_of_unreadable_files(pics, config):
    for name in "abc":
        draw(pics / f"{name}.png")
        shutil.copy(pics / f"{name}.png", pics / f"{name}2.png")
    not_a_picture(pics / "bad.png")
    with pytest.raises(InputError, match="1 of 4 pictures"):
        load_folder(pics, dataclasses.replace(config, max_bad=0.2))


def test_too_many_truncated_files_leave_no_cache_entry(pics, config):
    for number in range(4):
        draw(pics / f"{number}.jpg", size=(200, 200))
        intact = (pics / f"{number}.jpg").read_bytes()
        (pics / f"{number}.jpg").write_bytes(intact[: len(intact) // 2] if number else intact)
    with pytest.raises(InputError, match="3 of 4"):
        load_folder(pics, config)
    with pytest.raises(InputError, match="fewer than 2 distinct"):
        load_folder(pics, dataclasses.replace(config, max_bad=1))
    assert cache_contents() == []


def test_exact_duplicates_are_used_once(pics, config, capsys):
    draw(pics / "a.png", RED)
    draw(pics / "b.bmp", GREEN)
    draw(pics / "c.bmp", BLUE)  # As large as b.bmp.
    for name in ("0.png", "d.png", "sub/e.png"):
        (pics / name).parent.mkdir(exist_ok=True)
        shutil.copy(pics / "a.png", pics / name)
    images = load_folder(pics, dataclasses.replace(config, max_bad=0))
    assert images.images[:, 5, 5].tolist() == [list(RED), list(GREEN), list(BLUE)]
    assert reasons(images) == dict.fromkeys(["a.png", "d.png", "sub/e.png"], "duplicate of 0.png")
    assert "skipped 3 of 6 files" in capsys.readouterr().err


def test_a_background_that_is_not_a_colour(pics, config):
    with pytest.raises(InputError, match="--background is no-colour, but it must be a colour name"):
        load_folder(pics, dataclasses.replace(config, background="no-colour"))


# The cache.


@pytest.fixture
def some(pics):
    for number in range(5):
        draw(pics / f"{number}.png")
    return pics


def test_pictures_are_decoded_once(some, config, monkeypatch, capsys):
    not_a_picture(some / "bad.png")
    shutil.copy(some / "0.png", some / "copy.png")
    config = dataclasses.replace(config, max_bad=0.2)
    first = load_folder(some, config)
    printed = capsys.readouterr().out
    assert "Decoding 5 pictures into" in printed and "5/5" in printed
    monkeypatch.setattr(folder, "build_cache", None)
    again = load_folder(some, dataclasses.replace(config, epochs=9, max_bad=0.3, flip=True, seed=4))
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(first.images, again.images)
    assert first.fingerprint == again.fingerprint == hashlib.sha256(first.images.tobytes()).hexdigest()
    assert first.skipped == again.skipped and len(first.skipped) == 2


def test_the_images_are_memory_mapped_and_read_only(some, config):
    images = load_folder(some, config).images
    assert isinstance(images, np.memmap) and not images.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_other_options_or_files_are_decoded_again(some, config):
    def entries(path=some, **options):
        load_folder(path, dataclasses.replace(config, **options))
        return len(list((cache_folder() / "gan_tf").iterdir()))

    assert entries() == entries(background="#ffffff") == 1  # The default, white, under another name.
    assert [entries(image_size=32), entries(fit="pad"), entries(background="black")] == [2, 3, 4]
    draw(some / "2.png", RED)
    assert entries() == 5 and load_folder(some, config).images[2, 5, 5].tolist() == list(RED)
    os.rename(some / "2.png", some / "9.png")
    assert entries() == 6 and load_folder(some, config).images[4, 5, 5].tolist() == list(RED)
    os.rename(some / "9.png", some / "8.png")  # At the same position.
    assert entries() == 7
    os.utime(some / "0.png", (1, 1))
    assert entries() == 8
    shutil.copytree(some, some.parent / "other")  # With the same names, sizes and times.
    assert entries(some.parent / "other") == 9


def truncate(entry):
    with open(entry / "pixels.npy", "r+b") as file:
        file.truncate(3000)


def pickled(entry):
    raw = (entry / "pixels.npy").read_bytes()
    np.save(entry / "pixels.npy", np.array([{}] * 9, object), allow_pickle=True)
    with open(entry / "pixels.npy", "ab") as file:
        file.write(bytes(len(raw) - file.tell()))


@pytest.mark.parametrize(
    "spoil",
    [
        truncate,
        pickled,
        lambda entry: (entry / "pixels.npy").write_bytes(b""),
        lambda entry: (entry / "pixels.npy").write_bytes((entry / "pixels.npy").read_bytes() + b"more"),
        lambda entry: (entry / "pixels.npy").unlink(),
        lambda entry: (entry / "info.json").unlink(),
        lambda entry: (entry / "info.json").write_text("{"),
        lambda entry: (entry / "info.json").write_text("[]"),
        lambda entry: (entry / "info.json").write_text("{}"),
        lambda entry: (entry / "info.json").write_text(json.dumps({"bytes": os.path.getsize(entry / "pixels.npy")})),
        lambda entry: (entry / "info.json").write_bytes(b"\xff"),
        lambda entry: (shutil.rmtree(entry), entry.write_text("")),
    ],
)
def test_a_damaged_cache_entry_is_built_again(some, config, spoil):
    first = load_folder(some, config)
    pixels, files = first.images.copy(), cache_contents()
    [entry] = (cache_folder() / "gan_tf").iterdir()
    size = os.path.getsize(first.images.filename)
    del first
    spoil(entry)
    again = load_folder(some, config)
    np.testing.assert_array_equal(again.images, pixels)
    assert os.path.getsize(again.images.filename) == size
    assert cache_contents() == files == [f"gan_tf/{entry.name}{name}" for name in ("", "/info.json", "/pixels.npy")]


@pytest.mark.parametrize("damaged", [False, True])
def test_two_processes_at_once_share_one_cache_entry(some, config, monkeypatch, damaged):
    if damaged:
        load_folder(some, config)
        truncate(*(cache_folder() / "gan_tf").iterdir())
    decode, other = folder.decode, []

    def overtaken(*arguments):
        decode(*arguments)
        monkeypatch.setattr(folder, "decode", decode)
        other.append(load_folder(some, config))

    monkeypatch.setattr(folder, "decode", overtaken)
    images = load_folder(some, config)
    np.testing.assert_array_equal(images.images, other[0].images)
    assert os.path.samefile(images.images.filename, other[0].images.filename)
    assert len(cache_contents()) == 3


def test_ctrl_c_leaves_no_cache_entry(some, config, monkeypatch):
    calls = []

    def stopped(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read_picture(*arguments)

    monkeypatch.setattr(folder, "read_picture", stopped)
    with pytest.raises(KeyboardInterrupt):
        load_folder(some, config)
    assert cache_contents() == []


def test_leftovers_of_killed_processes_are_removed_after_a_day(some, config):
    base = cache_folder() / "gan_tf"
    for name, age in ((".new-old", 25), (".new-now", 1)):
        (base / name).mkdir(parents=True)
        (base / name / "pixels.npy").write_bytes(b"half")
        os.utime(base / name, (time.time() - age * 3600,) * 2)
    load_folder(some, config)
    assert not (base / ".new-old").exists() and (base / ".new-now").exists()


def test_the_disk_fills_up_while_decoding(some, config):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))  # Any real error of a real write will do.
    try:
        with pytest.raises(
            InputError, match=r"has to hold up to 1 MB of decoded pictures, but cannot \(File too large\)"
        ):
            load_folder(some, config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert cache_contents() == []


def test_the_disk_is_too_full_to_start(some, config, monkeypatch, capsys):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5 * 512 * 512 * 3 - 1)
    )
    with pytest.raises(InputError, match=r"hold up to 4 MB .*\(No space left on device\); make room .* KERAS_HOME"):
        load_folder(some, dataclasses.replace(config, image_size=512))
    assert cache_contents() == [] and capsys.readouterr().out == ""


def test_a_cache_that_cannot_be_written(some, config, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"gan_tf has to hold .* but cannot \(Not a directory\); .* KERAS_HOME"):
        load_folder(some, config)
