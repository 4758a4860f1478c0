import contextlib
import dataclasses
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data import decoding
from gan_tf.data.decoding import Failed, attempt, map_in_order, parse_colour, pillow_warnings, read_picture

RED, GREEN, BLUE, TEAL = (250, 10, 20), (10, 240, 30), (20, 30, 230), (0, 128, 128)


@pytest.fixture
def config():
    return Config(dataset="./pics", image_size=28)


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
def test_formats(tmp_path, config, name, options):
    Image.new("RGB", (40, 30), RED).save(tmp_path / name, **options)
    square = read_picture(tmp_path / name, 3, config)
    assert square.shape == (28, 28, 3) and square.dtype == np.uint8
    np.testing.assert_allclose(square.astype(int), np.broadcast_to(RED, (28, 28, 3)), atol=2)


@pytest.mark.parametrize("kind, options", [("gif", {}), ("webp", {"lossless": True}), ("png", {}), ("tiff", {})])
def test_an_animation_gives_its_first_frame(tmp_path, config, kind, options):
    first, second = (Image.new("RGB", (28, 28), colour) for colour in (RED, BLUE))
    first.save(tmp_path / f"a.{kind}", save_all=True, append_images=[second], **options)
    assert read_picture(tmp_path / f"a.{kind}", 3, config)[5, 5].tolist() == list(RED)


def test_the_content_decides_the_format_and_not_the_suffix(tmp_path, config):
    Image.new("RGB", (9, 9), RED).save(tmp_path / "png.jpg", "PNG")
    assert read_picture(tmp_path / "png.jpg", 3, config)[5, 5].tolist() == list(RED)
    Image.new("RGB", (9, 9), RED).save(tmp_path / "ppm.png", "PPM")  # Not among the formats that may be opened.
    with pytest.raises(UnidentifiedImageError):
        read_picture(tmp_path / "ppm.png", 3, config)


