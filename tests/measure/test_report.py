import numpy as np
import pytest

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data import creatures
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.measure import metrics, report
from gan_tf.measure.features import creature_classes
from gan_tf.measure.report import (
    FLOOR,
    Reference,
    baselines,
    copies,
    count_creatures,
    measure_labels,
    of_floor,
    run_reference,
    show,
    summary,
    table,
)

SIDE = 14


def draw(count, seed=0):
    """Images of one distribution: random blobs on grey, uint8 (count, SIDE, SIDE, 1)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE][..., None]
    images = np.full((count, SIDE, SIDE, 1), 100.0)
    for _ in range(3):
        centre_y, centre_x, height = random.uniform([0, 0, -90], [SIDE, SIDE, 90], (count, 3)).T[..., None, None, None]
        images += height * np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / 12)
    return images.clip(0, 255).astype(np.uint8)


def pool(images):
    """Features of each image: the means of 4x4 parts."""
    return metrics.thumbnails(images, 4) / 30


class Gaussian:
    """Features with a standard normal distribution of `size` dimensions, looked up by each image's first pixels."""

    def __init__(self, size):
        self.rows = np.random.default_rng(1).standard_normal((2**16, size))

    def images(self, start, count):
        """Images with the features of these rows."""
        images = draw(count)
        images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(start, start + count), 256)
        return images

    def __call__(self, images):
        return self.rows[images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 1, 0]]


@pytest.mark.parametrize("count", [40, 100, 300])
def test_the_floor_is_the_expected_distance_of_equally_many_images(count):
    size, gaussian = 16, Gaussian(16)
    reference = Reference(gaussian.images(0, 2 * count), gaussian)
    assert reference.count == count
    # To first order, for a covariance of 1: the means differ by 2 d / N, the covariances by d (d + 1) / (2 N).
    expected = (2 * size + size * (size + 1) / 2) / count
    assert reference.floor["frechet_distance"].mean() == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("count", [40, 100, 300])
@pytest.mark.parametrize("fakes", [1, 4])
def test_a_perfect_generator_reads_1_for_any_number_of_images(count, fakes):
    gaussian = Gaussian(8)
    reference = Reference(gaussian.images(0, 1200), gaussian, count=count)
    scores = reference.measure_features(gaussian.images(1200, fakes * count))
    for name in ("frechet_distance", "precision", "recall", "density", "coverage"):
        fake, real = (of_floor(found, reference.floor, name) for found in (scores, reference.floor))
        assert abs(fake.mean() - 1) < 0.03 + 2 * (fake.std() + real.std()), name
    assert abs(scores["kernel_distance"].mean()) < 2 * scores["kernel_distance"].std() + 0.01


def test_every_measure_of_a_perfect_generator_is_its_floor():
    reference = Reference(draw(700), pool, train=np.arange(600), held_out=np.arange(600, 700), count=60)
    scores = reference.measure(draw(300, seed=1))
    assert scores.keys() == reference.floor.keys()
    for name, values in scores.items():
        floor = reference.floor[name]
        assert values.shape == (5,)
        assert abs(values.mean() - floor.mean()) < 3 * (values.std() + floor.std()) + 1e-3, name


def test_both_sides_have_equally_many_images_in_every_measure(monkeypatch):
    sizes, kernels = [], []

    def spy_on(name, found):
        function = getattr(metrics, name)

        def spy(real, fake, *rest):
            found.append((len(real), len(fake)))
            return function(real, fake, *rest)

        monkeypatch.setattr(metrics, name, spy)

    for name in ("frechet_distance", "prdc", "sliced_wasserstein"):
        spy_on(name, sizes)
    spy_on("kernel_distance", kernels)
    reference = Reference(draw(170), pool, train=np.arange(150), held_out=np.arange(150, 170), splits=2)
    reference.measure(draw(500, seed=1))
    measured, kernels_of_fakes = sizes.copy(), kernels.copy()
    sizes.clear(), kernels.clear()
    assert reference.floor["precision"].shape == (2,)
    assert measured == sizes and kernels_of_fakes == kernels
    assert {n for pair in sizes for n in pair} == {75, 75 * 8}  # Images, and eight patches of each.
    assert kernels == [(75, 75)] * 2


