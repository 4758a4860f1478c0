import dataclasses
import inspect
import json
import re

import pytest

from gan_tf.config import PRESETS, Config, InputError, preset_config
from gan_tf.datasets import LOADERS


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
        ("digit", (12,)),
        ("digit", (-1,)),
        ("digit", (5, 5)),
        ("latent_dim", 0),
        ("d_steps", 0),
        ("ema", 1.0),
        ("label_smoothing", 1.0),
        ("seed", -1),
        ("steps_per_epoch", -1),
        ("beta_1", 1.0),
        ("loss", "hinge"),
        ("preset", "cats"),
    ],
)
def test_a_bad_value_is_named_with_its_option_and_what_is_allowed(field, value):
    with pytest.raises(InputError, match=rf"^--{field.replace('_', '-')} is .*, but it must be .*\.$"):
        Config(**{field: value})


def test_presets_hold_under_what_is_given_and_every_data_set_has_one():
    assert set(PRESETS) == set(LOADERS)
    assert preset_config("mnist").epochs == PRESETS["mnist"]["epochs"] != Config().epochs
    assert preset_config("mnist", epochs=3).epochs == 3
    assert preset_config("digits", preset="mnist").epochs == PRESETS["mnist"]["epochs"]


def test_a_config_survives_json():
    config = preset_config("mnist", digit=5)
    assert config.digit == (5,)
    assert Config(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_every_field_has_its_sentence():
    source = inspect.getsource(Config)
    for field in dataclasses.fields(Config):
        assert re.search(rf'\n    {field.name}: [^\n]*\n    """\w', source), field.name
