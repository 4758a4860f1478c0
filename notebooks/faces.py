"""Chapter 3's run, which can be left and taken up again, and its pictures."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from IPython import display

import critics
from charts import BLUE, GREY, ORANGE
from gan_tf import notebook as nb
from gan_tf import train
from gan_tf.run import plots
from gan_tf.run.folder import Run

# The alt text of the picture that the chapter begins and ends with.
OPENING = "64 fakes: faces of cats in the upper half, of dogs in the lower half"
# Those of its other pictures.
ALT = {
    "costs": (
        "Above: the time per image grows with its pixels, a little less than by counting multiplications"
    ),
    "strip": (
        "Rows of four cats and four dogs. Epoch 1: brown haze. Epoch 5: eyes and noses. From epoch 11: faces of cats and"
        " of dogs; in epoch 27, with more contrast"
    ),
    "pairs": "Two rows of six fakes: cats above; below each, from the same noise, a dog of similar colours",
    "distance": "The distances of three seeds fall from about 1.7 after two minutes to about 0.2 after eight; the floor is at 0.1",
    "memory": (
        "The share of training images called real rises to 0.87, mostly in the last epochs, and that of images never seen"
        " falls from about 0.66 to 0.47"
    ),
    "d_steps": (
        "With two discriminator steps, all three seeds lie above all three of one step, on fives and on creatures"
    ),
}
COLUMNS = 8  # Of a run's sample grid.
TWO_STEPS = "two D steps"  # A variant of benchmarks/results/ablation.md.


class Live(io.StringIO):
    """What training prints, as one line that is replaced, above the newest grid of fakes. After the epoch `last`, it
    presses Ctrl-C, at which training saves all and stops."""

    def __init__(self, run: Run, last: int | None):
        super().__init__()
        self.run, self.last, self.outside = run, last, sys.stdout
        self.places = display.DisplayHandle(), display.DisplayHandle()
        self.places[0].display(display.Pretty("It begins."))
        self.places[1].display(display.Pretty(""))

    def write(self, text: str) -> int:
        if text.strip():
            with contextlib.redirect_stdout(
                self.outside
            ):  # Where there is no notebook.
                self.update(display.Pretty(text.strip()))
        if text.startswith(f"epoch {self.last}/"):
            signal.raise_signal(signal.SIGINT)
        return len(text)

    def update(self, line: display.Pretty) -> None:
        """Show this line and the newest grid."""
        self.places[0].update(line)
        sampled = self.run.sampled_epochs()
        if len(sampled):
            grid = plots.open_png(self.run.sample_png(sampled[-1]))
            self.places[1].update(nb.encode(grid, "The fakes so far"))


def train_or_open(folder: str, options: Sequence[str], last: int | None = None) -> Run:
    """The run in `folder`, trained until the end of epoch `last`, by default until its own end.

    A run that does not exist begins with these options of gan_tf.train. One that was stopped before goes on where it
    stopped, and one that has got there already is only opened.
    """
    run = Run(Path(folder))
    if not has_done(run, last):
        begun = run.config_json.exists()
        where = ["--resume", folder] if begun else ["--run", folder, *options]
        shown, stopped = Live(run, last), contextlib.suppress(SystemExit)  # By Ctrl-C.
        with contextlib.redirect_stdout(shown), quiet_errors(), stopped:
            train.train(where)
        display.clear_output()
    return run


def has_done(run: Run, last: int | None) -> bool:
    """Whether all epochs of a run up to `last` are done."""
    if not run.config_json.exists():
        return False
    done = len(run.read_history().get("epoch", ()))
    return done >= (run.read_config()[0].epochs if last is None else last)


@contextlib.contextmanager
def quiet_errors() -> Iterator[None]:
    """Without what training writes past Python's streams: its answer to Ctrl-C."""
    before = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def fakes(run: Run, epoch: int) -> np.ndarray:
    """The fakes of a run after an epoch, from its sample grid, as large as they are there: (N, side, side, 3)."""
    picture = plots.open_png(run.sample_png(epoch))
    side = (picture.shape[1] - plots.GAP) // COLUMNS - plots.GAP
    return np.concatenate(plots.cells(picture, side, side))