def test_held_out_images_are_not_counted_as_training_images():
    images = ImageDataset("blobs", draw(500), None, "tests")
    config = Config(held_out=0.2)
    train, held_out = train_holdout_split(images, config)
    assert len(held_out) == 100
    reference = run_reference(images, config, pool, count=60)
    assert {x.tobytes() for x in reference.real} == {x.tobytes() for x in images.images[train]}
    of_held_out, of_train = (reference.measure(images.images[rows]) for rows in (held_out, train))
    # A copy of a held-out image is not a copy of a training image.
    assert copies(of_train) and not copies(of_held_out) and of_held_out["copying_ratio"].mean() > 0.8
    assert of_held_out["held_out_ratio"].mean() < 0.7 and of_train["held_out_ratio"].mean() > 1.1


def test_a_generator_that_memorised_is_told_from_one_that_generalises():
    data = draw(300, seed=5)
    reference = Reference(data, pool, train=np.arange(200), held_out=np.arange(200, 300), splits=3)
    noise = np.random.default_rng(0).integers(-12, 13, (200, SIDE, SIDE, 1))
    memorised = reference.measure((data[:200] + noise).clip(0, 255).astype(np.uint8))
    fresh = reference.measure(draw(200, seed=6))
    for scores in (fresh, reference.floor):
        assert not copies(scores) and scores["held_out_ratio"].mean() == pytest.approx(1, abs=0.1)
    assert copies(memorised) and memorised["held_out_ratio"].min() > 1.2
    # The Frechet distance alone is fooled: copies look better than a perfect generator.
    assert of_floor(memorised, reference.floor, "frechet_distance").mean() < 1


@pytest.mark.parametrize("mirror", [False, True])
def test_a_mirrored_copy_is_a_copy_if_mirror_images_were_trained_on(mirror):
    images = draw(300)
    reference = Reference(
        images, pool, train=np.arange(250), held_out=np.arange(250, 300), mirror=mirror, count=30, splits=3
    )
    scores = reference.measure(images[:250, :, ::-1])
    assert copies(scores) == mirror
    assert copies(reference.measure(images[:250])) and not copies(reference.floor)
    assert reference.floor["copying_ratio"].mean() == pytest.approx(1, abs=0.15)


def test_without_held_out_images_some_training_images_stand_in():
    images = draw(400)
    reference = Reference(images, pool, count=50, splits=3)
    assert copies(reference.measure(images))
    assert reference.measure(draw(400, seed=1))["copying_ratio"].mean() == pytest.approx(1, abs=0.3)
    assert "held_out_ratio" not in reference.floor


def test_held_out_duplicates_of_training_images_are_not_new():
    images = draw(300)
    images[250:280] = images[:30]  # Most of the held-out images.
    reference = Reference(images, pool, train=np.arange(250), held_out=np.arange(250, 300), count=30, splits=2)
    assert len(reference.new_to_train) == 20 and reference.new_to_train.min() > 0.01
    assert np.isfinite(reference.measure(draw(100, seed=1))["copying_ratio"]).all()
    # A set in which every image is there many times still gives finite numbers.
    reference = Reference(np.tile(draw(40), (10, 1, 1, 1)), pool, count=50)
    assert len(reference.new_to_train) == 20


def test_the_same_fakes_get_the_same_numbers():
    images, fakes = draw(200), draw(200, seed=1)
    found = [Reference(images, pool, count=30).measure(fakes) for _ in range(2)]
    for name, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][name])
    assert len(set(found[0]["frechet_distance"])) == 5  # Each split is another one.


def test_too_few_images_are_one_sentence():
    with pytest.raises(InputError, match="16 features needs at least 17 images on each side, but there are 16"):
        Reference(draw(33), pool)
    with pytest.raises(InputError, match="60 images cannot be measured against 60 others: there are 100 real ones"):
        Reference(draw(100), pool, count=60)
    with pytest.raises(InputError, match="50 fakes are needed, as many as real images, but there are 49"):
        Reference(draw(100), pool).measure(draw(49))


