"""What the notebooks display, as the front end receives it."""

import base64
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter
from PIL import Image

from gan_tf import notebook
from gan_tf.config import Config, preset_config
from gan_tf.data import creatures, registry
from gan_tf.data.images import ImageDataset
from gan_tf.gan import GAN, to_unit_range
from gan_tf.run import plots
from gan_tf.run.build import build_gan
from gan_tf.run.loop import train_epochs


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, in order."""
    found = []
    monkeypatch.setattr(notebook.display, "display", lambda thing, **_: found.append(thing) or thing)
    return found


def picture_in(shown):
    """The picture that a front end decodes from an output."""
    data, _ = shown._repr_mimebundle_()
    kind = next(kind for kind in data if kind.startswith("image/"))
    return Image.open(io.BytesIO(base64.b64decode(data[kind])))


def test_a_picture_keeps_its_pixels_alt_text_and_width(shown):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    notebook.show(picture, 'a "grid" of <noise>', width=200)
    data, metadata = shown[0]._repr_mimebundle_()
    assert metadata == {"image/png": {"alt": 'a "grid" of <noise>', "width": 200}}
    assert data["text/plain"] == 'a "grid" of <noise>'
    np.testing.assert_array_equal(np.asarray(picture_in(shown[0])), picture)


def test_a_large_picture_becomes_a_jpeg(shown):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    notebook.show(noise, "noise")
    data, metadata = shown[0]._repr_mimebundle_()
    assert metadata == {"image/jpeg": {"alt": "noise"}}
    assert picture_in(shown[0]).format == "JPEG" and picture_in(shown[0]).size == (400, 400)
    assert len(data["image/jpeg"]) < 400 * 400 * 3


def test_a_picture_without_an_alt_text_is_rejected():
    with pytest.raises(ValueError, match="alt text"):
        notebook.show(np.zeros((4, 4, 1), np.uint8), "")


@pytest.mark.parametrize("label", ["xlabel", "ylabel"])
def test_a_figure_with_an_unlabelled_axis_is_rejected(shown, label):
    canvas, axes = notebook.figure(2)
    axes[0].set(xlabel="x", ylabel="y")
    axes[1].set(**{label: "one"}, title="the second")
    with pytest.raises(ValueError, match="the second"):
        notebook.show(canvas, "two panels")
    axes[1].set(xlabel="x", ylabel="y")
    notebook.show(canvas, "two panels")
    assert picture_in(shown[0]).format == "PNG"


def test_a_gif_is_shown_as_a_gif_and_as_an_animated_png_with_an_alt_text(shown, tmp_path):
    frames = [np.full((8, 8, 3), value, np.uint8) for value in (0, 90, 200)]
    film = plots.encode_animation(frames, ".gif", seconds=0.2, hold=1.0)
    (tmp_path / "film.gif").write_bytes(film)
    for given in (film, tmp_path / "film.gif"):
        notebook.show(given, "from black to grey", width=100)
    for picture in shown:
        data, metadata = picture._repr_mimebundle_()
        assert metadata == {kind: {"alt": "from black to grey", "width": 100} for kind in ("image/gif", "image/png")}
        assert base64.b64decode(data["image/gif"]) == film
    animated = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    found = []
    for number in range(animated.n_frames):
        animated.seek(number)
        found.append((np.asarray(animated.convert("L"))[0, 0], animated.info.get("duration")))
    # The static form is the first frame: of a film, its end.
    assert found == [(200, 1200), (0, 200), (90, 200)]


def test_code_hosts_keep_the_pictures(shown):
    """They pass stored notebooks through nbconvert's sanitiser, or one like it."""
    notebook.show(np.zeros((4, 4, 1), np.uint8), "black", width=120)
    greys = [np.full((8, 8, 3), value, np.uint8) for value in (0, 90)]
    notebook.show(plots.encode_animation(greys, ".gif"), "two greys")
    stored = nbformat.v4.new_notebook()
    for picture in shown:
        data, metadata = picture._repr_mimebundle_()
        output = nbformat.v4.new_output("display_data", data, metadata=metadata)
        stored.cells.append(nbformat.v4.new_code_cell("show()", outputs=[output]))
    page, _ = HTMLExporter(sanitize_html=True).from_notebook_node(stored)
    pictures = re.findall(r"<img[^>]*>", page)
    assert len(pictures) == 2 and all("data:image/png;base64," in picture for picture in pictures)
    assert 'width="120"' in pictures[0]


def test_source_shows_the_code_that_runs(shown):
    notebook.source(to_unit_range, GAN.generator_step)
    function, method = (thing.data for thing in shown)
    assert function.startswith("From `gan_tf/gan.py`:\n\n```python\ndef to_unit_range(images: tf.Tensor)")
    assert "127.5" in function and function.endswith("\n```")
    assert "```python\ndef generator_step(" in method  # Not indented.


@pytest.mark.parametrize(
    ("answer", "right", "printed"),
    [
        (..., 2.0, "Not answered yet"),
        (2.01, 2.0, "Right."),
        (2.1, 2.0, "Not yet: think."),
        (0.0, 1e-9, "Right."),
        ("b", lambda given: given == "b", "Right."),
        ("a", lambda given: given == "b", "Not yet: think."),
        (" b", "B", "Right."),
        ("a", "B", "Not yet: think."),
        (2, "B", "Not yet: think."),
        ("two", 2.0, "Not yet: your answer ended with"),
        (lambda x: x[0], lambda given: given(3), "Not yet: your answer ended with TypeError"),
    ],
)
def test_answers_are_checked(capsys, answer, right, printed):
    notebook.check(answer, right, "think.")
    assert capsys.readouterr().out.startswith(printed)


