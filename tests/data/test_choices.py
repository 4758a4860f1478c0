import numpy as np
import pytest

from gan_tf.config import Config, preset_config
from gan_tf.data.choices import FEW, choose, facing
from gan_tf.data.images import ImageDataset


def pictures(count, facing_left):
    """Grey noise with a bright spot, on the left in so large a share of the pictures."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 120, (count, 32, 32, 1), np.uint8)
    pixels[:, 8:20, 4:14] += 80
    mirrored = random.random(count) >= facing_left
    pixels[mirrored] = pixels[mirrored][:, :, ::-1]
    return ImageDataset("pictures", pixels, None, "tests")


@pytest.fixture
def own(tmp_path):
    """The Config of a folder of one's own."""
    return preset_config(tmp_path)


def test_facing_is_the_share_that_a_classifier_tells_from_mirror_images():
    for share in (0.5, 0.8, 1.0):
        found, error = facing(pictures(600, share))
        assert found == pytest.approx(share, abs=4 * error) and error == pytest.approx(0.02, abs=0.001)


def test_few_pictures_that_face_no_way_are_augmented_and_mirrored(own):
    found = choose(pictures(600, 0.5), own)
    assert {name: value for name, (value, _) in found.items()} == {"augment": ("translation", "cutout"), "flip": True}
    assert found["augment"][1] == "translation and cutout: 570 images to train on are fewer than 2,000"
    assert found["flip"][1].startswith("yes: ") and found["flip"][1].endswith(
        "from their mirror images, plus or minus 4%"
    )


def test_many_pictures_are_not_augmented(own):
    value, why = choose(pictures(2 * FEW, 0.5), own)["augment"]
    assert value == () and why == "none: 3,800 images to train on are at least 2,000"


@pytest.mark.parametrize("count, share", [(600, 0.8), (600, 0.2), (40, 0.5)])
def test_pictures_that_face_one_way_or_are_too_few_to_know_are_not_mirrored(own, count, share):
    value, why = choose(pictures(count, share), own)["flip"]
    assert value is False and why.startswith("no: ")


def test_a_named_set_and_another_preset_choose_nothing(tmp_path):
    images = pictures(100, 0.5)
    assert choose(images, Config()) == choose(images, preset_config(tmp_path, preset="anime")) == {}
    assert choose(images, preset_config(tmp_path, preset="gpu-64")).keys() == {"augment", "flip"}  # Not measured.
