"""Oblong and transparent pictures, through every command."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from gan_tf import evaluate, export, generate, projection, train
from gan_tf.measure import features
from gan_tf.models import to_float32
from gan_tf.run import plots
from gan_tf.run.card import model_card
from gan_tf.run.folder import Run
from gan_tf.web.build import pack
from tests.web.runs import shake

pytestmark = pytest.mark.slow
CASES = [("96x64", [], (64, 96, 3)), ("24x40", ["--alpha"], (40, 24, 4))]
TINY = ["--steps-per-epoch", "2", "--batch-size", "4", "--latent-dim", "8", "--width", "16", "--decay", "none"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """160 transparent pictures with an opaque disc or bar each, in two subfolders."""
    folder, random = tmp_path_factory.mktemp("data") / "shapes", np.random.default_rng(0)
    for label, shape in (("bar", ImageDraw.ImageDraw.rectangle), ("disc", ImageDraw.ImageDraw.ellipse)):
        (folder / label).mkdir(parents=True)
        for number in range(80):
            picture = Image.new("RGBA", tuple(random.integers(40, 90, 2)))
            left, top = random.integers(5, 12, 2)
            colour = (*random.integers(0, 256, 3).tolist(), 255)
            shape(ImageDraw.Draw(picture), (left, top, left + 25, top + (10 if label == "bar" else 25)), colour)
            picture.save(folder / label / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module", params=CASES, ids=["oblong", "transparent"])
def trained(request, pictures, tmp_path_factory):
    """A run that was resumed, one that never stopped, the images' shape, and the option that asked for it."""
    size, options, shape = request.param
    folder = tmp_path_factory.mktemp("runs")
    command = ["--dataset", str(pictures), "--conditional", "--image-size", size, *options, *TINY, "--epochs"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(folder / "keras"))
        train.main([*command, "2", "--run", str(folder / "whole")])
        train.main([*command, "1", "--run", str(folder / "resumed")])
        train.main(["--resume", str(folder / "resumed"), "--epochs", "2"])
    return Run(folder / "resumed"), Run(folder / "whole"), shape, size


def cells(path, shape):
    """The images of a grid in a file, each enlarged by the same number."""
    return plots.cells(plots.open_png(path), *shape[:2], plots.display_scale(max(shape)))


def cell(image):
    """An image as it is in such a grid."""
    return plots.grid(image[np.newaxis], scale=plots.display_scale(max(image.shape)), gap=0)


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture
def run(trained, tmp_path):
    """A copy whose generator draws with contrast, which four steps do not teach."""
    copy = Run(shutil.copytree(trained[0].folder, tmp_path / "run"))
    generator = copy.load_generator()
    shake(generator, seed=0)
    generator.save(copy.generator_keras)
    return copy


def test_a_resumed_run_is_the_same_to_the_bit_and_shows_its_pictures(trained):
    run, whole, shape, size = trained
    config, record = run.read_config()
    assert (config.image_size, config.alpha) == (size, shape[2] == 4)
    assert tuple(record["data"]["shape"]) == run.load_generator().output_shape[1:] == shape
    for resumed, straight in zip(run.load_generator().weights, whole.load_generator().weights, strict=True):
        np.testing.assert_array_equal(resumed, straight)
    for path in (run.reals_png, run.sample_png(0), run.sample_png(2)):
        assert cells(path, shape).shape[:2] == (8, 8)
    assert size_of(run.progress_gif) == size_of(run.sample_png(2))


def test_it_is_drawn_from(run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "STEPS", 10)
    *_, shape, size = trained

    def draw(out, *options):
        generate.main([str(run.folder), "--out", str(tmp_path / out), *options])
        return tmp_path / out

    discs = ["--count", "5", "--label", "disc"]
    with np.load(draw("a.npz", *discs)) as arrays:
        images = arrays["images"]
    assert images.shape == (5, *shape) and np.ptp(images) > 20
    draw("one.png", *discs, "--individual")
    for number, image in enumerate(images):
        np.testing.assert_array_equal(plots.open_png(tmp_path / f"one_0000{number}.png"), image)
    np.testing.assert_array_equal(plots.open_png(draw("grid.png", *discs)), plots.grid(images))
    way = cells(draw("way.png", "--interpolate", "0", "4", "--label", "disc"), shape)
    np.testing.assert_allclose(way[0, [0, -1]].astype(int), [cell(images[0]), cell(images[4])], atol=1)  # Rounded ends.
    both = cells(draw("both.png", "--project", str(tmp_path / "one_00003.png")), shape)
    assert both.shape[:2] == (1, 2)
    np.testing.assert_array_equal(both[0, 0], cell(images[3]))
    gap, scale = 2 * plots.GAP, 256 // max(shape)
    assert size_of(draw("walk.gif", "--count", "2")) == (scale * shape[1] + gap, scale * shape[0] + gap)
    Image.new("RGB", shape[:2]).save(tmp_path / "turned.png")
    with pytest.raises(SystemExit, match=rf"has {shape[0]}x{shape[1]} pixels, but the generator draws {size}: resize"):
        draw("no.png", "--project", str(tmp_path / "turned.png"))


def test_it_is_measured(run, trained, monkeypatch, capsys):
    shape = trained[2]
    monkeypatch.setattr(features, "STEPS", 20)
    evaluate.main([str(run.folder)])
    said = capsys.readouterr().out
    assert ("measured by their colours on white and by their opacity" in said) == (shape[2] == 4)
    measured = json.loads(run.metrics_json.read_text())["evaluation"]["fakes"]
    assert f"pyramid_{shape[0]}" in measured and all(np.isfinite(value["mean"]) for value in measured.values())
    assert cells(run.copies_png, shape).shape[:2] == (2, 8)


def test_it_is_given_away(run, trained, tmp_path, capsys):
    *_, shape, size = trained
    packed, difference = pack(run)
    assert tuple(packed["shape"]) == shape and difference < 2
    assert f"160 images of shapes: {size} pixels" in packed["about"]
    assert f"pictures of {size} pixels" in model_card(run)
    export.main([str(run.folder), "--to", "savedmodel", "--out", str(tmp_path / "saved")])
    said = capsys.readouterr().out
    assert f"(N, {shape[0]}, {shape[1]}, {shape[2]})" in said and ("blue and opacity" in said) == (shape[2] == 4)
    inputs = np.eye(3, 10, dtype=np.float32)
    model = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(model.serve(inputs), to_float32(run.load_generator())(inputs), atol=1e-4)
