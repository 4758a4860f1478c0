import dataclasses
import re
import shutil
import subprocess
import sys
import tracemalloc

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from gan_tf import generate
from gan_tf.config import Config
from gan_tf.data.registry import load
from gan_tf.gan import sample
from gan_tf.run import plots
from gan_tf.run.build import build_for, build_gan
from gan_tf.run.folder import Run
from gan_tf.run.loop import train_epochs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run that has trained for two steps, with only what generate needs."""
    config = Config(dataset="digits", epochs=1, steps_per_epoch=2, batch_size=4, latent_dim=8)
    images = load(config)
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", config, images, None)
    gan = build_gan(config, images.shape)
    train_epochs(gan, images, config)
    run.save_models(gan)
    return run.folder


def run(folder, out, *options):
    generate.main([str(folder), "--out", str(out), *options])
    return out


def arrays(path):
    with np.load(path) as loaded:
        return loaded["images"], loaded["inputs"]


def test_npz_has_the_images_and_the_latents_that_made_them(folder, tmp_path):
    images, latents = arrays(run(folder, tmp_path / "a.npz", "--count", "10", "--seed", "2"))
    assert images.shape == (10, 28, 28, 1) and images.dtype == np.uint8 and latents.shape == (10, 8)
    np.testing.assert_array_equal(sample(Run(folder).load_generator(), latents), images)


def test_the_same_seed_gives_the_same_images_and_a_smaller_count_the_first_of_them(folder, tmp_path):
    many, latents = arrays(run(folder, tmp_path / "a.npz", "--count", "100"))
    few, first = arrays(run(folder, tmp_path / "b.npz", "--count", "7"))
    other, _ = arrays(run(folder, tmp_path / "c.npz", "--count", "7", "--seed", "1"))
    np.testing.assert_array_equal(many[:7], few)
    np.testing.assert_array_equal(latents[:7], first)
    assert not np.array_equal(few, other)


def test_latents_do_not_depend_on_the_batch_size(folder, monkeypatch):
    generator = Run(folder).load_generator()
    whole = next(generate.Request(generator, 10).latents())
    monkeypatch.setattr(generate, "MAX_BATCH", 4)
    parts = list(generate.Request(generator, 10).latents())
    assert [part.shape for part in parts] == [(4, 8), (4, 8), (2, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_memory_does_not_grow_with_the_count(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "MAX_BATCH", 64)
    generator = Run(folder).load_generator()
    peaks = []
    for count in (256, 1024):
        tracemalloc.start()
        generate.write_npz(tmp_path / "a.npz", generate.Request(generator, count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    images, latents = arrays(tmp_path / "a.npz")
    assert len(images) == len(latents) == 1024 and images[-1].any()
    assert peaks[1] - peaks[0] < 500_000 < images.nbytes - 256 * 28 * 28


def test_png_is_the_grid_of_the_same_images(folder, tmp_path):
    images, _ = arrays(run(folder, tmp_path / "a.npz", "--count", "6"))
    picture = plots.open_png(run(folder, tmp_path / "a.png", "--count", "6"))
    np.testing.assert_array_equal(picture, plots.grid(images))


def test_individual_writes_one_numbered_file_for_each_image(folder, tmp_path):
    images, _ = arrays(run(folder, tmp_path / "a.npz", "--count", "3"))
    run(folder, tmp_path / "one.png", "--count", "3", "--individual")
    names = [f"one_0000{i}.png" for i in range(3)]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == names
    for name, image in zip(names, images, strict=True):
        np.testing.assert_array_equal(plots.open_png(tmp_path / name), image)


def test_gif_walks_through_the_images_and_back(folder, tmp_path):
    images, _ = arrays(run(folder, tmp_path / "a.npz", "--count", "3"))
    with Image.open(run(folder, tmp_path / "a.gif", "--count", "3")) as gif:
        assert gif.n_frames == 3 * 16
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("L")).astype(int))
    for i in range(3):
        np.testing.assert_array_equal(frames[16 * i], plots.grid(images[i : i + 1], scale=9)[..., 0])
    steps = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    far = np.abs(frames[0] - frames[16]).mean()
    assert max(steps) < far / 2


def test_mp4_is_the_same_walk(folder, tmp_path):
    out = run(folder, tmp_path / "a.mp4", "--count", "2")
    assert out.read_bytes()[4:8] == b"ftyp"
    frames = iio.imread(out, plugin="pyav")
    walk = generate.walk(generate.Request(Run(folder).load_generator(), 2))
    assert len(frames) == len(walk) == 32
    for frame, image in zip(frames, walk, strict=True):
        grid = plots.grid(image[np.newaxis], scale=9)
        difference = frame[: grid.shape[0], : grid.shape[1]].astype(float) - grid
        assert np.abs(difference).mean() < 10, "video loses details only"


def test_mp4_without_pyav_says_what_to_install_before_it_draws(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "can_write_mp4", lambda: False)
    monkeypatch.setattr(generate, "walk", None)
    with pytest.raises(SystemExit, match="needs PyAV"):
        run(folder, tmp_path / "new" / "a.mp4")
    assert not (tmp_path / "new").exists()


def test_config_and_generator_are_enough_in_any_folder(folder, tmp_path):
    (tmp_path / "moved").mkdir()
    for name in ("config.json", "generator.keras"):
        shutil.copy(folder / name, tmp_path / "moved" / name)
    run(tmp_path / "moved", tmp_path / "a.png", "--count", "2")


def test_generator_keras_opens_without_gan_tf(folder, tmp_path):
    images, latents = arrays(run(folder, tmp_path / "a.npz", "--count", "5"))
    np.savez(tmp_path / "given.npz", latents=latents)
    shutil.copy(folder / "generator.keras", tmp_path)
    program = (
        "import sys, keras, numpy as np\n"
        "sys.modules['gan_tf'] = None  # Importing it fails, as if it were not installed.\n"
        "fakes = keras.models.load_model('generator.keras')(np.load('given.npz')['latents']).numpy()\n"
        "np.save('theirs.npy', np.rint((fakes + 1) * 127.5).astype(np.uint8))\n"
    )
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True, capture_output=True)
    theirs = np.load(tmp_path / "theirs.npy").astype(int)
    assert np.abs(theirs - images).max() <= 1  # Another batch size may round differently.
    assert (theirs == images).mean() > 0.999


@pytest.mark.parametrize(
    "options, why",
    [
        (["--count", "0"], "--count is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--out", "a.jpg"], r"--out is a.jpg, but it must be a name that ends in .png"),
        (["--out", "a.npz", "--individual"], "--individual writes .png files"),
        (["--out", "a.gif", "--count", "1"], "at least 2 images"),
        (["--out", "a.mp4", "--count", "1"], "at least 2 images"),
        (["--out", "a.png", "--count", "1000000"], "too large for image viewers"),
        (["--truncation", "-0.5"], "--truncation is -0.5, but it must be a finite number of at least 0"),
        (["--interpolate", "3"], "--interpolate is 3, but it must be two different whole numbers from 0 to 999999"),
        (["--interpolate", "3", "3"], "--interpolate is 3 3, but it must be two different"),
        (["--interpolate", "0", "1000000"], "from 0 to 999999"),
        (["--interpolate", "0", "1", "--label", "all"], "--interpolate takes one --label at most"),
        (["--interpolate", "0", "1", "--count", "3", "--out", "a.gif"], "--count does nothing for an animation"),
        (["--project", "a.png", "--interpolate", "0", "1"], "--interpolate does nothing with --project"),
        (["--project", "a.png", "--count", "1"], "--count does nothing with --project"),
        (["--project", "a.png", "--truncation", "0.7"], "--truncation does nothing with --project"),
        (["--project", "a.png", "--individual"], "--individual does nothing with --project"),
        (["--project", "a.png", "--out", "b.gif"], "--out is b.gif, but it must be a name that ends in .png or .npz"),
        (["--project", "a.png"], r"a.png cannot be read as a picture \(No such file"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_no_file(folder, tmp_path, monkeypatch, options, why):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=why):
        generate.main([str(folder), *options])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_run_and_an_unwritable_file_get_one_sentence(folder, tmp_path):
    with pytest.raises(SystemExit, match="is not the folder of a run"):
        generate.main([str(tmp_path)])
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="could not be written"):
        generate.main([str(folder), "--out", str(tmp_path / "file" / "a.png")])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The folder of a conditional run on zeros, twos and nines."""
    small = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "latent_dim": 8}
    config = Config(dataset="digits", label=("2", "0", "9"), conditional=True, **small)
    images = load(config)
    run = Run.create(tmp_path_factory.mktemp("runs") / "told", config, images, None)
    gan = build_for(images, config)
    train_epochs(gan, images, config)
    run.save_models(gan)
    return run.folder


