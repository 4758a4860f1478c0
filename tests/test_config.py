import dataclasses
import json
from typing import get_args

import numpy as np
import pytest

from gan_tf import train
from gan_tf.common.errors import InputError
from gan_tf.common.options import field_docstrings
from gan_tf.config import (
    GPU_PRESETS,
    GROUPS,
    PENALISED_LOSSES,
    PRESETS,
    Config,
    DataOptions,
    Loss,
    is_path,
    preset_config,
)
from gan_tf.data.registry import DATASETS
from gan_tf.losses import LOSSES


@pytest.mark.parametrize(
    "field, value",
    [
        ("epochs", 0),
        ("epochs", -3),
        ("batch_size", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("label", ("5", "5")),
        ("image_size", 30),
        ("image_size", 1024),
        ("image_size", "97x64"),
        ("image_size", "x64"),
        ("image_size", "0x8"),
        ("image_size", "64x64x3"),
        ("fit", "zoom"),
        ("max_bad", 1.5),
        ("width", 8),
        ("augment", ("colour",)),
        ("augment", ("color", "color")),
        ("r1", -1.0),
        ("r1", float("inf")),
        ("penalty_every", 0),
        ("precision", "float64"),
        ("latent_dim", 0),
        ("d_steps", 0),
        ("ema", 1.0),
        ("label_smoothing", 1.0),
        ("seed", -1),
        ("steps_per_epoch", -1),
        ("beta_1", 1.0),
        ("loss", "hinges"),
        ("r2", -1.0),
        ("gradient_penalty", float("nan")),
        ("d_learning_rate", -1e-3),
        ("d_learning_rate", 0.0),
        ("decay", "step"),
        ("held_out", 1.0),
        ("evaluate_every", -1),
        ("preset", "cats"),
    ],
)
def test_a_bad_value_is_named_with_its_option_and_what_is_allowed(field, value):
    with pytest.raises(InputError, match=rf"^--{field.replace('_', '-')} is .*, but it must be .*\.$"):
        Config(**{field: value})


@pytest.mark.parametrize(
    "given, kept, sides",
    [
        (64, 64, (64, 64)),
        (np.int64(40), 40, (40, 40)),
        ("64", 64, (64, 64)),
        ("64x64", 64, (64, 64)),
        ("96x64", "96x64", (64, 96)),
        ("28x512", "28x512", (512, 28)),
    ],
)
def test_a_size_is_width_times_height_and_has_one_spelling(given, kept, sides):
    config = Config(image_size=given)
    assert (config.image_size, type(config.image_size), config.sides) == (kept, type(kept), sides)
    assert Config(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize(
    "field, value, allowed",
    [
        ("epochs", "20", "a whole number of at least 1"),
        ("epochs", 20.0, "a whole number of at least 1"),
        ("epochs", True, "a whole number of at least 1"),
        ("epochs", None, "a whole number of at least 1"),
        ("learning_rate", "0.1", "a finite number above 0"),
        ("d_learning_rate", [0.1], "a finite number above 0"),
        ("r1", "1", "a finite number of at least 0"),
        ("flip", 1, "true or false"),
        ("flip", "yes", "true or false"),
        ("dataset", 5, "text"),
        ("data_dir", 5, "text"),
        ("label", None, "labels of the data set, each once"),
        ("label", {"5": 1}, "labels of the data set, each once"),
        ("augment", "color", "color, translation or cutout, each once"),
        ("augment", True, "color, translation or cutout, each once"),
        ("decay", 5, "none, linear or cosine"),
        ("preset", 5, "text"),
    ],
)
def test_a_value_of_the_wrong_type_gets_the_same_sentence(field, value, allowed):
    with pytest.raises(InputError) as caught:
        preset_config(**{"dataset": "digits", field: value})
    option = "--" + field.replace("_", "-")
    assert str(caught.value).startswith(f"{option} is ") and str(caught.value).endswith(f", but it must be {allowed}.")


def test_the_message_shows_the_value_as_the_user_wrote_it():
    with pytest.raises(InputError, match=r"^--epochs is 0, but it must be a whole number of at least 1\.$"):
        Config(epochs=0)
    with pytest.raises(InputError, match=r"^--augment is color color, but it must be color, translation or cutout, "):
        Config(augment=["color", "color"])


def test_numbers_of_numpy_paths_and_single_labels_become_plain_values(tmp_path):
    config = Config(
        seed=np.int64(3), learning_rate=np.float32(0.5), r1=1, label=np.int64(5), dataset=tmp_path, data_dir=tmp_path
    )
    assert (config.seed, config.learning_rate, config.r1, config.label) == (3, 0.5, 1.0, ("5",))
    assert [type(value) for value in (config.seed, config.learning_rate, config.r1)] == [int, float, float]
    assert config.dataset == config.data_dir == str(tmp_path)
    assert Config(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
    assert preset_config(tmp_path).image_size == PRESETS["folder"]["image_size"]


def test_a_part_of_the_options_is_checked_as_the_whole_is():
    with pytest.raises(InputError, match=r"--label-smoothing is 0\.1, but it must be 0 with --loss hinge"):
        GROUPS["loss and regularisation"](loss="hinge", label_smoothing=0.1)
    names = [field.name for part in GROUPS.values() for field in dataclasses.fields(part)]
    assert names == [field.name for field in dataclasses.fields(Config)], "the parts make up Config, in order"


def test_presets_hold_under_what_is_given_and_every_data_set_has_one():
    assert set(PRESETS) == {*DATASETS, "folder", *GPU_PRESETS}
    assert preset_config("mnist").epochs == PRESETS["mnist"]["epochs"] != Config().epochs
    assert preset_config("mnist", epochs=3).epochs == 3
    assert preset_config("digits", preset="mnist").epochs == PRESETS["mnist"]["epochs"]


def test_a_loss_that_brings_its_own_penalties_gets_no_r1_from_a_preset_unless_asked_to():
    assert preset_config("creatures").r1 == preset_config("creatures", loss="hinge").r1 == 1
    for loss in PENALISED_LOSSES:
        config = preset_config("creatures", loss=loss)
        assert config.r1 is config.r2 is config.gradient_penalty is None, "GAN fills these in"
        assert preset_config("creatures", loss=loss, r1=0.5).r1 == 0.5


@pytest.mark.parametrize("label, told", [((), True), (("5",), False), (5, False), (("3", "8"), True)])
def test_a_preset_tells_labels_where_there_are_at_least_two(label, told):
    assert preset_config("mnist", label=label).conditional is told
    argv = ["--digit", *map(str, label)] if isinstance(label, tuple) else ["--label", str(label)]
    assert train.parse(["--dataset", "mnist", *(argv if label else [])]).config.conditional is told


def test_what_is_asked_for_rules_a_presets_labels_out(tmp_path):
    assert preset_config("mnist", clusters=5).conditional is False
    assert preset_config("mnist", conditional=False).conditional is False
    assert preset_config(tmp_path, preset="mnist").conditional is False, "a folder may have no labels"
    for options in (["--clusters", "5"], ["--no-conditional"]):
        assert train.parse(["--dataset", "fashion", *options]).config.conditional is False
    assert Config(clusters=2).told and Config(conditional=True).told and not Config().told


def test_the_losses_that_bring_penalties_are_those_of_the_losses_module():
    assert set(PENALISED_LOSSES) == {name for name, loss in LOSSES.items() if loss.penalties}
    assert set(get_args(Loss)) == set(LOSSES)


def test_the_discriminators_step_size_is_the_generators_unless_given():
    assert Config(learning_rate=0.1).rates == (0.1, 0.1)
    assert Config(learning_rate=0.1, d_learning_rate=0.4).rates == (0.1, 0.4)


def test_label_smoothing_needs_a_loss_with_labels():
    with pytest.raises(
        InputError, match=r"--label-smoothing is 0\.1, but it must be 0 with --loss hinge, which has no"
    ):
        Config(loss="hinge", label_smoothing=0.1)


def test_a_config_survives_json():
    config = preset_config("pokemon", label=5)
    assert config.label == ("5",) and config.augment
    assert Config(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_a_path_has_the_preset_of_folders_and_may_have_that_of_a_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "digits").mkdir()
    for path in ("pictures", "./digits", str(tmp_path), "~/pictures", "no/such"):
        assert is_path(path), path
        assert preset_config(path).image_size == PRESETS["folder"]["image_size"]
    for name in ("digits", "pokemon", "minst", ""):
        assert not is_path(name)
    assert preset_config("pictures", preset="mnist").epochs == PRESETS["mnist"]["epochs"]


def test_nothing_that_faces_one_way_is_mirrored():
    for name in ("digits", "mnist", "letters", "pokemon"):
        assert not preset_config(name).flip


def test_what_nobody_has_tried_is_called_so():
    help_text = field_docstrings(DataOptions)["preset"]
    assert "UNTRIED" in help_text and all(name in help_text for name in GPU_PRESETS)
