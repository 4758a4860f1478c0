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


def test_a_grid_is_as_square_as_can_be_and_small_images_are_enlarged():
    assert plots.grid(numbered(9, side=28)).shape == (3 * 58 + 2, 3 * 58 + 2, 1)
    assert plots.grid(numbered(4, side=64, channels=3)).shape == (2 * 66 + 2, 2 * 66 + 2, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_comes_back_as_it_was(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    plots.save_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(plots.open_png(tmp_path / "a.png"), picture)


def test_a_gif_has_every_frame_in_order(tmp_path):
    plots.save_gif(tmp_path / "a.gif", list(numbered(5)), seconds=0.1, hold=1.0)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 5 and gif.info["loop"] == 0
        values, durations = [], []
        for i in range(5):
            gif.seek(i)
            values.append(int(np.asarray(gif.convert("L"))[0, 0]))
            durations.append(gif.info["duration"])
    assert values == [0, 10, 20, 30, 40]
    assert durations == [100, 100, 100, 100, 1100]


def test_a_strip_has_the_first_column_of_each_frame():
    frames = [plots.grid(np.full((4, 20, 20, 1), v, np.uint8), columns=2, scale=1) for v in (50, 100, 150)]
    picture = plots.strip(frames, ["epoch 1", "epoch 2", "epoch 3"], columns=2)
    assert picture.shape == (18 + 2 * 22 + 2, 3 * 22, 1)
    assert [int(picture[30, 22 * i + 10, 0]) for i in range(3)] == [50, 100, 150]
    assert (picture[:18] < 128).any()  # The captions.


def test_curves_are_drawn_with_every_line(tmp_path):
    names = ("d_loss", "g_loss", "D(x)", "D(G(z))_before", "D(G(z))_after")
    history = {"epoch": [1, 2]} | {name: [0.2, 0.8] for name in names}
    plots.save_curves(tmp_path / "a.png", history)
    plots.save_curves(tmp_path / "b.png", history | {"g_loss": [0.8, 0.2]})
    a, b = (plots.open_png(tmp_path / name) for name in ("a.png", "b.png"))
    assert a.shape == (320, 1200, 4)
    half = a.shape[1] // 2
    assert not np.array_equal(a[:, :half], b[:, :half])
    np.testing.assert_array_equal(a[:, half:], b[:, half:])