def labels_of(path):
    with np.load(path) as loaded:
        return loaded["inputs"][:, 8:].argmax(axis=1), loaded["inputs"][:, :8], loaded["images"]


def test_labels_are_drawn_as_asked_all_from_the_same_latents(told, tmp_path):
    labels, latents, images = labels_of(run(told, tmp_path / "a.npz", "--label", "9", "0", "--count", "5"))
    assert labels.tolist() == [2] * 5 + [0] * 5  # Their classes are 0, 2 and 9, in this order.
    np.testing.assert_array_equal(latents[:5], latents[5:])
    # A row for each label, a column for each latent.
    picture = plots.open_png(run(told, tmp_path / "a.png", "--label", "9", "0", "--count", "5"))
    np.testing.assert_array_equal(picture, plots.grid(images, columns=5))
    everything, *_ = labels_of(run(told, tmp_path / "b.npz", "--label", "all"))
    assert everything.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    one, *_ = labels_of(run(told, tmp_path / "c.npz", "--label", "2"))
    assert one.tolist() == [1] * 64


def test_without_a_label_all_are_drawn_as_often_as_in_the_data(told, tmp_path, monkeypatch):
    labels, latents, _ = labels_of(run(told, tmp_path / "a.npz", "--count", "900"))
    np.testing.assert_allclose(np.bincount(labels) / 900, list(Run(told).read_classes().values()), atol=0.05)
    monkeypatch.setattr(generate, "MAX_BATCH", 64)
    again, again_latents, _ = labels_of(run(told, tmp_path / "b.npz", "--count", "900"))
    assert again.tolist() == labels.tolist() and np.array_equal(again_latents, latents)


