import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from gan_tf.run import plots


def numbered(count, side=4, channels=1):
    return np.stack([np.full((side, side, channels), 10 * i, np.uint8) for i in range(count)])


def test_a_grid_has_each_image_in_its_place():
    picture = plots.grid(numbered(6), columns=3, scale=2, gap=1)
    assert picture.shape == (2 * 9 + 1, 3 * 9 + 1, 1)
    for i in range(6):
        y, x = 1 + i // 3 * 9, 1 + i % 3 * 9
        assert (picture[y : y + 8, x : x + 8] == 10 * i).all()
    assert (picture[0] == 255).all() and (picture[:, 9] == 255).all()


def test_a_grid_is_nearly_square_and_enlarges_small_images():
    assert plots.grid(numbered(9, side=28)).shape == (3 * 58 + 2, 3 * 58 + 2, 1)
    assert plots.grid(numbered(4, side=64, channels=3)).shape == (2 * 66 + 2, 2 * 66 + 2, 3)


def test_transparent_images_lie_on_a_checkerboard():
    images = np.zeros((3, 16, 8, 4), np.uint8)
    images[..., :3], images[0, ..., 3], images[1, ..., 3] = (250, 10, 20), 255, 51
    picture = plots.grid(images, columns=3, scale=2, gap=1)
    assert picture.shape == (34, 3 * 17 + 1, 3) and (picture[0] == 255).all()
    opaque, faint, clear = (picture[1:33, 1 + 17 * i : 17 + 17 * i].astype(int) for i in range(3))
    assert (opaque == (250, 10, 20)).all()
    fields = (np.indices((32, 16)) // 4).sum(axis=0) % 2
    np.testing.assert_array_equal(clear, np.where(fields, 204, 255)[..., None].repeat(3, axis=2))
    np.testing.assert_allclose(faint, 0.8 * clear + 0.2 * np.array([250, 10, 20]), atol=0.51)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_is_lossless(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    plots.save_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(plots.open_png(tmp_path / "a.png"), picture)


@pytest.mark.parametrize(
    ("hold", "expected", "milliseconds"),
    [(0.0, [0, 10, 20, 30, 40], [100] * 5), (1.0, [40, 0, 10, 20, 30], [1100, 100, 100, 100, 100])],
)
def test_a_gif_has_every_frame_in_order_and_begins_with_one_that_it_holds(tmp_path, hold, expected, milliseconds):
    plots.save_animation(tmp_path / "a.gif", list(numbered(5)), seconds=0.1, hold=hold)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 5 and gif.info["loop"] == 0
        values, durations = [], []
        for i in range(5):
            gif.seek(i)
            values.append(int(np.asarray(gif.convert("L"))[0, 0]))
            durations.append(gif.info["duration"])
    assert values == expected
    assert durations == milliseconds


@pytest.mark.parametrize("channels", [1, 3])
def test_an_mp4_plays_in_browsers_and_has_every_frame_in_order(tmp_path, channels):
    frames = [np.full((31, 45, channels), value, np.uint8) for value in (20, 100, 180)]
    for frame in frames:
        frame[:16] = 255
    plots.save_animation(tmp_path / "a.mp4", frames, seconds=0.2, hold=0.3)
    data = (tmp_path / "a.mp4").read_bytes()
    meta = iio.immeta(data, plugin="pyav", extension=".mp4")
    assert (meta["codec"], meta["video_format"], meta["fps"]) == ("h264", "yuv420p", 5)
    video = iio.imread(data, plugin="pyav", extension=".mp4")
    assert video.shape == (3 + 2, 32, 46, 3)  # 0.3 s are two more frames at 5 a second; both sides are even.
    np.testing.assert_allclose(video[:, 4:12, 8:40].mean((1, 2, 3)), 255, atol=4)
    np.testing.assert_allclose(video[:, 20:, :].mean((1, 2, 3)), [20, 100, 180, 180, 180], atol=4)


def test_a_missing_video_plugin_is_one_sentence_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'run python -m pip install "imageio\[pyav\]"'):
        plots.save_animation(tmp_path / "a.mp4", list(numbered(2)))
    with pytest.raises(ValueError, match=r"\.gif or an \.mp4"):
        plots.save_animation(tmp_path / "a.webm", list(numbered(2)))
    assert not list(tmp_path.iterdir())


def test_a_strip_has_the_first_column_of_each_frame():
    frames = [plots.grid(np.full((4, 20, 20, 1), v, np.uint8), columns=2, scale=1) for v in (50, 100, 150)]
    picture = plots.strip(frames, ["epoch 1", "epoch 2", "epoch 3"], columns=2)
    assert picture.shape == (18 + 2 * 22 + 2, 3 * 22, 1)
    assert [int(picture[30, 22 * i + 10, 0]) for i in range(3)] == [50, 100, 150]
    assert (picture[:18] < 128).any()  # The captions.


NAMES = ("d_loss", "g_loss", "D(x)", "D(G(z))_before", "D(G(z))_after")
HISTORY = {"epoch": [1, 2]} | {name: [0.2, 0.8] for name in NAMES}


def curves(path, history, *args):
    plots.save_curves(path, history, *args)
    return plots.open_png(path).astype(int)


def test_each_curve_changes_its_own_panel_only(tmp_path):
    a = curves(tmp_path / "a.png", HISTORY)
    b = curves(tmp_path / "b.png", HISTORY | {"g_loss": [0.8, 0.2]})
    assert a.shape == (320, 1200, 4)
    half = a.shape[1] // 2
    assert not np.array_equal(a[:, :half], b[:, :half])
    np.testing.assert_array_equal(a[:, half:], b[:, half:])


def test_the_losses_of_chance_are_drawn_with_the_losses_only(tmp_path):
    a = curves(tmp_path / "a.png", HISTORY, None, (0.3, 0.7))
    b = curves(tmp_path / "b.png", HISTORY, None, (0.4, 0.6))
    half = a.shape[1] // 2
    assert not np.array_equal(a[:, :half], b[:, :half])
    np.testing.assert_array_equal(a[:, half:], b[:, half:])


def test_the_healthy_range_is_shaded(tmp_path):
    history = {"epoch": [1, 2, 3], "accuracy_real": [0.6, 0.7, 0.8], "spread": [0.5, 0.9, 1.0]}
    a = curves(tmp_path / "a.png", history)
    b = curves(tmp_path / "b.png", history, {"accuracy_real": (0.5, 0.95)})
    half = a.shape[1] // 2
    greener = (b[..., 1] - b[..., 0]) - (a[..., 1] - a[..., 0]) > 5
    assert greener[:, :half].mean() > 0.1
    np.testing.assert_array_equal(a[:, half:], b[:, half:])


def test_values_that_are_not_finite_are_left_out(tmp_path):
    a = curves(tmp_path / "a.png", {"epoch": [1, 2, 3], "frechet_distance": [2.0, np.nan, 1.0]})
    b = curves(tmp_path / "b.png", {"epoch": [1, 3], "frechet_distance": [2.0, 1.0]})
    np.testing.assert_array_equal(a, b)


def test_the_curve_of_a_long_run_has_few_points_and_every_outlier():
    values = np.sin(np.arange(100_000))
    values[[12_345, 77_778]] = 50, -50
    values[::7] = np.nan
    rows = plots.outline(values)
    assert len(rows) <= 1000 and {12_345, 77_778} <= {*rows} and np.isfinite(values[rows]).all()
    np.testing.assert_array_equal(plots.outline(values[:1000]), np.flatnonzero(np.isfinite(values[:1000])))