@pytest.mark.parametrize(
    "mode, name", [("P", "a.png"), ("RGBA", "a.png"), ("CMYK", "a.tif"), ("CMYK", "a.jpg"), ("YCbCr", "a.jpg")]
)
def test_colour_modes(tmp_path, config, mode, name):
    Image.new("RGB", (40, 30), TEAL).convert(mode).save(tmp_path / name)
    np.testing.assert_allclose(read_picture(tmp_path / name, 3, config)[5, 5].astype(int), TEAL, atol=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_modes(tmp_path, config, mode, channels):
    white = {"I;16": 65535, "I": 65535, "F": 1.0, "LA": (255, 255)}.get(mode, 255)
    picture = Image.new(mode, (28, 28), white)
    picture.paste(0 if mode != "LA" else (0, 255), (0, 0, 14, 28))
    picture.save(tmp_path / "a.tif")
    square = read_picture(tmp_path / "a.tif", channels, config)
    assert square.shape == (28, 28, channels)
    assert square[14, 3].tolist() == [0] * channels and square[14, 24].tolist() == [255] * channels


@pytest.mark.parametrize(
    "name, dtype, white",
    [
        ("a.png", "<u2", 65535),
        ("a.tif", "<u2", 65535),
        ("a.tif", ">u2", 65535),
        ("a.tif", "<i4", 65535),
        ("a.tif", "f4", 1),
    ],
)
def test_deep_pixels_are_scaled_to_8_bits_without_clipping(tmp_path, config, name, dtype, white):
    values = np.linspace(0, white, 28 * 28, dtype=np.float32).reshape(28, 28).astype(dtype)
    Image.fromarray(values).save(tmp_path / name)
    expected = np.round(values.astype(np.float32) * (255 / white))
    np.testing.assert_array_equal(read_picture(tmp_path / name, 1, config)[..., 0], expected)


@pytest.mark.parametrize("worst, dtype", [(300.0, "f4"), (-0.5, "f4"), (np.nan, "f4"), (70000, "i4"), (-1, "i4")])
def test_pixels_of_unknown_range_are_refused(tmp_path, config, worst, dtype):
    values = np.full((28, 28), 1, dtype)
    values[3, 4] = worst
    Image.fromarray(values).save(tmp_path / "a.tif")
    result = attempt(read_picture, tmp_path / "a.tif", 1, config)
    assert isinstance(result, Failed) and result.reason.startswith("its values range from ")


def test_transparent_areas_show_the_background(tmp_path, config):
    on_teal = dataclasses.replace(config, background="teal")
    Image.new("RGBA", (28, 28), (*RED, 128)).save(tmp_path / "half.png")
    half = [round((a * 128 + b * 127) / 255) for a, b in zip(RED, TEAL, strict=True)]
    np.testing.assert_allclose(read_picture(tmp_path / "half.png", 3, on_teal)[5, 5], half, atol=1)
    Image.new("LA", (28, 28), (200, 0)).save(tmp_path / "la.png")
    assert read_picture(tmp_path / "la.png", 3, on_teal)[5, 5].tolist() == list(TEAL)
    assert read_picture(tmp_path / "la.png", 1, config)[5, 5].tolist() == [255]
    palette = Image.new("P", (28, 28), 1)
    palette.putpalette([*RED, *BLUE, *GREEN])
    palette.paste(2, (0, 0, 14, 28))
    palette.save(tmp_path / "index.png", transparency=1)
    palette.save(tmp_path / "index.gif", transparency=1)
    palette.save(tmp_path / "table.png", transparency=bytes([255, 0, 255]))  # Pillow warns about these.
    for name in ("index.png", "index.gif", "table.png"):
        with pillow_warnings():
            square = read_picture(tmp_path / name, 3, on_teal)
        assert square[5, 24].tolist() == list(TEAL) and square[5, 3].tolist() == list(GREEN)
    Image.new("L", (28, 28), 90).save(tmp_path / "key.png", transparency=90)
    assert read_picture(tmp_path / "key.png", 3, on_teal)[5, 5].tolist() == list(TEAL)


def test_transparency_is_kept_as_a_fourth_channel(tmp_path, config):
    config = dataclasses.replace(config, alpha=True, background="teal")
    picture = Image.new("RGBA", (28, 28), (*RED, 255))
    picture.paste((*BLUE, 128), (0, 0, 14, 14))
    picture.paste((*GREEN, 0), (14, 14, 28, 28))
    picture.save(tmp_path / "a.png")
    pixels = read_picture(tmp_path / "a.png", 4, config)
    assert pixels.shape == (28, 28, 4) and pixels.dtype == np.uint8
    assert pixels[5, 24].tolist() == [*RED, 255]
    np.testing.assert_allclose(pixels[5, 5].astype(int), [*BLUE, 128], atol=1)
    assert pixels[24, 24].tolist() == [*TEAL, 0]  # Nobody sees its green.
    Image.new("RGB", (28, 28), RED).save(tmp_path / "opaque.png")
    assert (read_picture(tmp_path / "opaque.png", 4, config) == (*RED, 255)).all()
    Image.new("LA", (28, 14), (90, 200)).save(tmp_path / "grey.png")
    padded = read_picture(tmp_path / "grey.png", 4, dataclasses.replace(config, fit="pad"))
    np.testing.assert_allclose(padded[14, 14].astype(int), [90, 90, 90, 200], atol=1)
    assert padded[1, 14].tolist() == padded[26, 14].tolist() == [*TEAL, 0]


def mode_files(folder):
    """A picture of random pixels in each mode that a file can have, with its transparency."""
    random = np.random.default_rng(0)
    colours = Image.fromarray(random.integers(0, 256, (61, 47, 4), np.uint8))
    deep = {
        "I;16": random.integers(0, 65536, (61, 47)).astype(np.uint16),
        "I": random.integers(0, 65536, (61, 47)).astype(np.int32),
        "F": random.random((61, 47)).astype(np.float32),
    }
    palette = colours.convert("RGB").quantize(16)
    pictures = {mode: colours.convert(mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")}
    pictures |= {"P": palette} | {mode: Image.fromarray(values) for mode, values in deep.items()}
    for mode, picture in pictures.items():
        picture.save(folder / f"{mode.replace(';', '')}.tif")
    palette.save(folder / "P.png", transparency=3)
    palette.save(folder / "P table.png", transparency=bytes(range(0, 256, 16)))
    palette.save(folder / "P.gif", transparency=3)
    colours.convert("RGB").save(folder / "RGB key.png", transparency=colours.convert("RGB").getpixel((5, 5)))
    colours.convert("L").save(folder / "L key.png", transparency=90)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_that_is_converted_in_parts_has_the_same_bits(tmp_path, config, channels, monkeypatch):
    config = dataclasses.replace(config, background="teal", alpha=channels == 4)
    files = mode_files(tmp_path)
    with pillow_warnings():
        whole = [read_picture(path, channels, config) for path in files]
        monkeypatch.setattr(decoding, "PIXELS_PER_PART", 300)  # Six rows.
        for path, expected in zip(files, whole, strict=True):
            np.testing.assert_array_equal(read_picture(path, channels, config), expected, path.name)
    assert len(files) == 16


@pytest.mark.parametrize("mode, channels", [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_a_large_picture_that_needs_no_conversion_is_not_copied(mode, channels, monkeypatch):
    monkeypatch.setattr(decoding, "PIXELS_PER_PART", 300)
    picture = Image.new(mode, (47, 61))
    assert decoding.convert(picture, channels, "white") is picture


PEAK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from gan_tf.config import Config
from gan_tf.data import decoding
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
decoding.PIXELS_AT_ONCE = decoding.Budget(2 * 10**7)
before, config = peak(), Config(dataset="./pics", image_size=28)
with ThreadPoolExecutor(3) as pool:
    list(pool.map(lambda _: decoding.read_picture(Path(sys.argv[1]), int(sys.argv[2]), config), range(3)))
print(1024 * (peak() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak memory in /proc")
@pytest.mark.parametrize("mode, channels", [("RGBA", 3), ("I;16", 1)])
def test_large_pictures_take_little_more_memory_than_two_copies_of_one(tmp_path, mode, channels):
    Image.new(mode, (4000, 4000)).save(tmp_path / "a.png", compress_level=1)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "a.png"), str(channels)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 11 * 4000 * 4000  # Four bytes a pixel and copy, and a part's copies.


def test_a_budget_is_never_exceeded_and_the_largest_wish_gets_all_of_it():
    budget, held, most, lock = decoding.Budget(10), [], [], threading.Lock()

    def work(amount):
        with budget.hold(amount):
            with lock:
                held.append(amount)
                most.append(sum(held))
            time.sleep(0.001)
            with lock:
                held.remove(amount)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [1, 4, 4, 99, 3, 6, 2, 99, 5, 5] * 5))
    assert len(most) == 50 and most.count(99) == 10
    assert max(total for total in most if total != 99) <= 10 and budget.left == 10


def test_pictures_wait_until_there_is_room_for_their_pixels(tmp_path, config, monkeypatch):
    held = []

    class Budget:
        def hold(self, amount):
            held.append(amount)
            return contextlib.nullcontext()

    monkeypatch.setattr(decoding, "PIXELS_AT_ONCE", Budget())
    Image.new("RGB", (800, 640), RED).save(tmp_path / "a.png")
    Image.new("RGB", (800, 640), RED).save(tmp_path / "a.jpg")
    Image.new("RGB", (800, 640), RED).save(tmp_path / "b.jpg", progressive=True)
    for name in ("a.png", "a.jpg", "b.jpg"):
        read_picture(tmp_path / name, 3, config)
    # A JPEG is decoded at an eighth of its size, but a progressive one's coefficients are read in full.
    assert held == [800 * 640, 100 * 80, 800 * 640]


def test_invisible_colours_do_not_bleed_into_transparent_edges(tmp_path, config):
    pixels = np.zeros((280, 280, 4), np.uint8)  # Transparent black on the left,
    pixels[:, 145:] = 240, 200, 40, 255  # and opaque yellow on the right.
    Image.fromarray(pixels).save(tmp_path / "a.png")
    small = read_picture(tmp_path / "a.png", 4, dataclasses.replace(config, alpha=True)).astype(int)
    assert {0, 255} < {*small[..., 3].ravel().tolist()}  # There are pixels between.
    error = small[small[..., 3] > 16][:, :3] - (240, 200, 40)
    assert error.min() > -10 and error.max() < 25  # Bicubic filters overshoot a little.


def test_invisible_colours_do_not_bleed_into_edges(tmp_path, config):
    """The transparent half is red. Resizing before compositing would tint the edge."""
    pixels = np.zeros((280, 280, 4), np.uint8)
    pixels[..., 0], pixels[:, 145:] = 255, (255, 255, 255, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 3, config).min() == 255


@pytest.mark.parametrize("name, orientation", [*(("a.jpg", n) for n in range(1, 9)), ("a.png", 6), ("a.tif", 6)])
def test_exif_orientation(tmp_path, config, name, orientation):
    picture = Image.new("RGB", (56, 56), RED)
    picture.paste(BLUE, (0, 0, 28, 28))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(tmp_path / name, exif=exif, **({"quality": 100, "subsampling": 0} if name == "a.jpg" else {}))
    square = read_picture(tmp_path / name, 3, config).astype(int)
    corners = [square[y, x] for y, x in ((3, 3), (3, 24), (24, 24), (24, 3))]
    # Orientations 1 to 4 put the first pixel top left, top right, bottom right and bottom left. 5 to 8 do the same,
    # with rows and columns swapped.
    expected = (orientation - 1) % 4
    for corner, colour in enumerate(corners):
        np.testing.assert_allclose(colour, BLUE if corner == expected else RED, atol=4)


@pytest.mark.parametrize("wide", [True, False])
def test_the_three_fits(tmp_path, config, wide):
    picture = Image.new("RGB", (84, 28) if wide else (28, 84), GREEN)  # Three squares: red, green, blue.
    picture.paste(RED, (0, 0, 28, 28))
    picture.paste(BLUE, (56, 0, 84, 28) if wide else (0, 56, 28, 84))
    picture.save(tmp_path / "a.png")

    def middle_lines(fit):
        """The middle lines of pixels along the picture's long side and across it."""
        square = read_picture(tmp_path / "a.png", 3, dataclasses.replace(config, fit=fit, background="#008080"))
        assert square.shape == (28, 28, 3)
        return (square[14], square[:, 14]) if wide else (square[:, 14], square[14])

    along, _ = middle_lines("crop")
    assert (along == GREEN).all()
    along, across = middle_lines("stretch")
    assert along[3].tolist() == list(RED) and along[24].tolist() == list(BLUE) and (across == GREEN).all()
    along, across = middle_lines("pad")
    assert along[3].tolist() == list(RED) and along[24].tolist() == list(BLUE)
    green = (across == GREEN).all(axis=1)
    assert green[10:18].all() and (across[~green][[0, -1]] == TEAL).all() and 18 <= np.sum(across == TEAL) / 3 <= 20


@pytest.mark.parametrize("size, red, blue", [("48x24", (12, 0), (12, 47)), ("24x48", (0, 12), (47, 12))])
def test_the_three_fits_of_an_oblong_size(tmp_path, config, size, red, blue):
    """A red, a green and a blue square side by side or below each other: all three fit by stretching only."""
    config = dataclasses.replace(config, image_size=size, background="#008080")
    picture = Image.new("RGB", (72, 24) if config.sides == (24, 48) else (24, 72), GREEN)
    picture.paste(RED, (0, 0, 24, 24))
    picture.paste(BLUE, (picture.width - 24, picture.height - 24, picture.width, picture.height))
    picture.save(tmp_path / "a.png")
    cropped, stretched, padded = (
        read_picture(tmp_path / "a.png", 3, dataclasses.replace(config, fit=fit)) for fit in ("crop", "stretch", "pad")
    )
    for pixels in (cropped, stretched, padded):
        assert pixels.shape == (*config.sides, 3)
        assert [*map(tuple, (pixels[red], pixels[blue]))] == [RED, BLUE]
    reds = [np.mean(pixels[..., 0] > 128) for pixels in (cropped, stretched, padded)]
    assert reds == pytest.approx([1 / 4, 1 / 3, 2 / 9], abs=0.01)
    assert np.mean(np.all(padded == TEAL, axis=2)) == pytest.approx(1 / 3)


def test_a_photograph_on_its_side_is_decoded_as_large_as_its_size_needs(tmp_path, config):
    stripes = (np.arange(400) // 4 % 2 * 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # Its rows become columns.
    Image.fromarray(np.tile(stripes[:, None], (1, 3200))).save(tmp_path / "a.jpg", exif=exif, quality=100)
    pixels = read_picture(tmp_path / "a.jpg", 1, dataclasses.replace(config, image_size="400x16"))
    # Decoded at a quarter of its size, which is enough for pictures that stand upright, it would be all grey.
    assert pixels.shape == (16, 400, 1) and np.abs(pixels[8, ::-1, 0].astype(int) - stripes).mean() < 20


def test_grey_pictures_are_padded_with_grey(tmp_path, config):
    Image.new("L", (28, 14), 9).save(tmp_path / "a.png")
    square = read_picture(tmp_path / "a.png", 1, dataclasses.replace(config, fit="pad", background="#808080"))
    assert square[1, 5, 0] == 128 and square[14, 5, 0] == 9


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_extreme_shapes(tmp_path, config, fit):
    for size in ((1, 2000), (2000, 1), (1, 1), (3, 5)):
        Image.new("RGB", size, RED).save(tmp_path / "a.png")
        square = read_picture(tmp_path / "a.png", 3, dataclasses.replace(config, fit=fit))
        assert square.shape == (28, 28, 3) and (square == RED).all(axis=-1).any()


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_shrinking_antialiases(tmp_path, config, name, fit):
    board = (np.indices((300, 300)).sum(axis=0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / name, **({"quality": 100} if name == "a.jpg" else {}))
    square = read_picture(tmp_path / name, 1, dataclasses.replace(config, fit=fit))
    np.testing.assert_allclose(square[2:-2, 2:-2].astype(int), 127.5, atol=4)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_enlarging_is_smooth(tmp_path, config, fit):
    ramp = np.tile(np.array([0, 85, 170, 255], np.uint8), (4, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png")
    row = read_picture(tmp_path / "a.png", 1, dataclasses.replace(config, fit=fit))[14, :, 0].astype(int)
    assert (np.diff(row) >= 0).all() and np.diff(row).max() < 30 and row[0] < 10 and row[-1] > 245


def test_fast_jpeg_decoding_is_as_good_as_full_decoding(tmp_path, config):
    waves = np.sin(np.indices((120, 160)) / [[[5.0]], [[4.0]]])
    pixels = (127 + 60 * waves[0] + 60 * waves[1]).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as picture:
        expected = np.asarray(ImageOps.fit(picture, (28, 28), Image.Resampling.BICUBIC), int)
    np.testing.assert_allclose(read_picture(tmp_path / "a.jpg", 1, config)[..., 0], expected, atol=4)


@pytest.mark.parametrize("background", ["no-colour", "#12345", ""])
def test_a_background_that_is_not_a_colour(background):
    with pytest.raises(InputError, match=f"--background is {background}, but it must be a colour name"):
        parse_colour(background)


def test_map_in_order_keeps_few_results_in_memory(capsys):
    started, lock = [], threading.Lock()

    def work(number):
        with lock:
            started.append(number)
        return number

    taken = []
    with ThreadPoolExecutor(4) as pool:
        for number in map_in_order(pool, work, range(100), waiting=10):
            taken.append(number)
            time.sleep(0.001)
            assert len(started) - len(taken) <= 10
    assert taken == list(range(100)) and "100/100" in capsys.readouterr().out