def test_a_walk_between_labels_keeps_the_latent(told, monkeypatch):
    seen = []
    monkeypatch.setattr("gan_tf.gan.sample", lambda generator, inputs: seen.append(inputs) or inputs)
    request = generate.make_request(generate.parse([str(told), "--label", "0", "9", "--out", "a.gif"]))
    assert request.total == 2
    (inputs,) = [generate.walk(request, steps=4)]
    assert len(inputs) == 8 and np.ptp(inputs[:, :8], axis=0).max() == 0
    np.testing.assert_allclose(inputs[:, 8:].sum(axis=1), 1)
    np.testing.assert_allclose(inputs[:, 10], [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25])
    # Two latents: first all labels of one, then all labels of the other.
    stops = generate.walk(dataclasses.replace(request, count=2), steps=1)
    assert stops[:, 8:].argmax(axis=1).tolist() == [0, 2, 0, 2]
    assert np.array_equal(stops[0, :8], stops[1, :8]) and not np.array_equal(stops[1, :8], stops[2, :8])


@pytest.mark.parametrize(
    "which, label, why",
    [
        ("told", "5", "has no label '5'; its labels are 0, 2, 9. Or use --label all."),
        ("folder", "5", "is not conditional, so it cannot be told what to draw: leave --label out."),
        ("folder", "all", "is not conditional"),
    ],
)
def test_a_label_that_the_run_does_not_know(which, label, why, request, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        run(request.getfixturevalue(which), tmp_path / "a.png", "--label", label)
    assert str(stopped.value).startswith("gan_tf: ") and why in str(stopped.value)
    assert not (tmp_path / "a.png").exists()


def test_truncation_shortens_latents_and_keeps_labels(told, tmp_path):
    labels, latents, _ = labels_of(run(told, tmp_path / "a.npz", "--count", "20"))
    same, short, images = labels_of(run(told, tmp_path / "b.npz", "--count", "20", "--truncation", "0.5"))
    np.testing.assert_allclose(short, latents / 2, atol=1e-6)
    assert same.tolist() == labels.tolist()
    inputs = np.concatenate([short, np.eye(3)[same]], axis=1)
    np.testing.assert_array_equal(sample(Run(told).load_generator(), inputs), images)


def test_a_truncation_to_nothing_gives_one_image_also_in_a_walk(folder, tmp_path):
    images, _ = arrays(run(folder, tmp_path / "a.npz", "--truncation", "0", "--interpolate", "0", "1"))
    np.testing.assert_array_equal(images, images[:1].repeat(8, axis=0))


def test_an_interpolation_goes_from_one_numbered_image_to_another(told, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "MAX_BATCH", 4)  # The ends are in different batches.
    labels, latents, images = labels_of(run(told, tmp_path / "a.npz", "--count", "10", "--seed", "5"))
    between = "--interpolate", "7", "1", "--seed", "5"
    _, way, drawn = labels_of(run(told, tmp_path / "b.npz", *between))
    with np.load(tmp_path / "b.npz") as loaded:
        told_on_the_way = loaded["inputs"][:, 8:]
    assert len(drawn) == 8
    np.testing.assert_array_equal(drawn[[0, -1]], images[[7, 1]])
    assert labels[7] != labels[1]  # So that the label changes too, evenly.
    np.testing.assert_allclose(told_on_the_way, np.linspace(*np.eye(3)[labels[[7, 1]]], 8), atol=1e-6)
    # On the arc: each step turns by the same angle, unlike on a straight line.
    unit = way / np.linalg.norm(way, axis=1, keepdims=True)
    angles = np.arccos(np.sum(unit[1:] * unit[:-1], axis=1))
    straight = np.linspace(latents[7], latents[1], 8)
    assert np.linalg.norm(way[4]) > 1.05 * np.linalg.norm(straight[4]) and angles.std() < 0.3 * angles.mean()
    picture = plots.open_png(run(told, tmp_path / "a.png", *between, "--count", "5"))
    _, _, five = labels_of(run(told, tmp_path / "c.npz", *between, "--count", "5"))
    np.testing.assert_array_equal(picture, plots.grid(five, columns=5))


def test_an_animated_interpolation_goes_there_and_back(folder, tmp_path):
    images, latents = arrays(run(folder, tmp_path / "a.npz", "--count", "4"))
    request = generate.make_request(generate.parse([str(folder), "--interpolate", "3", "0", "--out", "a.gif"]))
    np.testing.assert_array_equal(np.concatenate([*request.inputs()]), latents[[3, 0]])
    np.testing.assert_array_equal(generate.walk(request, steps=4)[[0, 4]], images[[3, 0]])
    with Image.open(run(folder, tmp_path / "a.gif", "--interpolate", "3", "0")) as gif:
        assert gif.n_frames == 2 * 16


def test_a_projection_shows_the_picture_beside_the_nearest_image(told, tmp_path, capsys):
    *_, images = labels_of(run(told, tmp_path / "a.npz", "--label", "2", "--count", "2", "--seed", "1"))
    plots.save_png(tmp_path / "target.png", images[1])
    capsys.readouterr()
    options = "--project", str(tmp_path / "target.png"), "--label", "2", "0"
    picture = plots.open_png(run(told, tmp_path / "b.png", *options))
    nearest, random = map(float, re.findall(r"(\d+\.\d) (?:grey|away)", capsys.readouterr().out))
    assert nearest < random
    labels, _, (best,) = labels_of(run(told, tmp_path / "b.npz", *options))
    np.testing.assert_array_equal(picture, plots.grid(np.stack([images[1], best]), columns=2))
    assert abs(np.sqrt(np.mean((best.astype(float) - images[1]) ** 2)) - nearest) <= 0.05
    assert labels.tolist() in ([1], [0])  # Of 0, 2 and 9.


def test_a_picture_of_another_size_or_none_at_all_gets_one_sentence(folder, tmp_path):
    plots.save_png(tmp_path / "wide.png", np.zeros((28, 40, 3), np.uint8))
    (tmp_path / "text.png").write_text("text")
    for name, why in (
        ("wide.png", "has 40x28 pixels, but the generator draws 28x28: resize it"),
        ("text.png", "cannot be read as a picture .not a picture."),
    ):
        with pytest.raises(SystemExit, match=why):
            run(folder, tmp_path / "out" / "a.png", "--project", str(tmp_path / name))
    assert not (tmp_path / "out").exists()
