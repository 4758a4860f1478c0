import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from gan_tf import notebook
from gan_tf.config import Config, preset_config
from gan_tf.data import creatures
from gan_tf.data import registry as datasets
from gan_tf.data.images import ImageDataset
from gan_tf.gan import GAN, to_unit_range


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, in order."""
    found = []
    monkeypatch.setattr(notebook.display, "display", lambda thing, **_: found.append(thing) or thing)
    return found


def picture_in(html):
    return Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", html.data)[1])))


def test_a_picture_is_shown_as_it_is_with_its_alt_text(shown):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    notebook.show(picture, 'a "grid" of <noise>', width=200)
    assert 'alt="a &quot;grid&quot; of &lt;noise&gt;"' in shown[0].data and "min(100%, 200px)" in shown[0].data
    np.testing.assert_array_equal(np.asarray(picture_in(shown[0])), picture)


def test_a_large_picture_is_shown_as_jpeg(shown):
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    notebook.show(noise, "noise")
    assert "data:image/jpeg" in shown[0].data and picture_in(shown[0]).size == (400, 400)


def test_a_picture_without_an_alt_text_is_refused():
    with pytest.raises(ValueError, match="alt text"):
        notebook.show(np.zeros((4, 4, 1), np.uint8), "")


@pytest.mark.parametrize("label", ["xlabel", "ylabel"])
def test_a_figure_without_an_axis_label_is_refused(shown, label):
    canvas, axes = notebook.figure(2)
    axes[0].set(xlabel="x", ylabel="y")
    axes[1].set(**{label: "one"}, title="the second")
    with pytest.raises(ValueError, match="the second"):
        notebook.show(canvas, "two panels")
    axes[1].set(xlabel="x", ylabel="y")
    notebook.show(canvas, "two panels")
    assert picture_in(shown[0]).format == "PNG"


def test_an_animation_keeps_its_frames(shown):
    notebook.show_animation([np.full((8, 8, 1), value, np.uint8) for value in (0, 90, 200)], "from black to grey")
    assert picture_in(shown[0]).n_frames == 3 and "data:image/gif" in shown[0].data


def test_the_source_that_runs_is_shown(shown):
    notebook.source(to_unit_range, GAN.descend)
    assert "gan_tf/gan.py" in shown[0].data
    text = re.sub(r"<[^>]+>", "", shown[1].data)
    assert text.startswith("def to_unit_range(images: tf.Tensor)") and "127.5" in text
    assert re.sub(r"<[^>]+>", "", shown[3].data).startswith("def descend(self")  # not indented


@pytest.mark.parametrize(
    ("answer", "right", "said"),
    [
        (..., 2.0, "Not answered yet"),
        (2.01, 2.0, "Right."),
        (2.1, 2.0, "Not yet: think."),
        (0.0, 1e-9, "Right."),
        ("b", lambda given: given == "b", "Right."),
        ("a", lambda given: given == "b", "Not yet: think."),
        ("two", 2.0, "Not yet: your answer ended with"),
        (lambda x: x[0], lambda given: given(3), "Not yet: your answer ended with TypeError"),
    ],
)
def test_answers_are_checked(capsys, answer, right, said):
    notebook.check(answer, right, "think.")
    assert capsys.readouterr().out.startswith(said)


def test_pictures_of_others_are_not_stored(shown, monkeypatch):
    pixels = np.zeros((4, 28, 28, 1), np.uint8)
    for stored, name, pictures in ((False, "mnist", 1), (True, "digits", 1), (True, "mnist", 0), (True, "folder", 0)):
        shown.clear()
        monkeypatch.setattr(notebook, "STORED", stored)
        notebook.show_reals(ImageDataset(name, pixels, None, "a test"), range(4))
        assert sum("<img" in thing.data for thing in shown) == pictures


def test_what_cannot_be_had_is_replaced_by_what_is_embedded(shown, monkeypatch):
    def load(config):
        if config.dataset == "pokemon":
            raise datasets.Unavailable("No pokemon here.")
        return ImageDataset(config.dataset, creatures.draw(creatures.parameters(40, seed=0), 64), None, "a test")

    monkeypatch.setattr(notebook.datasets, "load", load)
    config, images = notebook.load(preset_config("pokemon", seed=7, epochs=3))
    assert (config.dataset, config.seed, config.epochs, images.name) == ("creatures", 7, 3, "creatures")
    assert "No pokemon here." in shown[0].data and "`creatures`" in shown[0].data
    asked = preset_config("creatures")
    assert notebook.load(asked)[0] is asked and len(shown) == 1


def test_watching_keeps_grids_and_history(shown):
    config = Config(batch_size=4, width=16, latent_dim=4, epochs=2, steps_per_epoch=2)
    images = datasets.load(config)
    watch = notebook.Watch(np.zeros((8, 4)), quiet=True, more=[lambda gan, epoch: {"twice": 2.0 * epoch}])
    GAN(config, images.shape).fit(images, callbacks=[watch], verbose=0)
    assert len(watch.frames) == 3 and not np.array_equal(watch.frames[0], watch.frames[2])
    assert watch.history["epoch"] == [1, 2] and watch.history["twice"] == [2, 4]
    assert all(len(values) == 2 for values in watch.history.values()) and "spread" in watch.history
    assert watch.seconds > 0 and not shown


def test_a_slider_is_a_static_picture_first(shown, monkeypatch):
    monkeypatch.setattr(notebook, "STORED", True)
    notebook.slider(lambda value: np.full((5, 10, 1), round(value), np.uint8), 0, 60, "grey", "greys", steps=3)
    assert np.asarray(picture_in(shown[0]))[::5, 0].tolist() == [0, 30, 60]
    assert "grey = 0, 30, 60" in shown[0].data and len(shown) == 1