@pytest.mark.parametrize(
    ("stored", "name", "pictures"), [(False, "mnist", 1), (True, "digits", 1), (True, "mnist", 0), (True, "folder", 0)]
)
def test_pictures_that_others_own_are_not_stored(shown, monkeypatch, stored, name, pictures):
    monkeypatch.setattr(notebook, "STORED", stored)
    notebook.show_reals(ImageDataset(name, np.zeros((4, 28, 28, 1), np.uint8), None, "a test"), range(4))
    assert sum(isinstance(thing, notebook.Picture) for thing in shown) == pictures
    assert len(shown) == 1


def test_an_unavailable_data_set_is_replaced_by_the_embedded_one(shown, monkeypatch):
    def load(config):
        if config.dataset == "pokemon":
            raise registry.Unavailable("There is no /home/ada/data/pokemon, and https://hub could not be reached.")
        return ImageDataset(config.dataset, creatures.draw(creatures.parameters(40, seed=0), 64), None, "a test")

    monkeypatch.setattr(registry, "load", load)
    config, images = notebook.load(preset_config("pokemon", seed=7, epochs=3))
    assert (config.dataset, config.seed, config.epochs, images.name) == ("creatures", 7, 3, "creatures")
    assert config.augment == preset_config("creatures").augment
    assert "`pokemon` is not on this machine" in shown[0].data and "creatures" in shown[0].data
    assert "/home/ada" not in shown[0].data and "https" not in shown[0].data
    asked = preset_config("creatures")
    assert notebook.load(asked)[0] == asked and len(shown) == 1


def test_watch_keeps_grids_and_history(shown):
    config = Config(batch_size=4, width=16, latent_dim=4, epochs=2, steps_per_epoch=2)
    images = registry.load(config)
    gan = build_gan(config, images.shape)
    watch = notebook.Watch(np.zeros((8, 4)), quiet=True, extra=[lambda gan, epoch: {"twice": 2.0 * epoch}])
    train_epochs(gan, images, config, callbacks=[watch])
    assert len(watch.frames) == 3 and not np.array_equal(watch.frames[0], watch.frames[2])
    assert watch.history["epoch"] == [1, 2] and watch.history["twice"] == [2, 4]
    assert {*GAN.LOGGED, *GAN.DIAGNOSTICS} <= watch.history.keys()
    assert all(len(values) == 2 for values in watch.history.values())
    assert watch.seconds > 0 and not shown


def test_watch_has_an_empty_history_when_training_fails_at_once():
    assert notebook.Watch(np.zeros((8, 4))).history["epoch"] == []


def test_watch_redraws_in_place(monkeypatch):
    """One grid and one line of numbers on the page, whatever the number of epochs."""
    places = []

    def handle():
        places.append([])
        return SimpleNamespace(display=places[-1].append, update=places[-1].append)

    monkeypatch.setattr(notebook.display, "DisplayHandle", handle)
    config = Config(batch_size=4, width=16, latent_dim=4, epochs=2, steps_per_epoch=1)
    images = registry.load(config)
    train_epochs(build_gan(config, images.shape), images, config, callbacks=[notebook.Watch(np.zeros((8, 4)))])
    grids, lines = places
    assert [grid.alt for grid in grids] == [f"8 fakes after epoch {epoch}" for epoch in range(3)]
    assert lines[0].data == "epoch 0" and re.match(r"epoch 2   d_loss \d.*D\(G\(z\)\)_after 0\.\d\d$", lines[2].data)


def test_a_slider_is_first_a_static_picture(shown, monkeypatch):
    monkeypatch.setattr(notebook, "STORED", True)
    notebook.slider(lambda value: np.full((5, 10, 1), round(value), np.uint8), 0, 60, "grey", "greys", steps=3)
    assert np.asarray(picture_in(shown[0]))[::5, 0].tolist() == [0, 30, 60]
    assert "grey = 0, 30, 60" in shown[0].alt and len(shown) == 1


def test_exercises_are_asked_hinted_and_solved(shown, monkeypatch, capsys):
    monkeypatch.setattr(notebook, "STORED", True)
    asked = notebook.Exercises(
        predictions={1: notebook.Prediction("Up or down?", ("Up.", "Down."))},
        exercises={1: notebook.Exercise(right=4.0, hint="twice two.", solution="answer = 2 * 2")},
    )
    asked.predict(1)
    asked.hint(1)
    asked.solution(1)
    question, hint, solution = (thing.data for thing in shown)
    assert "Up or down?" in question and "- **A**: Up.\n- **B**: Down." in question
    assert "twice two." in hint and solution == "```python\nanswer = 2 * 2\n```"
    asked.check(1, 4)
    asked.check(1, 5)
    assert capsys.readouterr().out == "Right.\nNot yet: twice two.\n"


def test_a_command_runs_in_its_folder_and_prints_no_path_of_this_machine(tmp_path, monkeypatch, capsys):
    def main(arguments):
        print("wrote", tmp_path / arguments[1], Path.cwd())
        print("1/2 \u2501\u2501", end="\b" * 5)
        print("2/2 \u2501\u2501")
        print("10%\r100%")
        print("gan_tf: a warning", file=sys.stderr)
        sys.exit("gan_tf: a sentence for the user")

    main.__module__ = "gan_tf.example"
    before = Path.cwd()
    notebook.command(main, "--out 'my file.png'", tmp_path)
    assert capsys.readouterr().out == (
        "$ python -m gan_tf.example --out 'my file.png'\n\nwrote my file.png .\n100%\n"
        "gan_tf: a warning\ngan_tf: a sentence for the user\n"
    )
    assert Path.cwd() == before