def show_strip(run: Run, epochs: Sequence[int]) -> None:
    """The same eight fakes after some epochs, a row each: the first four, and the first four of the second half."""
    canvas, axes = nb.figure(1, len(epochs), width=5.2, height=0.62)
    for panel, epoch in zip(np.ravel(axes), epochs, strict=True):
        found = fakes(run, epoch)
        eight = np.concatenate([found[:4], found[len(found) // 2 :][:4]])
        panel.imshow(plots.grid(eight, columns=8, scale=1))
        panel.axis("off")
        panel.set_anchor("E")  # The room that is left is the text's.
        panel.text(
            -0.01,
            0.5,
            f"epoch {epoch}",
            transform=panel.transAxes,
            ha="right",
            va="center",
        )
    nb.show(canvas, ALT["strip"])


def show_costs(measured: Mapping[str, np.ndarray], computed: np.ndarray) -> None:
    """Time and memory of training against the pixels of an image, and beside the time what the multiplications alone
    would give, scaled to agree at 64 x 64."""
    canvas, axes = nb.figure(1, 2, width=4.6, height=3.0)
    sides, times = measured["size"], 1000 / measured["images/s"]
    at = list(sides).index(64)
    axes[0].plot(sides**2, times, color=BLUE, marker="o", label="measured")
    axes[0].plot(
        sides**2,
        computed / computed[at] * times[at],
        color=ORANGE,
        linestyle="--",
        marker="s",
        label="by counting multiplications",
    )
    axes[0].set(ylabel="milliseconds per image", yscale="log")
    axes[0].legend(fontsize="small")
    memory = measured["peak memory, GB"]
    axes[1].plot(sides**2, memory, color=BLUE, marker="o")
    axes[1].set(ylabel="peak memory (GB)", ylim=(0, 1.1 * memory.max()))
    for panel in axes:
        panel.set(xlabel="side of the image in pixels (logarithmic)", xscale="log")
        panel.set_xticks(sides**2, [f"{side:.0f}" for side in sides])
        panel.minorticks_off()
    ends = f"from {memory[0]:.1f} to {memory[-1]:.1f} GB"
    nb.show(canvas, f"{ALT['costs']}. Below: memory grows {ends}")


def show_distance(distances: Mapping[float, Sequence[float]], floor: float) -> None:
    """The seeds' Frechet distances by minutes of training, and the floor."""
    minutes = [*distances]
    canvas, axes = nb.figure(width=4.6, height=3.0)
    for seeds, values in enumerate(zip(*distances.values(), strict=True)):
        label = None if seeds else "this chapter's preset, three seeds"
        axes.plot(minutes, values, color=BLUE, marker="o", alpha=0.7, label=label)
    axes.axhline(floor, color=GREY, linestyle=":", label="floor: new photographs")
    axes.set(xlabel="minutes of training", ylabel="Frechet distance", yscale="log")
    axes.set_xticks(minutes)
    axes.legend(fontsize="small")
    nb.show(canvas, ALT["distance"])


def show_d_steps(found: critics.Ablation) -> None:
    """One and two discriminator steps per generator step: the range of the seeds' distances on each set, relative to
    that of one step."""
    canvas, axes = nb.figure(width=4.6, height=2.4)
    critics.draw_ranges(axes, found, (critics.PRESET, TWO_STEPS))
    axes.set_yticks([0, 1], ["one", "two"])
    axes.set(xlabel="Frechet distance, one step = 1", ylabel="steps of D")
    critics.legend(axes, ["worse"], loc="lower center", bbox_to_anchor=(0.5, 1))
    nb.show(canvas, ALT["d_steps"])


def show_memory(history: Mapping[str, Sequence[float]]) -> None:
    """The share of training and of held-out images that the discriminator finds real, by epoch."""
    canvas, axes = nb.figure(width=4.6, height=3.2)
    for name, label, style in (
        ("accuracy_trained", "images it trains on", {"color": BLUE}),
        (
            "accuracy_held_out",
            "images it has never seen",
            {"color": ORANGE, "linestyle": "--"},
        ),
    ):
        axes.plot(history["epoch"], history[name], label=label, **style)
    axes.set(xlabel="epoch", ylabel="share called real", ylim=(0, 1))
    axes.legend(fontsize="small")
    nb.show(canvas, ALT["memory"])
