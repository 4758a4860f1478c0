import dataclasses
import errno
import hashlib
import json
import os
import resource
import shutil
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_tf.common.errors import InputError
from gan_tf.common.files import cache_folder
from gan_tf.config import Config
from gan_tf.data import decoding as pictures
from gan_tf.data import folder
from gan_tf.data.decoding import in_order, read_square
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
    """Write a picture of one colour; by default of one that no other picture here has."""
    draw.count += 1
    colour = colour or (draw.count * 7 % 251, draw.count * 3 % 241, 60)
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)


draw.count = 0


def named(images):
    """The skipped files and their reasons."""
    return dict(line.split(": ", 1) for line in images.skipped)


def left_behind():
    """The names of all that is in the cache."""
    return sorted(path.relative_to(cache_folder()).as_posix() for path in cache_folder().glob("gan_tf/**/*"))


# One picture.


@pytest.mark.parametrize(
    "name, options",
    [
        ("a.jpg", {"quality": 100, "subsampling": 0}),
        ("a.JPEG", {"quality": 100, "subsampling": 0, "progressive": True}),
        ("a.png", {}),
        ("a.webp", {"lossless": True}),
        ("a.gif", {}),
        ("a.bmp", {}),
        ("a.tif", {}),
        ("a.tiff", {"compression": "tiff_lzw"}),
    ],
)
def test_every_format(pics, config, name, options):
    draw(pics / name, RED, **options)
    draw(pics / f"other{os.path.splitext(name)[1]}", BLUE, **options)
    images = load_folder(pics, config)
    assert images.images.shape == (2, 28, 28, 3) and images.images.dtype == np.uint8
    np.testing.assert_allclose(images.images[0].astype(int), np.broadcast_to(RED, (28, 28, 3)), atol=2)
    np.testing.assert_allclose(images.images[1].astype(int), np.broadcast_to(BLUE, (28, 28, 3)), atol=2)


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff"])
def test_of_an_animation_the_first_frame(pics, config, kind):
    frames = [Image.new("RGB", (28, 28), colour) for colour in (RED, BLUE)]
    frames[0].save(
        pics / f"a.{kind}", save_all=True, append_images=frames[1:], **{"webp": {"lossless": True}}.get(kind, {})
    )
    assert read_square(pics / f"a.{kind}", 3, config)[5, 5].tolist() == list(RED)


def test_a_picture_under_another_formats_name(pics, config):
    draw(pics / "a.png", RED)
    os.rename(pics / "a.png", pics / "a.jpg")
    assert read_square(pics / "a.jpg", 3, config)[5, 5].tolist() == list(RED)


