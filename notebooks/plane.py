"""Pictures of two-dimensional GANs: real points, fakes, the discriminator's field and the gradient on each fake.

A moment of training is a dict: `step`, `fakes` (N, 2), `field` (SIDE, SIDE), D at the points of `GRID`, and `push`
(N, 2), the gradient of D's logit at each fake. Blue means real and orange fake, which colour-blind readers can tell.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image

from charts import BLUE, GREY, ORANGE
from gan_tf import notebook as nb
from gan_tf.run import plots

SIDE, EDGE = 60, 1.15
AXIS = np.linspace(-EDGE, EDGE, SIDE, dtype=np.float32)
GRID = np.stack(np.meshgrid(AXIS, AXIS), axis=-1).reshape(-1, 2)
# The alt text of the chapter's film.
FILM = (
    "Animation: the heap of orange fakes runs from side to side, scatters, settles on the ring of blue crosses, and"
    " breaks into eight clouds"
)
FIELD = LinearSegmentedColormap.from_list("field", [ORANGE, "#ffffff", BLUE])
REAL = {"marker": "x", "color": "#004a75", "markersize": 4, "linestyle": ""}
FAKE = {
    "marker": "o",
    "color": "#e8762d",
    "markeredgecolor": "black",
    "markeredgewidth": 0.6,
    "markersize": 4,
    "linestyle": "",
}


def frame(axes, title: str) -> None:
    """Equal axes of the plane."""
    axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal")
    axes.set(xlabel="first coordinate", ylabel="second coordinate", title=title)
    axes.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])


def paint(axes, moment: dict, reals: np.ndarray, arrows: int = 40) -> None:
    """The field, 120 real points, 200 fakes and the pushes on some, in units of their median and at most 2."""
    levels = np.linspace(0, 1, 11)
    axes.contourf(AXIS, AXIS, moment["field"], levels=levels, cmap=FIELD, alpha=0.75)
    axes.plot(*reals[:120].T, **REAL)
    axes.plot(*moment["fakes"][:200].T, **FAKE)
    frame(axes, f"step {moment['step']:,}")
    if not arrows:
        return
    push = moment["push"][:arrows]
    length = np.linalg.norm(push, axis=1, keepdims=True)
    median = max(np.median(length), 1e-12)
    push = push / np.maximum(median, length / 2)
    style = {"angles": "xy", "scale": 11, "width": 0.006, "zorder": 3}
    axes.quiver(*moment["fakes"][:arrows].T, *push.T, **style)


def show_points(points: np.ndarray, alt: str) -> None:
    """Real points in the plane."""
    canvas, axes = nb.figure(width=4.2, height=4.2)
    axes.plot(*points.T, **REAL)
    frame(axes, f"{len(points)} real points")
    nb.show(canvas, alt)


def show_moments(moments: Sequence[dict], reals: np.ndarray, alt: str) -> None:
    """Moments of training, two a row, so that a phone can show them."""
    canvas, axes = nb.figure(2, (len(moments) + 1) // 2, width=3.2, height=3.2)
    for panel, moment in zip(np.ravel(axes), moments, strict=True):
        paint(panel, moment, reals)
        panel.axis("off")  # On a phone, labels would be too small to read.
    nb.show(canvas, alt)


def show_moment(moment: dict, reals: np.ndarray, alt: str) -> None:
    """One moment, large and without arrows."""
    canvas, axes = nb.figure(width=5.2, height=5.2)
    paint(axes, moment, reals, arrows=0)
    nb.show(canvas, alt)


def show_film(moments: Sequence[dict], reals: np.ndarray, alt: str) -> None:
    """All moments as an animated GIF."""
    frames = []
    for moment in moments:
        canvas, axes = nb.figure(width=4.4, height=4.4)
        paint(axes, moment, reals, arrows=30)
        frames.append(rasterise(canvas))
    nb.show(film(frames, seconds=0.25), alt)


def show_duel(
    games: dict[str, Sequence[dict]], reals: np.ndarray, alt: str, last: int
) -> None:
    """The last moments of two games side by side, under their names, as an animated GIF."""
    frames = []
    for moments in zip(*(game[-last:] for game in games.values()), strict=True):
        canvas, axes = nb.figure(2, width=3.2, height=3.3)
        for panel, name, moment in zip(axes, games, moments, strict=True):
            paint(panel, moment, reals, arrows=0)
            # Fakes that are all on one spot are easily overlooked.
            if np.ptp(moment["fakes"], axis=0).max() < 0.1:
                panel.plot(*moment["fakes"][:1].T, **FAKE | {"markersize": 11})
            panel.set(title=f"{name}, step {moment['step']:,}", xlabel="", ylabel="")
            panel.set(xticks=[], yticks=[])
            panel.axis("off")
        frames.append(rasterise(canvas))
    nb.show(film(frames, seconds=0.4), alt)


def rasterise(canvas) -> np.ndarray:
    """A figure as uint8 pixels (H, W, 3)."""
    canvas.set_dpi(80)
    canvas.canvas.draw()
    return np.asarray(canvas.canvas.buffer_rgba())[..., :3]


def film(frames: Sequence[np.ndarray], seconds: float) -> bytes:
    """Frames (H, W, 3) as a GIF. Few colours make a small file; one palette for all frames keeps those of the field."""
    pixels = Image.fromarray(np.concatenate(frames))
    pixels = pixels.quantize(96, dither=Image.Dither.NONE).convert("RGB")
    frames = np.split(np.asarray(pixels), len(frames))
    return plots.encode_animation(frames, ".gif", seconds=seconds, hold=2.0)


def show_detective(x, p, q, learned, best) -> None:
    """Densities p and q above, the trained D on top of the best one below, over the same x."""
    alt = (
        "Above: two bells of real data, one wide bell of fakes. Below: the trained D lies on p / (p + q) where there"
        " is data, and departs from it further out"
    )
    canvas, axes = nb.figure(1, 2, width=4.6, height=2.7)
    axes[0].plot(x, p, color=BLUE, label="p, the real data")
    axes[0].plot(x, q, color=ORANGE, linestyle="--", label="q, the fakes")
    axes[0].set(xlabel="x", ylabel="density")
    axes[1].plot(x, best, color="black", linewidth=5, alpha=0.25, label="p / (p + q)")
    axes[1].plot(x, learned, color=BLUE, label="the trained D(x)")
    axes[1].axhline(0.5, color=GREY, linestyle=":", label="cannot tell: one half")
    axes[1].set(xlabel="x", ylabel="D(x), share real", ylim=(0, 1))
    for panel in axes:
        panel.legend(fontsize="small")
    nb.show(canvas, alt)


def show_pushes(away, divergence, minimax, non_saturating) -> None:
    """The Jensen-Shannon divergence against the distance of the fakes, and the gradient of both generator losses."""
    alt = (
        "Above: the divergence rises from 0 and levels off at log 2. Below: the minimax gradient rises a little and"
        " falls back to 0, the non-saturating one keeps rising"
    )
    canvas, axes = nb.figure(1, 2, width=4.6, height=2.7)
    axes[0].plot(away, divergence, color="black", label="Jensen-Shannon divergence")
    axes[0].axhline(np.log(2), color=GREY, linestyle=":", label="its ceiling, log 2")
    axes[0].set(xlabel="distance between fakes and real data", ylabel="nats")
    axes[1].plot(away, minimax, color=ORANGE, linestyle="--", label="minimax")
    axes[1].plot(away, non_saturating, color=BLUE, label="non-saturating")
    axes[1].set(
        xlabel="distance between fakes and real data", ylabel="size of gradient"
    )
    for panel in axes:
        panel.legend(fontsize="small")
    nb.show(canvas, alt)


def show_game(moments: Sequence[dict], alt: str) -> None:
    """Both losses over the steps, with their values at D = 1/2."""
    canvas, axes = nb.figure(width=4.6, height=3.2)
    steps = [moment["step"] for moment in moments[1:]]
    for name, label, style, level in (
        ("d_loss", "detective", {"color": BLUE}, 2 * np.log(2)),
        ("g_loss", "forger", {"color": ORANGE, "linestyle": "--"}, np.log(2)),
    ):
        axes.plot(steps, [moment[name] for moment in moments[1:]], label=label, **style)
        axes.axhline(level, linestyle=":", color=style["color"])
    axes.set(xlabel="step (logarithmic)", ylabel="loss (nats)", xscale="log")
    axes.legend(fontsize="small")
    nb.show(canvas, alt)
