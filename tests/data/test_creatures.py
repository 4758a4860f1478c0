import dataclasses

import numpy as np
import pytest

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data import creatures
from gan_tf.data.creatures import EYES, FIELDS, SPECIES, draw, load_creatures, parameters

# A creature that looks straight ahead, from the middle of every range.
MIDDLE = {name: (low + high) / 2 for name, _, low, high in FIELDS}


def some(count, **values):
    """`count` creatures that have these values, and otherwise those in the middle."""
    known = np.empty(count, parameters(0).dtype)
    for name, value in (MIDDLE | {"species": 0, "eye": 0} | values).items():
        known[name] = value
    return known


def everyone(**values):
    """One of every species with every kind of eye."""
    kinds = np.arange(len(SPECIES) * len(EYES))
    return some(len(kinds), **({"species": kinds // len(EYES), "eye": kinds % len(EYES)} | values))


def oklab(pictures):
    """Their colours as a + ib: hue is the angle, chroma the length (Ottosson 2020, inverted)."""
    srgb = np.moveaxis(pictures, -1, 0).reshape(3, -1) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    roots = np.cbrt(np.linalg.inv(creatures.TO_LINEAR) @ linear)
    _, a, b = np.linalg.inv(creatures.OKLAB_TO_ROOTS) @ roots
    return (a + 1j * b).reshape(pictures.shape[:-1])


def fur_hue(pictures):
    """The hue of the fur, which is the most colourful thing in the middle of a picture."""
    edge = pictures.shape[1] // 4
    colour = oklab(pictures[:, edge:-edge, edge:-edge])
    return np.angle(np.sum(colour * abs(colour), axis=(1, 2))) / (2 * np.pi) % 1


def around(difference):
    """The size of a difference of two hues."""
    return abs((difference + 0.5) % 1 - 0.5)


def levels(a, b):
    """How many of 255 levels two pictures differ by, on average and at most."""
    difference = abs(a.astype(int) - b)
    return difference.mean(), difference.max()


def test_the_same_seed_gives_the_same_creatures_and_another_seed_others():
    np.testing.assert_array_equal(parameters(50, seed=3), parameters(50, seed=3))
    assert not np.isin(parameters(50, seed=3)["hue"], parameters(50, seed=4)["hue"]).any()
    np.testing.assert_array_equal(draw(parameters(12), 28), draw(parameters(12), 28))


def test_creatures_are_numbered_and_endless():
    known = parameters(300, seed=2)
    for start in (0, 5, 299):
        np.testing.assert_array_equal(parameters(300 - start, 2, start), known[start:])
    assert np.unique(known).size == 300
    assert parameters(1, start=10**15)["hue"] != known["hue"][0]
    assert parameters(1, seed=2, start=np.uint8(200)) == known[200]


def test_every_parameter_is_uniform_over_its_range():
    known = parameters(6000, seed=1)
    for name, _, low, high in FIELDS:
        counts = np.histogram(known[name], np.linspace(low, high, 5 if name == "eye" else 7))[0]
        expected = 6000 / len(counts)
        assert np.sum((counts - expected) ** 2 / expected) < 25, name  # Chi squared: once in 5,000.
    numbers = np.stack([known[name] for name, *_ in FIELDS])
    assert abs(np.corrcoef(numbers) - np.eye(len(FIELDS))).max() < 0.06
    assert set(known["species"]) == set(range(len(SPECIES))) and set(known["eye"]) == set(range(len(EYES)))


@pytest.mark.parametrize("size", [28, 64])
def test_a_creature_looks_the_same_in_any_company(size):
    known = parameters(200)
    together = draw(known, size)
    for row in range(0, 200, 5):
        np.testing.assert_array_equal(draw(known[row : row + 1], size)[0], together[row])


def test_no_pixel_is_left_out_and_none_overflows():
    """The lightest things are cream and white, on a pastel: a wrapped or an unpainted pixel would be a dark speck."""
    pictures = draw(parameters(300, seed=8), 28).astype(int)
    assert pictures.max(axis=-1).min() > 30  # Ink is the darkest that there is.
    assert pictures[:, 0].min() > 100 and np.median(pictures[:, 0]) > 200  # The top row is background, and ears.


@pytest.mark.parametrize("size, close", [(28, 4), (64, 1.3), (96, 1.1), (512, 1.5)])
def test_a_creature_looks_the_same_at_every_size(size, close):
    from PIL import Image

    known = everyone(tilt=12, turn=0.5, mouth=0.9)[:: 3 if size == 512 else 1]
    large = draw(known, 256)
    assert large.shape[1:] == (256, 256, 3) and large.dtype == np.uint8
    for ours, theirs in zip(draw(known, size), large, strict=True):
        scaled = np.asarray(Image.fromarray(theirs).resize((size, size), Image.Resampling.BOX))
        assert levels(ours, scaled)[0] < close


def test_a_mirrored_pose_is_a_mirrored_picture():
    pose = {"tilt": 15.0, "turn": 0.7, "x": -0.4}
    pictures = draw(everyone(**pose), 64)
    mirrored = draw(everyone(**{name: -value for name, value in pose.items()}), 64)
    assert levels(mirrored[:, :, ::-1], pictures)[1] <= 2
    assert levels(mirrored, pictures)[0] > 8


@pytest.mark.parametrize("name", [field[0] for field in FIELDS])
def test_every_parameter_can_be_seen(name):
    low, high = next(field[2:] for field in FIELDS if field[0] == name)
    low, high = (0, 1) if name in ("species", "eye") else (low, high - 0.5 if name == "hue" else high)
    mouthless = [SPECIES.index("frog"), SPECIES.index("owl")] if name == "mouth" else []
    before, after = (everyone(**{name: value}) for value in (low, high))
    for species, a, b in zip(before["species"], draw(before, 64), draw(after, 64), strict=True):
        assert (levels(a, b)[0] > 0.15) == (species not in mouthless)


def test_shapes_change_where_they_are():
    def changed(**values):
        kinds = {name: values.pop(name) for name in ("species",) if name in values}
        a, b = (draw(some(1, **kinds, **{name: pair[i] for name, pair in values.items()}), 64)[0] for i in (0, 1))
        return np.argwhere(abs(a.astype(int) - b).sum(axis=-1) > 30)

    eyes = changed(eye=(0, 3))
    assert eyes[:, 0].min() > 28 and eyes[:, 0].max() < 42  # Rows: the eyes are just below the middle,
    assert {*(eyes[:, 1] > 32)} == {True, False}  # on both sides.
    ears = changed(ear=(0, 1), species=SPECIES.index("cat"))
    assert ears[:, 0].max() < 30
    mouth = changed(mouth=(0, 1))
    assert mouth[:, 0].min() > 40 and mouth[:, 1].min() > 24 and mouth[:, 1].max() < 40
    assert changed(background=(0.3, 0.7))[:, 1].min() == 0


def test_markings_end_where_the_head_ends():
    """A fox's cheeks would be wider than its face: beside them, the picture's background is to be seen."""
    known = some(2, species=SPECIES.index("fox"), background=[0.3, 0.7])
    a, b = draw(known, 64).astype(int)
    atomic_write, cheek = (48, 9), (44, 19)
    assert abs(a - b)[atomic_write].max() > 10 and abs(a - b)[cheek].max() == 0
    assert a[cheek].min() > 150


def test_a_head_moves_and_turns_as_its_parameters_say():
    """The ink of a bear's nose and eyes, by its middle and by the line through both eyes."""

    def ink(**values):
        dark = draw(some(1, **values), 128)[0].max(axis=-1) < 90
        rows, columns = np.nonzero(dark)
        left, right = columns < columns.mean() - 12, columns > columns.mean() + 12  # Nose and mouth are nearer.
        slope = (rows[right].mean() - rows[left].mean()) / (columns[right].mean() - columns[left].mean())
        return columns.mean(), rows.mean(), np.rad2deg(np.arctan(slope))

    column, row, angle = ink()
    assert abs(column - 63.5) < 0.5 and abs(angle) < 0.5
    assert ink(x=1)[0] - column == pytest.approx(0.08 * 64, abs=1)
    assert ink(y=1)[1] - row == pytest.approx(0.05 * 64, abs=1)
    assert ink(turn=1)[0] > column + 5
    assert ink(tilt=15)[2] == pytest.approx(15, abs=3) and ink(tilt=-15)[2] == pytest.approx(-15, abs=3)


@pytest.mark.parametrize("size", [28, 64])
def test_the_hue_can_be_read_from_the_picture(size):
    known = parameters(400, seed=6)
    error = around(fur_hue(draw(known, size)) - known["hue"])
    assert error.max() < 0.08 and np.median(error) < 0.02


def test_hues_look_equally_strong():
    """No hue is grey, and none shouts: what the fur has of colour is alike around the circle."""
    known = some(24, hue=np.arange(24) / 24)
    fur = draw(known, 64)[:, 30:34, 10:16].reshape(24, -1, 3)
    chroma = abs(oklab(fur)).mean(axis=1)
    assert chroma.min() > 0.07 and chroma.max() < 0.16
    grey = fur.mean(axis=1) @ [0.299, 0.587, 0.114]
    assert grey.min() > 130 and grey.max() < 225


def test_species_can_be_told_apart_at_a_glance():
    """By ridge regression, from 16x16 pixels without colour, which says nothing about the species."""
    known = parameters(600, seed=7)
    thumbnails = draw(known, 32).reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4, 5)).reshape(600, -1) / 255 - 0.5
    seen, wanted = thumbnails[:450], np.eye(len(SPECIES))[known["species"][:450]]
    weights = np.linalg.solve(seen.T @ seen + 3 * np.eye(256), seen.T @ wanted)
    told = np.argmax(thumbnails[450:] @ weights, axis=1)
    assert np.mean(told == known["species"][450:]) > 0.95  # Chance is 0.17.


@pytest.fixture
def few(monkeypatch):
    """A data set of 60 creatures, which are drawn in no time."""
    monkeypatch.setattr(creatures, "COUNT", 60)
    return Config(dataset="creatures", image_size=28)


def test_the_data_set_is_the_first_creatures_of_seed_0_whatever_the_seed(few):
    images = load_creatures(few)
    assert (images.name, images.source, images.label_names) == ("creatures", "drawn by gan_tf", SPECIES)
    assert images.images.shape == (60, 28, 28, 3) and images.images.dtype == np.uint8
    np.testing.assert_array_equal(images.images[:], draw(parameters(60), 28))
    np.testing.assert_array_equal(images.labels, parameters(60)["species"])
    other = load_creatures(dataclasses.replace(few, seed=9))
    assert other.fingerprint == images.fingerprint
    assert load_creatures(dataclasses.replace(few, image_size=32)).fingerprint != images.fingerprint


def test_a_label_chooses_species_as_it_would_from_all(few):
    every = load_creatures(few)
    chosen = load_creatures(dataclasses.replace(few, label=("fox", "cat")))
    expected = every.choose(("fox", "cat"))
    assert 0 < len(chosen) < 60
    np.testing.assert_array_equal(chosen.images[:], expected.images)
    np.testing.assert_array_equal(chosen.labels, expected.labels)


def test_an_unknown_label_is_named_before_anything_is_drawn(few, monkeypatch):
    monkeypatch.setattr(creatures, "draw", None)
    with pytest.raises(InputError, match=r"creatures has no label 'cow'; its labels are bear, cat, .*rabbit\."):
        load_creatures(dataclasses.replace(few, label=("cat", "cow")))


@pytest.mark.parametrize("bad", [{"count": -1}, {"count": 2.0}, {"seed": -1}, {"seed": 2**64}, {"start": -5}])
def test_numbers_that_are_no_numbers_of_creatures(bad):
    name, value = next(iter(bad.items()))
    with pytest.raises(InputError, match=rf"parameters: {name} is {value}, but it must be a whole number from 0 to"):
        parameters(**({"count": 1} | bad))


@pytest.mark.parametrize("size", [0, 27, 513, 64.5])
def test_a_size_that_is_too_small_or_too_large(size):
    with pytest.raises(InputError, match=rf"draw: size is {size}, but it must be a whole number from 28 to 512"):
        draw(parameters(1), size)


@pytest.mark.parametrize(
    "known", [np.zeros(3), some(1, species=len(SPECIES)), some(1, eye=len(EYES))], ids=["numbers", "species", "eye"]
)
def test_what_is_no_creature_is_not_drawn(known):
    with pytest.raises(InputError, match="no creatures; give it an array from parameters"):
        draw(known, 28)


def test_no_creatures_are_no_pictures():
    assert draw(parameters(0), 64).shape == (0, 64, 64, 3)
