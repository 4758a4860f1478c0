import dataclasses

import numpy as np
import pytest

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data import creatures
from gan_tf.data.creatures import EYES, FIELDS, SPECIES, draw, load_creatures, parameters

# The middle of every range: a creature that looks straight ahead.
MIDDLE = {name: (low + high) / 2 for name, _, low, high in FIELDS}


def some(count, **values):
    """`count` creatures with these values, and with MIDDLE for all others."""
    params = np.empty(count, parameters(0).dtype)
    for name, value in (MIDDLE | {"species": 0, "eye": 0} | values).items():
        params[name] = value
    return params


def everyone(**values):
    """One creature for each pair of species and kind of eye."""
    kinds = np.arange(len(SPECIES) * len(EYES))
    return some(len(kinds), **({"species": kinds // len(EYES), "eye": kinds % len(EYES)} | values))


def oklab(pictures):
    """The OKLab colours of the pixels as a + ib: the angle is the hue, the length the chroma (Ottosson 2020)."""
    srgb = np.moveaxis(pictures, -1, 0).reshape(3, -1) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    roots = np.cbrt(np.linalg.inv(creatures.TO_LINEAR) @ linear)
    _, a, b = np.linalg.inv(creatures.OKLAB_TO_ROOTS) @ roots
    return (a + 1j * b).reshape(pictures.shape[:-1])


def fur_hue(pictures):
    """The hue of the fur, the most colourful area in the middle of a picture."""
    edge = pictures.shape[1] // 4
    colour = oklab(pictures[:, edge:-edge, edge:-edge])
    return np.angle(np.sum(colour * abs(colour), axis=(1, 2))) / (2 * np.pi) % 1


def hue_distance(difference):
    """The absolute difference of two hues, the shorter way around the circle."""
    return abs((difference + 0.5) % 1 - 0.5)


def levels(a, b):
    """The mean and the maximum difference of two pictures, in levels from 0 to 255."""
    difference = abs(a.astype(int) - b)
    return difference.mean(), difference.max()


def test_a_seed_reproduces_its_creatures():
    np.testing.assert_array_equal(parameters(50, seed=3), parameters(50, seed=3))
    assert not np.isin(parameters(50, seed=3)["hue"], parameters(50, seed=4)["hue"]).any()
    np.testing.assert_array_equal(draw(parameters(12), 28), draw(parameters(12), 28))


def test_a_creature_depends_on_seed_and_index_only():
    params = parameters(300, seed=2)
    for start in (0, 5, 299):
        np.testing.assert_array_equal(parameters(300 - start, 2, start), params[start:])
    assert np.unique(params).size == 300
    assert parameters(1, start=10**15)["hue"] != params["hue"][0]
    assert parameters(1, seed=2, start=np.uint8(200)) == params[200]


def test_every_parameter_is_uniform_over_its_range():
    params = parameters(6000, seed=1)
    for name, _, low, high in FIELDS:
        counts = np.histogram(params[name], np.linspace(low, high, 5 if name == "eye" else 7))[0]
        expected = 6000 / len(counts)
        assert np.sum((counts - expected) ** 2 / expected) < 25, name  # Chi-squared test, p = 0.0002.
    numbers = np.stack([params[name] for name, *_ in FIELDS])
    assert abs(np.corrcoef(numbers) - np.eye(len(FIELDS))).max() < 0.06
    assert set(params["species"]) == set(range(len(SPECIES))) and set(params["eye"]) == set(range(len(EYES)))


@pytest.mark.parametrize("size", [28, 64])
def test_a_picture_does_not_depend_on_those_drawn_with_it(size):
    params = parameters(200)
    together = draw(params, size)
    for row in range(0, 200, 5):
        np.testing.assert_array_equal(draw(params[row : row + 1], size)[0], together[row])


def test_no_pixel_is_unpainted_or_overflows():
    """An unpainted pixel, or one that wrapped around from white, would be a dark speck."""
    pictures = draw(parameters(300, seed=8), 28).astype(int)
    assert pictures.max(axis=-1).min() > 30  # Ink is the darkest colour.
    assert pictures[:, 0].min() > 100 and np.median(pictures[:, 0]) > 200  # The top row is background and ears.


@pytest.mark.parametrize("size, close", [(28, 4), (64, 1.3), (96, 1.1), (512, 1.5)])
def test_a_creature_looks_the_same_at_every_size(size, close):
    from PIL import Image

    params = everyone(tilt=12, turn=0.5, mouth=0.9)[:: 3 if size == 512 else 1]
    large = draw(params, 256)
    assert large.shape[1:] == (256, 256, 3) and large.dtype == np.uint8
    for ours, theirs in zip(draw(params, size), large, strict=True):
        scaled = np.asarray(Image.fromarray(theirs).resize((size, size), Image.Resampling.BOX))
        assert levels(ours, scaled)[0] < close


def test_a_mirrored_pose_is_a_mirrored_picture():
    pose = {"tilt": 15.0, "turn": 0.7, "x": -0.4}
    pictures = draw(everyone(**pose), 64)
    mirrored = draw(everyone(**{name: -value for name, value in pose.items()}), 64)
    assert levels(mirrored[:, :, ::-1], pictures)[1] <= 2
    assert levels(mirrored, pictures)[0] > 8


@pytest.mark.parametrize("name", [field[0] for field in FIELDS])
def test_every_parameter_changes_the_picture(name):
    low, high = next(field[2:] for field in FIELDS if field[0] == name)
    low, high = (0, 1) if name in ("species", "eye") else (low, high - 0.5 if name == "hue" else high)
    mouthless = [SPECIES.index("frog"), SPECIES.index("owl")] if name == "mouth" else []
    before, after = (everyone(**{name: value}) for value in (low, high))
    for species, a, b in zip(before["species"], draw(before, 64), draw(after, 64), strict=True):
        assert (levels(a, b)[0] > 0.15) == (species not in mouthless)


def test_parameters_change_the_right_part_of_the_picture():
    def changed(**values):
        kinds = {name: values.pop(name) for name in ("species",) if name in values}
        a, b = (draw(some(1, **kinds, **{name: pair[i] for name, pair in values.items()}), 64)[0] for i in (0, 1))
        return np.argwhere(abs(a.astype(int) - b).sum(axis=-1) > 30)

    eyes = changed(eye=(0, 3))
    assert eyes[:, 0].min() > 28 and eyes[:, 0].max() < 42  # Rows just below the middle,
    assert {*(eyes[:, 1] > 32)} == {True, False}  # on both sides of it.
    ears = changed(ear=(0, 1), species=SPECIES.index("cat"))
    assert ears[:, 0].max() < 30
    mouth = changed(mouth=(0, 1))
    assert mouth[:, 0].min() > 40 and mouth[:, 1].min() > 24 and mouth[:, 1].max() < 40
    assert changed(background=(0.3, 0.7))[:, 1].min() == 0


def test_markings_are_clipped_to_the_head():
    """Unclipped, a fox's cheeks would be wider than its face and cover the background."""
    params = some(2, species=SPECIES.index("fox"), background=[0.3, 0.7])
    a, b = draw(params, 64).astype(int)
    outside, cheek = (48, 9), (44, 19)
    assert abs(a - b)[outside].max() > 10 and abs(a - b)[cheek].max() == 0
    assert a[cheek].min() > 150


def test_the_head_moves_turns_and_tilts():
    def ink(**values):
        """Of a bear's nose and eyes: the mean column and row, and the angle of the line through both eyes."""
        dark = draw(some(1, **values), 128)[0].max(axis=-1) < 90
        rows, columns = np.nonzero(dark)
        left, right = columns < columns.mean() - 12, columns > columns.mean() + 12  # Nose and mouth are closer.
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
    params = parameters(400, seed=6)
    error = hue_distance(fur_hue(draw(params, size)) - params["hue"])
    assert error.max() < 0.08 and np.median(error) < 0.02


def test_all_hues_are_about_equally_colourful_and_light():
    params = some(24, hue=np.arange(24) / 24)
    fur = draw(params, 64)[:, 30:34, 10:16].reshape(24, -1, 3)
    chroma = abs(oklab(fur)).mean(axis=1)
    assert chroma.min() > 0.07 and chroma.max() < 0.16
    grey = fur.mean(axis=1) @ [0.299, 0.587, 0.114]
    assert grey.min() > 130 and grey.max() < 225


def test_a_linear_classifier_recognises_the_species():
    """Ridge regression on 16x16 grey pixels: colour is independent of the species."""
    params = parameters(600, seed=7)
    thumbnails = draw(params, 32).reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4, 5)).reshape(600, -1) / 255 - 0.5
    train, targets = thumbnails[:450], np.eye(len(SPECIES))[params["species"][:450]]
    weights = np.linalg.solve(train.T @ train + 3 * np.eye(256), train.T @ targets)
    predicted = np.argmax(thumbnails[450:] @ weights, axis=1)
    assert np.mean(predicted == params["species"][450:]) > 0.95  # Chance is 0.17.


@pytest.fixture
def few(monkeypatch):
    """A Config for a data set of only 60 creatures."""
    monkeypatch.setattr(creatures, "COUNT", 60)
    return Config(dataset="creatures", image_size=28)


def test_the_data_set_does_not_depend_on_the_seed_of_the_training(few):
    images = load_creatures(few)
    assert (images.name, images.source, images.label_names) == ("creatures", "drawn by gan_tf", SPECIES)
    assert images.images.shape == (60, 28, 28, 3) and images.images.dtype == np.uint8
    np.testing.assert_array_equal(images.images[:], draw(parameters(60), 28))
    np.testing.assert_array_equal(images.labels, parameters(60)["species"])
    other = load_creatures(dataclasses.replace(few, seed=9))
    assert other.fingerprint == images.fingerprint
    assert load_creatures(dataclasses.replace(few, image_size=32)).fingerprint != images.fingerprint


def test_labels_filter_by_species(few):
    every = load_creatures(few)
    filtered = load_creatures(dataclasses.replace(few, label=("fox", "cat")))
    expected = every.filter_labels(("fox", "cat"))
    assert 0 < len(filtered) < 60
    np.testing.assert_array_equal(filtered.images[:], expected.images)
    np.testing.assert_array_equal(filtered.labels, expected.labels)


def test_an_unknown_label_is_reported_before_drawing(few, monkeypatch):
    monkeypatch.setattr(creatures, "draw", None)
    with pytest.raises(InputError, match=r"creatures has no label 'cow'; its labels are bear, cat, .*rabbit\."):
        load_creatures(dataclasses.replace(few, label=("cat", "cow")))


@pytest.mark.parametrize("bad", [{"count": -1}, {"count": 2.0}, {"seed": -1}, {"seed": 2**64}, {"start": -5}])
def test_arguments_of_parameters_out_of_range(bad):
    name, value = next(iter(bad.items()))
    with pytest.raises(InputError, match=rf"parameters: {name} is {value}, but it must be an integer from 0 to"):
        parameters(**({"count": 1} | bad))


@pytest.mark.parametrize("size", [0, 7, 513, 64.5, (64, 513)])
def test_sizes_out_of_range(size):
    with pytest.raises(InputError, match=r"draw: size is .*, but sides must be integers from 8 to 512"):
        draw(parameters(1), size)


@pytest.mark.parametrize("height, width", [(64, 100), (100, 64)])
def test_an_oblong_picture_has_the_square_one_at_its_bottom_in_the_middle(height, width):
    params = parameters(40)
    pictures = draw(params, (height, width))
    assert pictures.shape == (40, height, width, 3)
    left = (width - 64) // 2
    np.testing.assert_array_equal(pictures[:, height - 64 :, left : left + 64], draw(params, 64))
    # Beside it there is background only, without ink.
    beside = pictures[:, :, :left] if left else pictures[:, : height - 64 - 12]
    assert beside.min() > 100


@pytest.mark.parametrize(
    "params", [np.zeros(3), some(1, species=len(SPECIES)), some(1, eye=len(EYES))], ids=["numbers", "species", "eye"]
)
def test_draw_rejects_other_arrays(params):
    with pytest.raises(InputError, match="not creatures; pass an array from parameters"):
        draw(params, 28)


@pytest.mark.parametrize("size", [64, (40, 96)])
def test_a_transparent_creature_is_the_opaque_one_without_its_background(size):
    params = parameters(60)
    plain, pictures = (draw(params, size, alpha).astype(int) for alpha in (False, True))
    assert pictures.shape == (*plain.shape[:3], 4)
    opacity = pictures[..., 3]
    np.testing.assert_allclose(pictures[opacity == 255][:, :3], plain[opacity == 255], atol=1)
    assert (pictures[opacity == 0][:, :3] == 255).all()
    assert (opacity[:, 0, [0, -1]] == 0).all() and 0.15 < np.mean(opacity == 255) < 0.7
    assert np.mean((opacity > 0) & (opacity < 255)) > 0.01  # Edges are smooth.


def test_a_data_set_of_transparent_creatures(few):
    images = load_creatures(dataclasses.replace(few, image_size="40x24", alpha=True))
    np.testing.assert_array_equal(images.images[:], draw(parameters(60), (24, 40), alpha=True))
    assert images.fingerprint != load_creatures(dataclasses.replace(few, image_size="40x24")).fingerprint


def test_draw_of_no_creatures():
    assert draw(parameters(0), 64).shape == (0, 64, 64, 3)
