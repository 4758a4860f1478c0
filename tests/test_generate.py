import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from gan_tf import generate
from gan_tf.gan import GAN, sample
from gan_tf.run import plots
from gan_tf.run.folder import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run that has trained for two steps, with nothing else in it than generate needs."""
    from gan_tf.config import Config
    from gan_tf.data.registry import load

    config = Config(dataset="digits", epochs=1, steps_per_epoch=2, batch_size=4, latent_dim=8)
    images = load(config)
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", config, images, None)
    gan = GAN(config, images.shape)
    gan.fit(images, verbose=0)
    run.save_models(gan)
    return run.folder


def run(folder, out, *options):
    generate.main([str(folder), "--out", str(out), *options])
    return out


def arrays(path):
    with np.load(path) as loaded:
        return loaded["images"], loaded["latents"]


def test_npz_has_the_images_and_the_latents_they_were_drawn_from(folder, tmp_path):
    images, latents = arrays(run(folder, tmp_path / "a.npz", "--count", "10", "--seed", "2"))
    assert images.shape == (10, 28, 28, 1) and images.dtype == np.uint8 and latents.shape == (10, 8)
    np.testing.assert_array_equal(sample(Run(folder).load_generator(), latents), images)


def test_the_same_seed_gives_the_same_and_a_smaller_count_the_first_of_them(folder, tmp_path):
    many, latents = arrays(run(folder, tmp_path / "a.npz", "--count", "100"))
    few, first = arrays(run(folder, tmp_path / "b.npz", "--count", "7"))
    other, _ = arrays(run(folder, tmp_path / "c.npz", "--count", "7", "--seed", "1"))
    np.testing.assert_array_equal(many[:7], few)
    np.testing.assert_array_equal(latents[:7], first)
    assert not np.array_equal(few, other)


def test_latents_come_in_batches_and_are_the_same_in_any(folder, monkeypatch):
    generator = Run(folder).load_generator()
    whole = next(generate.latent_batches(generator, 10, 0))
    monkeypatch.setattr(generate, "BATCH", 4)
    parts = list(generate.latent_batches(generator, 10, 0))
    assert [part.shape for part in parts] == [(4, 8), (4, 8), (2, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_the_memory_does_not_grow_with_the_count(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "BATCH", 256)
    generator = Run(folder).load_generator()
    peaks = []
    for count in (1024, 4096):
        tracemalloc.start()
        generate.write_npz(tmp_path / "a.npz", generator, count, seed=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    images, latents = arrays(tmp_path / "a.npz")
    assert len(images) == len(latents) == 4096 and images[-1].any()
    assert peaks[1] - peaks[0] < 500_000 < images.nbytes - 1024 * 28 * 28


def test_png_is_the_grid_of_the_same_images(folder, tmp_path):
    images, _ = arrays(run(folder, tmp_path / "a.npz", "--count", "6"))
    picture = plots.open_png(run(folder, tmp_path / "a.png", "--count", "6"))
    np.testing.assert_array_equal(picture, plots.grid(images))


def test_individual_files(folder, tmp_path):
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


def test_the_folder_alone_is_enough_and_can_be_moved(folder, tmp_path):
    (tmp_path / "moved").mkdir()
    for name in ("config.json", "generator.keras"):
        shutil.copy(folder / name, tmp_path / "moved" / name)
    run(tmp_path / "moved", tmp_path / "a.png", "--count", "2")


def test_generator_keras_opens_where_gan_tf_is_not_installed(folder, tmp_path):
    images, latents = arrays(run(folder, tmp_path / "a.npz", "--count", "5"))
    np.savez(tmp_path / "given.npz", latents=latents)
    shutil.copy(folder / "generator.keras", tmp_path)
    program = (
        "import sys, keras, numpy as np\n"
        "sys.modules['gan_tf'] = None  # As if it were not installed: to import it fails.\n"
        "fakes = keras.models.load_model('generator.keras')(np.load('given.npz')['latents']).numpy()\n"
        "np.save('theirs.npy', np.rint((fakes + 1) * 127.5).astype(np.uint8))\n"
    )
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True, capture_output=True)
    theirs = np.load(tmp_path / "theirs.npy").astype(int)
    assert np.abs(theirs - images).max() <= 1  # A batch of another size may round otherwise.
    assert (theirs == images).mean() > 0.999


@pytest.mark.parametrize(
    "options, why",
    [
        (["--count", "0"], "--count is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--out", "a.jpg"], r"must end in .png .*, .npz .* or .gif"),
        (["--out", "a.npz", "--individual"], "--individual writes one .png each"),
        (["--out", "a.gif", "--count", "1"], "at least 2 images"),
        (["--out", "a.png", "--count", "1000000"], "too large to be looked at"),
    ],
)
def test_bad_input_gets_a_sentence_and_leaves_nothing(folder, tmp_path, monkeypatch, options, why):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=why):
        generate.main([str(folder), *options])
    assert list(tmp_path.iterdir()) == []


def test_no_run_and_a_folder_that_cannot_be_written_to(folder, tmp_path):
    with pytest.raises(SystemExit, match="is no run's folder"):
        generate.main([str(tmp_path)])
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="could not be written"):
        generate.main([str(folder), "--out", str(tmp_path / "file" / "a.png")])
