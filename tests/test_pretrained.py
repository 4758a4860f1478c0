import importlib.util
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import gan_tf
from gan_tf import generate, pretrained
from gan_tf.common.errors import InputError
from gan_tf.gan import sample, with_labels
from gan_tf.run import plots
from gan_tf.run.callbacks import COLUMNS, grid_inputs
from gan_tf.run.folder import Run

# By its path, because notebooks/ has a make.py, too.
spec = importlib.util.spec_from_file_location("pretrained_make", pretrained.FOLDER / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

NAMES = sorted(path.parent.name for path in pretrained.FOLDER.glob("*/config.json"))
CONDITIONAL = {"digits": 10, "fashion": 10, "creatures": 6}


def test_those_that_the_documents_name_are_there():
    assert NAMES == ["creatures", "digits", "fashion", "fives"]


@pytest.mark.parametrize("name", NAMES)
def test_a_pretrained_generator_draws_what_its_grid_shows(name):
    run = Run(pretrained.FOLDER / name)
    generator, config = gan_tf.load_pretrained(name), run.read_config()[0]
    assert generator.input_shape == (None, config.latent_dim + CONDITIONAL.get(name, 0))
    inputs = grid_inputs(config, np.array([*run.read_classes().values()]))
    drawn = plots.grid(sample(generator, inputs), columns=COLUMNS)
    shown = plots.open_png(run.sample_png(config.epochs))
    # The grid was drawn before the weights were rounded.
    assert np.abs(drawn.astype(int) - shown).max() <= 8 and np.abs(drawn.astype(int) - shown).mean() < 0.3


@pytest.mark.parametrize("name", NAMES)
def test_an_older_keras_knows_every_field(name):
    for path in (pretrained.FOLDER / name).glob("*.keras"):
        with zipfile.ZipFile(path) as saved:
            config = saved.read("config.json").decode()
        assert make.portable(config) == config and not any(f'"{field}"' in config for field in make.NEWER)


def test_a_field_that_says_something_is_not_dropped():
    assert make.portable('{"renorm": false, "units": 3}') == '{"units": 3}'
    with pytest.raises(ValueError, match=r"renorm.* needs a newer Keras than 3.6"):
        make.portable('{"layers": [{"renorm": true}]}')


def models_of(name):
    return [str(pretrained.FOLDER / name / f"{player}.keras") for player in ("generator", "discriminator")]


def test_plain_keras_opens_all_models():
    script = "import keras, sys; print(*[keras.models.load_model(path).input_shape[-1] for path in sys.argv[1:]])"
    paths = [path for name in NAMES for path in models_of(name)]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    latents = {"creatures": 128, "digits": 64, "fashion": 64, "fives": 64}
    channels = {"creatures": 3}
    expected = [(latents[name] + CONDITIONAL.get(name, 0), channels.get(name, 1)) for name in NAMES]
    assert done.stdout.split() == [str(number) for pair in expected for number in pair]


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_float16_and_no_file_is_large(name):
    folder = pretrained.FOLDER / name
    for path in models_of(name):
        weights = keras.models.load_model(path, compile=False).get_weights()
        assert all((weight == weight.astype(np.float16)).all() for weight in weights)
    assert max(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 2e6
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["data_dir"] is None and record["starts"] == []
    assert record["data"]["source"] == f"the data set {record['config']['dataset']}"


@pytest.mark.skipif("digits" not in NAMES, reason="there are no pretrained digits")
def test_the_command_draws_a_label(tmp_path, capsys):
    generate.main([str(pretrained.FOLDER / "digits"), "--label", "7", "--count", "4", "--out", str(tmp_path / "x.npz")])
    drawn = np.load(tmp_path / "x.npz")
    assert drawn["images"].shape == (4, 28, 28, 1) and drawn["inputs"][:, -10:].argmax(axis=1).tolist() == [7] * 4
    latents = drawn["inputs"][:, :-10]
    assert np.abs(gan_tf.load_pretrained("digits")(with_labels(latents, np.full(4, 7), 10))).max() <= 1


def test_a_name_that_there_is_not_and_no_folder(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=rf"no pretrained generator 'pokemon'; there are {', '.join(NAMES)}"):
        gan_tf.load_pretrained("pokemon")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    with pytest.raises(InputError, match="come with the repository, not with the package"):
        gan_tf.load_pretrained("fives")