@pytest.mark.parametrize(
    "mode, name", [("P", "a.png"), ("RGBA", "a.png"), ("CMYK", "a.tif"), ("CMYK", "a.jpg"), ("YCbCr", "a.jpg")]
)
def test_modes_in_colour(pics, config, mode, name):
    draw(pics / name, TEAL, mode=mode)
    np.testing.assert_allclose(read_square(pics / name, 3, config)[5, 5].astype(int), TEAL, atol=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_modes_in_grey(pics, config, mode, channels):
    white = {"I;16": 65535, "I": 65535, "F": 1.0, "LA": (255, 255)}.get(mode, 255)
    picture = Image.new(mode, (28, 28), white)
    picture.paste(0 if mode != "LA" else (0, 255), (0, 0, 14, 28))
    picture.save(pics / "a.tif")
    square = read_square(pics / "a.tif", channels, config)
    assert square.shape == (28, 28, channels)
    assert square[14, 3].tolist() == [0] * channels and square[14, 24].tolist() == [255] * channels


@pytest.mark.parametrize("name, kind", [("a.png", "<u2"), ("a.tif", "<u2"), ("a.tif", ">u2"), ("a.tif", "<i4")])
def test_16_bits_become_8_without_clipping(pics, config, name, kind):
    values = np.linspace(0, 65535, 28 * 28).reshape(28, 28).astype(kind)
    Image.fromarray(values).save(pics / name)
    np.testing.assert_array_equal(read_square(pics / name, 1, config)[..., 0], np.round(values / 257))


def test_floats_from_0_to_1(pics, config):
    values = np.linspace(0, 1, 28 * 28, dtype=np.float32).reshape(28, 28)
    Image.fromarray(values).save(pics / "a.tif")
    np.testing.assert_array_equal(read_square(pics / "a.tif", 1, config)[..., 0], np.round(values * 255))


@pytest.mark.parametrize("worst, dtype", [(300.0, "f4"), (-0.5, "f4"), (np.nan, "f4"), (70000, "i4"), (-1, "i4")])
def test_numbers_of_which_nobody_knows_what_is_white(pics, config, worst, dtype):
    values = np.full((28, 28), 1, dtype)
    values[3, 4] = worst
    Image.fromarray(values).save(pics / "c.tif")
    draw(pics / "a.png", mode="L")
    draw(pics / "b.png", mode="L")
    images = load_folder(pics, dataclasses.replace(config, max_bad=0.5))
    assert len(images) == 2 and named(images)["c.tif"].startswith("its values are from ")


def test_transparency_shows_the_background(pics, config):
    on_teal = dataclasses.replace(config, background="teal")
    Image.new("RGBA", (28, 28), (*RED, 128)).save(pics / "half.png")
    half = [round((a * 128 + b * 127) / 255) for a, b in zip(RED, TEAL, strict=True)]
    np.testing.assert_allclose(read_square(pics / "half.png", 3, on_teal)[5, 5], half, atol=1)
    Image.new("LA", (28, 28), (200, 0)).save(pics / "la.png")
    assert read_square(pics / "la.png", 3, on_teal)[5, 5].tolist() == list(TEAL)
    assert read_square(pics / "la.png", 1, config)[5, 5].tolist() == [255]
    palette = Image.new("P", (28, 28), 1)
    palette.putpalette([*RED, *BLUE, *GREEN])
    palette.paste(2, (0, 0, 14, 28))
    palette.save(pics / "index.png", transparency=1)
    palette.save(pics / "index.gif", transparency=1)
    palette.save(pics / "table.png", transparency=bytes([255, 0, 255]))  # Pillow warns about these.
    for name in ("index.png", "index.gif", "table.png"):
        with pictures.pillow_warnings():
            square = read_square(pics / name, 3, on_teal)
        assert square[5, 24].tolist() == list(TEAL) and square[5, 3].tolist() == list(GREEN)
    Image.new("L", (28, 28), 90).save(pics / "key.png", transparency=90)
    assert read_square(pics / "key.png", 3, on_teal)[5, 5].tolist() == list(TEAL)


def test_transparent_colours_do_not_bleed_in(pics, config):
    """What is invisible, here red, must not colour the edge when the picture is made smaller."""
    pixels = np.zeros((280, 280, 4), np.uint8)
    pixels[..., 0], pixels[:, 145:] = 255, (255, 255, 255, 255)
    Image.fromarray(pixels).save(pics / "a.png")
    assert read_square(pics / "a.png", 3, config).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_exif_orientation(pics, config, orientation, name):
    picture = Image.new("RGB", (56, 56), RED)
    picture.paste(BLUE, (0, 0, 28, 28))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(pics / name, exif=exif, **({"quality": 100, "subsampling": 0} if name == "a.jpg" else {}))
    square = read_square(pics / name, 3, config).astype(int)
    corners = [square[y, x] for y, x in ((3, 3), (3, 24), (24, 24), (24, 3))]
    # Where the first row's first pixel is to be seen: top left, top right, bottom right, bottom left, and the same
    # with rows for columns.
    seen = (orientation - 1) % 4
    for corner, colour in enumerate(corners):
        np.testing.assert_allclose(colour, BLUE if corner == seen else RED, atol=4)


def stripes(path, wide=True):
    """Red, green and blue, of which the middle third is as wide as high."""
    picture = Image.new("RGB", (84, 28) if wide else (28, 84), GREEN)
    picture.paste(RED, (0, 0, 28, 28))
    picture.paste(BLUE, (56, 0, 84, 28) if wide else (0, 56, 28, 84))
    picture.save(path)


@pytest.mark.parametrize("wide", [True, False])
def test_three_ways_to_become_a_square(pics, config, wide):
    stripes(pics / "a.png", wide)

    def middle(fit):
        """The pixels from one end to the other."""
        square = read_square(pics / "a.png", 3, dataclasses.replace(config, fit=fit, background="#008080"))
        assert square.shape == (28, 28, 3)
        return square[14] if wide else square[:, 14], square[:, 14] if wide else square[14]

    along, _ = middle("crop")
    assert (along == GREEN).all()
    along, across = middle("stretch")
    assert along[3].tolist() == list(RED) and along[24].tolist() == list(BLUE) and (across == GREEN).all()
    along, across = middle("pad")
    assert along[3].tolist() == list(RED) and along[24].tolist() == list(BLUE)
    green = (across == GREEN).all(axis=1)
    assert green[10:18].all() and (across[~green][[0, -1]] == TEAL).all() and 18 <= np.sum(across == TEAL) / 3 <= 20


def test_grey_is_padded_with_grey(pics, config):
    Image.new("L", (28, 14), 9).save(pics / "a.png")
    square = read_square(pics / "a.png", 1, dataclasses.replace(config, fit="pad", background="#808080"))
    assert square[1, 5, 0] == 128 and square[14, 5, 0] == 9


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (1, 1), (3, 5)])
def test_odd_shapes(pics, config, fit, size):
    Image.new("RGB", size, RED).save(pics / "a.png")
    square = read_square(pics / "a.png", 3, dataclasses.replace(config, fit=fit))
    assert square.shape == (28, 28, 3) and (square == RED).all(axis=-1).any()


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_made_smaller_without_aliases(pics, config, name, fit):
    board = (np.indices((300, 300)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(pics / name, **({"quality": 100} if name == "a.jpg" else {}))
    square = read_square(pics / name, 1, dataclasses.replace(config, fit=fit))
    np.testing.assert_allclose(square[2:-2, 2:-2].astype(int), 127.5, atol=4)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_made_larger_and_smooth(pics, config, fit):
    ramp = np.tile(np.array([0, 85, 170, 255], np.uint8), (4, 1))
    Image.fromarray(ramp).save(pics / "a.png")
    row = read_square(pics / "a.png", 1, dataclasses.replace(config, fit=fit))[14, :, 0].astype(int)
    assert (np.diff(row) >= 0).all() and np.diff(row).max() < 30 and row[0] < 10 and row[-1] > 245


def test_a_jpeg_is_as_good_as_if_it_was_decoded_in_full(pics, config):
    waves = np.sin(np.indices((120, 160)) / [[[5.0]], [[4.0]]])
    pixels = (127 + 60 * waves[0] + 60 * waves[1]).astype(np.uint8)
    Image.fromarray(pixels).save(pics / "a.jpg", quality=95)
    with Image.open(pics / "a.jpg") as picture:
        expected = np.asarray(ImageOps.fit(picture, (28, 28), Image.Resampling.BICUBIC), int)
    np.testing.assert_allclose(read_square(pics / "a.jpg", 1, config)[..., 0], expected, atol=4)


# Channels, labels, and what is found.


def test_one_channel_only_where_all_are_grey(pics, config):
    for name, mode in (("a.png", "L"), ("b.jpg", "L"), ("c.png", "LA"), ("d.png", "1"), ("e.tif", "I;16")):
        draw(pics / name, mode="L")
        with Image.open(pics / name) as picture:
            picture.load()
        picture.convert("I").convert(mode).save(pics / name) if mode == "I;16" else picture.convert(mode).save(
            pics / name
        )
    assert load_folder(pics, config).shape == (28, 28, 1)
    draw(pics / "f.png", RED)
    images = load_folder(pics, config)
    assert images.shape == (28, 28, 3) and images.images[5, 3, 3].tolist() == list(RED)


def test_labels_are_the_first_folders(pics, config):
    for name in ("dog/b.png", "cat/deep/er/z.png", "cat/a.png", "dog/a.png"):
        draw(pics / name, TEAL if name.startswith("cat/d") else None)
    images = load_folder(pics, config)
    assert images.label_names == ("cat", "dog") and images.labels.tolist() == [0, 0, 1, 1]
    assert images.images[1, 5, 5].tolist() == list(TEAL)  # Sorted by name.
    assert images.name == "pics" and load_folder(pics, config, "mine").name == "mine"
    assert images.source == str(pics) and images.skipped == ()


def test_the_labels_stay_with_their_pictures_when_some_are_skipped(pics, config):
    for label in ("cat", "dog", "fox"):
        for name in "abc":
            draw(pics / label / f"{name}.png")
    (pics / "cat" / "b.png").write_text("no picture")
    shutil.copy(pics / "cat" / "c.png", pics / "dog" / "a.png")
    images = load_folder(pics, dataclasses.replace(config, max_bad=0.2))
    assert images.labels.tolist() == [0, 0, 1, 1, 2, 2, 2] and len(images) == 7


def test_pictures_of_no_folder_take_away_the_labels(pics, config):
    for name in ("a.png", "cat/a.png", "cat/b.png", "dog/a.png"):
        draw(pics / name)
    images = load_folder(pics, config)
    assert len(images) == 4 and images.labels is None and images.label_names == ()
    chosen = load_folder(pics, dataclasses.replace(config, label=("cat",)))
    assert len(chosen) == 2 and chosen.labels.tolist() == [0, 0]


def test_labels_are_chosen_before_anything_is_decoded(pics, config):
    for name in ("cat/a.png", "cat/b.png", "fox/a.png"):
        draw(pics / name, mode="L")
    for name in "abcd":
        (pics / "dog").mkdir(exist_ok=True)
        (pics / "dog" / f"{name}.png").write_text("no picture")
    images = load_folder(pics, dataclasses.replace(config, label=("fox", "cat")))
    assert len(images) == 3 and images.shape == (28, 28, 1) and images.skipped == ()
    assert [images.label_names[label] for label in images.labels] == ["cat", "cat", "fox"]
    with pytest.raises(InputError, match=r"pics has no label 'cow'; its labels are cat, dog, fox\."):
        load_folder(pics, dataclasses.replace(config, label=("cat", "cow")))


def test_no_labels_to_choose_by(pics, config):
    draw(pics / "a.png")
    draw(pics / "b.png")
    with pytest.raises(InputError, match="pics has no labels to choose by"):
        load_folder(pics, dataclasses.replace(config, label=("a",)))


def test_what_is_hidden_or_no_picture_is_passed_over(pics, config, capsys):
    draw(pics / "a.png")
    draw(pics / "b.PNG")
    for name in (".DS_Store", "Thumbs.db", "notes.txt", "._a.png", ".git/c.png", "__MACOSX/c.png", ".trash/a/c.png"):
        (pics / name).parent.mkdir(exist_ok=True, parents=True)
        (pics / name).write_text("no picture")
    images = load_folder(pics, config)
    assert len(images) == 2 and images.skipped == () and images.labels is None
    assert capsys.readouterr().err == ""


def test_a_folder_without_pictures_says_what_it_holds(pics, config):
    with pytest.raises(InputError, match=r"pics holds no pictures, .*\.webp, .*; it holds nothing\."):
        load_folder(pics, config)
    for name in ("a.txt", "b.TXT", "c.heic", "readme", "sub/d.txt", ".hidden.png"):
        (pics / name).parent.mkdir(exist_ok=True)
        (pics / name).write_text("")
    with pytest.raises(InputError, match=r"it holds 3 \.txt, 1 \.heic, 1 without an ending\."):
        load_folder(pics, config)


def test_too_few(pics, config):
    draw(pics / "a.png")
    shutil.copy(pics / "a.png", pics / "b.png")
    with pytest.raises(InputError, match="holds 1 different pictures that can be read, but to learn from takes 2"):
        load_folder(pics, config)


def test_a_path_that_is_no_folder(pics, config):
    draw(pics / "a.png")
    with pytest.raises(InputError, match=r"pics/none does not exist; name a folder of pictures"):
        load_folder(pics / "none", config)
    with pytest.raises(InputError, match=r"a\.png is a file; name a folder"):
        load_folder(pics / "a.png", config)
    (pics / "loop").symlink_to(pics / "loop")
    with pytest.raises(InputError, match="loop does not exist"):
        load_folder(pics / "loop", config)


def test_the_home_directory(pics, config, monkeypatch):
    monkeypatch.setenv("HOME", str(pics.parent))
    draw(pics / "a.png")
    draw(pics / "b.png")
    assert len(load_folder("~/pics", config)) == 2


def test_a_folder_that_may_not_be_read(pics, config, monkeypatch):
    for name in ("a.png", "b.png", "secret/c.png"):
        draw(pics / name)
    scandir, locked = os.scandir, pics / "secret"

    def refuse(path="."):  # Not by chmod, which does not stop root.
        if str(path) == str(locked):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    images = load_folder(pics, config)
    assert len(images) == 2 and named(images) == {"secret": "Permission denied"}
    locked = pics
    with pytest.raises(InputError, match=r"The folder .*pics cannot be read \(Permission denied\)"):
        load_folder(pics, config)


def test_links(pics, config):
    for name in ("cat/a.png", "cat/b.png"):
        draw(pics / name)
    elsewhere = pics.parent / "elsewhere"
    draw(elsewhere / "c.png")
    (pics / "all").symlink_to(pics)
    (pics / "best").symlink_to(pics / "cat")  # Before cat in the order of names.
    (pics / "cat" / "up").symlink_to(pics.parent)
    (pics / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(pics / "cat")
    images = load_folder(pics, config)
    assert images.label_names == ("cat", "linked") and images.labels.tolist() == [0, 0, 1]
    why = "a link to a folder that is read anyway"
    assert named(images) == {"all": why, "best": why, "cat/up": why, "linked/back": why}


# Files that cannot be read.


def header_of_png(width, height):
    """A file that promises so many pixels and has none."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">II", zlib.crc32(body), 99) + b"IDAT"


def test_what_cannot_be_read_is_skipped_and_named(pics, config, capsys):
    for number in range(3):
        draw(pics / f"{number}.jpg", size=(200, 200))
    whole = pics / "0.jpg"
    (pics / "a.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    (pics / "b.png").write_text("I am a text.")
    (pics / "c.jpg").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (pics / "d.png").write_bytes(b"")
    (pics / "e.png").write_bytes(header_of_png(10_000, 10_000))  # Pillow would only warn.
    (pics / "f.png").write_bytes(header_of_png(60_000, 60_000))
    (pics / "g.png").symlink_to(pics / "nowhere.png")
    os.mkfifo(pics / "h.png")
    (pics / "i.png").write_bytes(header_of_png(10, 10))
    Image.new("RGB", (9, 9)).save(pics / "j.ppm")  # A format that is not among those that are opened.
    os.rename(pics / "j.ppm", pics / "j.png")
    images = load_folder(pics, dataclasses.replace(config, max_bad=0.9))
    assert len(images) == 3 and images.shape == (28, 28, 3)
    with pytest.raises(UnidentifiedImageError):
        read_square(pics / "j.png", 3, config)
    reasons = named(images)
    assert list(reasons) == [f"{name}.{'jpg' if name in 'ac' else 'png'}" for name in "abcdefghij"]
    assert "truncated" in reasons["a.jpg"] and "exceeds limit of 89478485 pixels" in reasons["e.png"]
    assert "exceeds limit" in reasons["f.png"] and "truncated" in reasons["i.png"]
    assert reasons["b.png"] == reasons["c.jpg"] == reasons["j.png"] == "it is no picture"
    assert reasons["d.png"] == "it is empty" and reasons["g.png"] == reasons["h.png"] == "it leads to no file"
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "10 of 13 files" in said and "a.jpg" in said and "d.png" not in said


def test_odd_metadata_is_no_reason_to_skip_a_picture(pics, config, capsys):
    """Of which Pillow warns, and warnings are errors here."""
    draw(pics / "a.jpg", RED, quality=100, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")  # Five entries, and none there.
    draw(pics / "b.jpg", BLUE)
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        read_square(pics / "a.jpg", 3, config)
    images = load_folder(pics, config)
    assert len(images) == 2 and images.skipped == () and capsys.readouterr().err == ""


def test_names_that_are_no_text(pics, config, capsys):
    draw(pics / "a.png")
    draw(pics / "b.png")
    with open(os.fsencode(pics) + b"/\xff\xe9.png", "wb") as file:
        file.write(b"no picture")
    images = load_folder(pics, dataclasses.replace(config, max_bad=0.5))
    images.skipped[0].encode()
    assert images.skipped == ("\\udcff\\udce9.png: it is no picture",)


def test_more_bad_files_than_allowed(pics, config, capsys):
    for number in range(19):
        draw(pics / f"{number:02}.png")
    (pics / "bad1.png").write_text("no picture")
    assert len(load_folder(pics, config)) == 19  # 1 of 20 is 0.05.
    for number in range(2, 6):
        (pics / f"bad{number}.png").write_text("no picture")
    before = left_behind()
    capsys.readouterr()
    several = r"5 of 24 pictures in .* cannot be read \(bad1.png: .*bad3.png: it is no picture\); .* --max-bad 0\.2\."
    with pytest.raises(InputError, match=several):
        load_folder(pics, dataclasses.replace(config, max_bad=0.2))
    assert left_behind() == before and capsys.readouterr().out == ""  # Before anything is decoded.
    assert len(load_folder(pics, dataclasses.replace(config, max_bad=0.21))) == 19
    with pytest.raises(InputError, match="5 of 24"):  # Which now come from the cache.
        load_folder(pics, config)


def test_a_bad_file_does_not_look_rarer_for_duplicates(pics, config):
    for name in "abc":
        draw(pics / f"{name}.png")
        shutil.copy(pics / f"{name}.png", pics / f"{name}2.png")
    (pics / "bad.png").write_text("no picture")
    with pytest.raises(InputError, match="1 of 4 pictures"):
        load_folder(pics, dataclasses.replace(config, max_bad=0.2))


def test_too_many_that_are_truncated_leave_nothing_either(pics, config):
    for number in range(4):
        draw(pics / f"{number}.jpg", size=(200, 200))
        whole = (pics / f"{number}.jpg").read_bytes()
        (pics / f"{number}.jpg").write_bytes(whole[: len(whole) // 2] if number else whole)
    with pytest.raises(InputError, match="3 of 4"):
        load_folder(pics, config)
    with pytest.raises(InputError, match="holds 1 different"):
        load_folder(pics, dataclasses.replace(config, max_bad=1))
    assert left_behind() == []


def test_exact_duplicates_are_used_once_and_are_not_bad(pics, config, capsys):
    draw(pics / "a.png", RED)
    draw(pics / "b.bmp", GREEN)
    draw(pics / "c.bmp", BLUE)  # As many bytes as b.bmp.
    for name in ("0.png", "d.png", "sub/e.png"):
        (pics / name).parent.mkdir(exist_ok=True)
        shutil.copy(pics / "a.png", pics / name)
    images = load_folder(pics, dataclasses.replace(config, max_bad=0))
    assert images.images[:, 5, 5].tolist() == [list(RED), list(GREEN), list(BLUE)]
    assert named(images) == dict.fromkeys(["a.png", "d.png", "sub/e.png"], "the same file as 0.png")
    assert "3 of 6 files" in capsys.readouterr().err


@pytest.mark.parametrize("background", ["no-colour", "#12345", ""])
def test_a_background_that_is_no_colour(pics, config, background):
    with pytest.raises(InputError, match=r"--background is .*, but it must be a colour's name"):
        load_folder(pics, dataclasses.replace(config, background=background))


# The cache.


@pytest.fixture
def some(pics):
    for number in range(5):
        draw(pics / f"{number}.png")
    return pics


def test_decoded_once(some, config, monkeypatch, capsys):
    (some / "bad.png").write_text("no picture")
    shutil.copy(some / "0.png", some / "copy.png")
    config = dataclasses.replace(config, max_bad=0.2)
    first = load_folder(some, config)
    said = capsys.readouterr()
    assert "Decoding 5 pictures, once" in said.out and "5/5" in said.out
    monkeypatch.setattr(folder, "make", None)
    again = load_folder(some, dataclasses.replace(config, epochs=9, max_bad=0.3, flip=True, seed=4))
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(first.images, again.images)
    assert first.fingerprint == again.fingerprint == hashlib.sha256(first.images.tobytes()).hexdigest()
    assert first.skipped == again.skipped and len(first.skipped) == 2


def test_memory_mapped_and_read_only(some, config):
    images = load_folder(some, config).images
    assert isinstance(images, np.memmap) and not images.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


@pytest.mark.parametrize("change", [{"image_size": 32}, {"fit": "pad"}, {"background": "black"}])
def test_decoded_anew_for_other_options(some, config, change):
    first = load_folder(some, config)
    other = load_folder(some, dataclasses.replace(config, **change))
    assert first.images.filename != other.images.filename


def test_one_colour_by_two_names_is_decoded_once(some, config):
    first = load_folder(some, config)
    assert load_folder(some, dataclasses.replace(config, background="#ffffff")).images.filename == first.images.filename


def test_decoded_anew_for_other_files(some, config):
    first = load_folder(some, config)
    draw(some / "2.png", RED)
    assert load_folder(some, config).images[2, 5, 5].tolist() == list(RED)
    os.rename(some / "2.png", some / "9.png")
    assert load_folder(some, config).images[4, 5, 5].tolist() == list(RED)
    os.rename(some / "9.png", some / "8.png")  # In the same place.
    load_folder(some, config)
    os.utime(some / "0.png", (1, 1))
    load_folder(some, config)
    shutil.copytree(some, some.parent / "other")  # With the same names, sizes and times, but who knows what in it.
    load_folder(some.parent / "other", config)
    assert len(list((cache_folder() / "gan_tf").iterdir())) == 6
    assert len(first) == 5


def truncate(place):
    with open(place / "pixels.npy", "r+b") as file:
        file.truncate(3000)


def pickled(place):
    raw = (place / "pixels.npy").read_bytes()
    np.save(place / "pixels.npy", np.array([{}] * 9, object), allow_pickle=True)
    with open(place / "pixels.npy", "ab") as file:
        file.write(bytes(len(raw) - file.tell()))


@pytest.mark.parametrize(
    "spoil",
    [
        truncate,
        pickled,
        lambda place: (place / "pixels.npy").write_bytes(b""),
        lambda place: (place / "pixels.npy").write_bytes((place / "pixels.npy").read_bytes() + b"more"),
        lambda place: (place / "pixels.npy").unlink(),
        lambda place: (place / "info.json").unlink(),
        lambda place: (place / "info.json").write_text("{"),
        lambda place: (place / "info.json").write_text("[]"),
        lambda place: (place / "info.json").write_text("{}"),
        lambda place: (place / "info.json").write_text(json.dumps({"bytes": os.path.getsize(place / "pixels.npy")})),
        lambda place: (place / "info.json").write_bytes(b"\xff"),
        lambda place: (shutil.rmtree(place), place.write_text("")),
    ],
)
def test_a_damaged_cache_is_made_anew(some, config, spoil):
    first = load_folder(some, config)
    pixels, files = first.images.copy(), left_behind()
    [place] = (cache_folder() / "gan_tf").iterdir()
    size = os.path.getsize(first.images.filename)
    del first
    spoil(place)
    again = load_folder(some, config)
    np.testing.assert_array_equal(again.images, pixels)
    assert os.path.getsize(again.images.filename) == size
    assert left_behind() == files == [f"gan_tf/{place.name}{name}" for name in ("", "/info.json", "/pixels.npy")]


@pytest.mark.parametrize("damaged", [False, True])
def test_two_at_once_both_succeed_and_one_copy_remains(some, config, monkeypatch, damaged):
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
    assert len(left_behind()) == 3


def test_ctrl_c_leaves_nothing(some, config, monkeypatch):
    calls = []

    def stopped(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read_square(*arguments)

    monkeypatch.setattr(folder, "read_square", stopped)
    with pytest.raises(KeyboardInterrupt):
        load_folder(some, config)
    assert left_behind() == []


def test_what_a_killed_process_left_is_swept_away(some, config):
    base = cache_folder() / "gan_tf"
    for name, age in ((".new-old", 25), (".new-now", 1)):
        (base / name).mkdir(parents=True)
        (base / name / "pixels.npy").write_bytes(b"half")
        os.utime(base / name, (time.time() - age * 3600,) * 2)
    load_folder(some, config)
    assert not (base / ".new-old").exists() and (base / ".new-now").exists()


def test_a_disk_that_gets_full(some, config):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))  # A real error of a real write, if not that one.
    try:
        with pytest.raises(
            InputError, match=r"must hold up to 1 MB of decoded pictures, but cannot \(File too large\)"
        ):
            load_folder(some, config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left_behind() == []


def test_a_disk_that_is_too_full_to_begin(some, config, monkeypatch, capsys):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5 * 512 * 512 * 3 - 1)
    )
    with pytest.raises(InputError, match=r"hold up to 4 MB .*\(No space left on device\); make room .* KERAS_HOME"):
        load_folder(some, dataclasses.replace(config, image_size=512))
    assert left_behind() == [] and capsys.readouterr().out == ""


def test_a_cache_that_cannot_be_written(some, config, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"gan_tf must hold .* but cannot \(Not a directory\); .* KERAS_HOME"):
        load_folder(some, config)


def test_few_results_wait_in_memory():
    begun, lock = [], threading.Lock()

    def work(number):
        with lock:
            begun.append(number)
        return number

    taken = []
    with ThreadPoolExecutor(4) as pool:
        for number in in_order(pool, work, list(range(500))):
            taken.append(number)
            time.sleep(0.0005)
            assert len(begun) - len(taken) <= 64
    assert taken == list(range(500))