def test_the_closest_fakes_come_with_their_originals():
    images, fakes = draw(200), draw(30, seed=1)
    fakes[7], fakes[11] = images[3], images[4][:, ::-1]
    reference = Reference(images, pool, train=np.arange(180), held_out=np.arange(180, 200), mirror=True)
    closest, originals = reference.closest(fakes, count=5)
    assert closest.shape == originals.shape == (5, SIDE, SIDE, 1)
    np.testing.assert_array_equal(closest[:2], originals[:2])  # The two copies, one of them mirrored as its fake is.
    assert {image.tobytes() for image in closest[:2]} == {fakes[7].tobytes(), fakes[11].tobytes()}
    assert not np.array_equal(closest[2], originals[2])


def test_baselines_are_made_from_the_real_images(images):
    made = baselines(images.images)
    assert {made[name].dtype for name in made} == {np.dtype(np.uint8)}
    assert made["noise"].std() > 70 and made["copies of training images"] is images.images
    assert made["blurred training images"].mean() == pytest.approx(images.images.mean(), rel=0.02)
    assert np.abs(np.diff(made["blurred training images"].astype(int), axis=2)).max() < 150


class Reads:
    """Features that read the label from an image's first pixel."""

    accuracy = {"label": 1.0}  # noqa: RUF012

    def read(self, images):
        return {"label": images[:, 0, 0, 0].astype(int)}


def test_labels_are_counted():
    images = np.zeros((8, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = [5, 5, 5, 5, 3, 3, 1, 0]
    found = measure_labels(images, Reads(), [5, 0])
    assert found["accuracy"] == 5 / 8
    shares = np.array([4, 2, 1, 1]) / 8
    assert found["labels"] == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))
    even = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    assert measure_labels(even, Reads(), range(8)) == pytest.approx({"accuracy": 1, "labels": 8})


def test_creatures_that_a_generator_lost_are_named():
    known = creatures.parameters(4000)
    true = creature_classes(known)

    class Knows:
        def read(self, rows):
            return {name: values[rows] for name, values in true.items()}

    every = np.arange(4000)
    no_owls = every[(true["species"] != creatures.SPECIES.index("owl")) & (true["hue"] != 6)]
    counted = count_creatures(every, no_owls, Knows())
    lost = {kind: found["lost"] for kind, found in counted.items()}
    assert lost == {"species": ["owl"], "hue": ["90 degrees"], "turn": [], "tilt": []}


def test_values_are_shown_to_the_digit_that_is_known():
    assert show(np.array([0.2512, 0.2633, 0.2421])) == "0.25 ± 0.01"
    assert show(np.array([1100.0, 1300.0])) == "1,200 ± 141"
    assert show(np.array([0.5, 0.5])) == "0.5000 ± 0.0000"
    assert show(np.array([1.23456])) == "1.23"


def test_a_table_names_the_floor_and_the_copies():
    floor = {
        "frechet_distance": np.array([0.5, 0.5]),
        "pyramid_64": np.array([2.9, 3.1]),
        "copying_ratio": np.array([0.9, 1.1]),
        "accuracy": np.array([0.98]),
    }
    fakes = {
        "frechet_distance": np.array([1.9, 2.1]),
        "pyramid_64": np.array([5.9, 6.1]),
        "copying_ratio": np.array([0.4, 0.5]),
        "accuracy": np.array([0.5]),
    }
    lines = table({"fakes": fakes, FLOOR: floor})
    assert lines[0] == "| measure | fakes | new real images (floor: a perfect generator) | good |"
    assert lines[2:] == [
        "| Frechet distance | 2.0 ± 0.1 | 0.5000 ± 0.0000 | low |",
        "| times its floor | 4.0 ± 0.3 | 1.0000 ± 0.0000 | 1 |",
        "| 7x7 patches at height 64 | 6.0 ± 0.1 | 3.0 ± 0.1 | low |",
        "| copying | 0.45 ± 0.07 | 1.0 ± 0.1 | about 1 |",
        "| classified as what was asked for | 50.0% | 98.0% | high |",
        "| copies of training images? | copies | no | no |",
    ]
    assert summary(fakes)["accuracy"] == {"mean": 0.5, "spread": None}
    assert summary(fakes)["pyramid_64"] == pytest.approx({"mean": 6, "spread": np.sqrt(0.02)})


def test_every_measure_has_a_title():
    scores = Reference(draw(120), pool, train=np.arange(100), held_out=np.arange(100, 120)).floor
    assert {name.partition("_")[0] if name.startswith("pyramid") else name for name in scores} <= report.MEASURES.keys()
