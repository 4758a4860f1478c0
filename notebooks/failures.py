"""What chapter 6 trains and shows: short runs with all that is needed to say what went wrong in them, and six mysteries.

The mysteries are runs of which the reader gets the history and the grids, in mysteries/, but not the fault:
python notebooks/failures.py [NUMBER ...] trains them again (MNIST must be in data/, or downloadable).
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from charts import BLUE, GREY, ORANGE
from gan_tf import notebook as nb
from gan_tf.config import Config, preset_config
from gan_tf.data import registry
from gan_tf.data.images import ImageDataset
from gan_tf.gan import GAN, sample
from gan_tf.measure import health
from gan_tf.run import plots
from gan_tf.run.build import build_for
from gan_tf.run.callbacks import Diverged, TerminateOnNonFinite
from gan_tf.run.loop import train_epochs

FOLDER = Path(__file__).parent / "mysteries"
STYLES = ({"color": ORANGE, "linestyle": "-"}, {"color": BLUE, "linestyle": "--"})
# Twelve short epochs: enough for recognisable fives, and for a verdict, which takes three.
SHORT = {"epochs": nb.quick(12, 3), "steps_per_epoch": nb.quick(40, 1)}
# What the curves of a mystery show: the label of each panel, and its columns with their labels.
CLUES = {
    "loss (nats)": {"d_loss": "d_loss", "g_loss": "g_loss"},
    "called real": {"accuracy_trained": "trained", "accuracy_held_out": "held out"},
    "spread": {"spread": "spread"},
}
# The label of each column's axis.
LABELS = {
    "d_loss": "d_loss (nats)",
    "g_loss": "g_loss (nats)",
    "accuracy_real": "accuracy on reals",
    "accuracy_fake": "accuracy on fakes",
    "spread": "spread",
    "d_gradient": "gradient norm of D",
    "g_gradient": "gradient norm of G",
    "accuracy_held_out": "held-out called real",
    "accuracy_trained": "trained called real",
}
WRECK = (
    "Animation: eight handwritten fives thicken and turn into white bars within a few frames, stay bars, and then turn"
    " back into fives"
)
HOPPING = (
    "Animation of two games on the ring of eight clouds. Left: all fakes are one heap that jumps from place to place."
    " Right: the fakes stay on all eight clouds"
)
# What the chapter's pictures show, for those who cannot see them.
ALT = {
    "games": (
        "Three panels over the steps. Both losses stay near 1.39. The hasty game's fullest cloud jumps between "
        "none and all of the fakes, with at most two modes; the fair game finds all eight"
    ),
    "healthy": "three latent vectors: grey at epoch 0, shadows at epoch 2, white fives from epoch 6 on",
    "wreck": (
        "three latent vectors over the epochs: fives while the discriminator learns, white bars a few epochs after it "
        "stopped"
    ),
    "wreck curves": "Asleep, the accuracy on fakes falls to 0 and the spread to 0.6; awake, both are in the healthy band",
    "won curves": (
        "Unfair: the accuracy on fakes is 1 and the generator's gradient falls to a ten-thousandth; healthy: "
        "0.6 and level"
    ),
    "won": "grey squares in all epochs, with a faint pattern in the last ones",
    "cured": "grey for six epochs, then blurred strokes that look like fives at epoch 12",
    "momentum curves": (
        "With momentum, the discriminator's loss jumps and stays near 0 from epoch 6 to 8, where the spread is "
        "near 0 too; the healthy curves are level"
    ),
    "momentum": "grey tiles, grey blobs, nearly black pictures at epoch 8, and white bars at epoch 12",
    "untrained": (
        "Three squares of pixels: kernel 5 and kernel 4 are coarse noise from pixel to pixel, kernel 4 with "
        "the mean is softer"
    ),
    "grid levels": (
        "Period 2: above 10 for four epochs without the mean, near 1 with it. Period 4: falls from about 10 to "
        "1 in both runs"
    ),
    "grids": "Two rows of blurred fives after epoch 4: a fine mesh covers the upper row, none the lower one",
    "hot": "grey and black blobs without any digit, and white fragments in the last epochs",
}
SMOKE_STORIES: dict[str, "Story"] = {}  # By data set, in smoke mode.
ROWS, COLUMNS = 3, 4  # Of each grid.


@dataclasses.dataclass
class Story:
    """A run: its config, the history of `epoch_row`, a grid and 128 fakes before the first step and after each epoch,
    and why it stopped early, if it did."""

    config: Config
    history: dict[str, list[float]]
    frames: list[np.ndarray] = dataclasses.field(default_factory=list)
    fakes: list[np.ndarray] = dataclasses.field(default_factory=list)
    stopped: str = ""

    @property
    def verdicts(self) -> dict[str, tuple[int, str]]:
        """Each verdict of `health.diagnose` by its name, with the epoch after which it was first reached."""
        found = {}
        for epoch in range(1, len(self.history["epoch"]) + 1):
            known = {name: values[:epoch] for name, values in self.history.items()}
            for name, sentence in health.diagnose(known, self.config).items():
                found.setdefault(name, (epoch, sentence))
        return found


def train(config: Config, images: ImageDataset, gan: GAN | None = None) -> Story:
    """Train a GAN, by default the one of `config`, and keep what happened."""
    if nb.SMOKE and gan is None:  # It has no time for more than one.
        if config.dataset not in SMOKE_STORIES:
            own = build_for(images, config)
            SMOKE_STORIES[config.dataset] = train(config, images, own)
        return dataclasses.replace(SMOKE_STORIES[config.dataset], config=config)
    gan = gan or build_for(images, config)
    latents = np.random.default_rng(0).standard_normal((128, config.latent_dim))
    extra = [health.HeldOutAccuracy(images, config)]
    watch = nb.Watch(latents[: ROWS * COLUMNS], COLUMNS, quiet=True, extra=extra)
    story = Story(config, watch.history, watch.frames)

    def keep(*_) -> None:
        story.fakes.append(sample(gan.ema_generator, latents))

    keeper = keras.callbacks.LambdaCallback(on_train_begin=keep, on_epoch_end=keep)
    try:
        train_epochs(gan, images, config, [TerminateOnNonFinite(), watch, keeper])
    except Diverged as error:
        story.stopped = str(error)
    return story


def strip(frames: Sequence[np.ndarray], most: int = 7) -> np.ndarray:
    """The first column of up to `most` of a run's grids under their epochs: the same latents at different times."""
    epochs = np.unique(np.linspace(0, len(frames) - 1, most).round().astype(int))
    captions = [f"epoch {epoch}" for epoch in epochs]
    return plots.strip([frames[i] for i in epochs], captions, COLUMNS)


def show_strips(stories: Mapping[str, Story], alt: str) -> None:
    """A strip for each run, one below the other under its name."""
    for name, story in stories.items():
        nb.say(f"**{name}**")
        nb.show(strip(story.frames), f"{name}: {alt}")


def show_curves(stories: Mapping[str, Story], columns: Sequence[str], alt: str) -> None:
    """Columns of the histories of two runs, the failing one first, with the healthy band and the first verdict's epoch.

    Gradient norms are on a logarithmic axis.
    """
    canvas, axes = nb.figure(1, len(columns), width=5.6, height=2.3)
    for panel, column in zip(np.atleast_1d(axes), columns, strict=True):
        if column in health.HEALTHY:
            low, high = health.HEALTHY[column]
            panel.axhspan(low, high, color="#009e73", alpha=0.12, label="healthy band")
        for (name, story), style in zip(stories.items(), STYLES, strict=False):
            history = story.history
            panel.plot(
                history["epoch"], history[column], marker=".", label=name, **style
            )
            if story.verdicts:
                first = min(epoch for epoch, _ in story.verdicts.values())
                panel.axvline(first, color=style["color"], linestyle=":")
        scale = "log" if column.endswith("gradient") else "linear"
        panel.set(xlabel="epoch", ylabel=LABELS[column], yscale=scale)
    axes = np.atleast_1d(axes)
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    nb.show(canvas, alt)


def show_film(fakes: Sequence[np.ndarray], alt: str) -> None:
    """The first eight of each batch of fakes, as an animated GIF that repeats forever."""
    frames = [plots.grid(batch[:8], columns=4, scale=2) for batch in fakes]
    nb.show(
        plots.encode_animation(frames, ".gif", seconds=0.35, hold=2.0), alt, width=480
    )


def show_games(games: Mapping[str, Sequence[dict]], alt: str) -> None:
    """Games in the plane, the failing one first: the discriminator's loss, the fullest cloud's share and the modes."""
    canvas, axes = nb.figure(1, 3, width=5.6, height=2.1)
    columns = {
        "d_loss": "loss of D (nats)",
        "largest": "share in fullest cloud",
        "modes": "modes found",
    }
    for panel, (column, label) in zip(axes, columns.items(), strict=True):
        for (name, moments), style in zip(games.items(), STYLES, strict=True):
            steps = [moment["step"] for moment in moments[1:]]
            panel.plot(
                steps, [moment[column] for moment in moments[1:]], label=name, **style
            )
        panel.set(xlabel="step", ylabel=label)
    axes[0].axhline(2 * np.log(2), color=GREY, linestyle=":", label="D says one half")
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    nb.show(canvas, alt)


def show_grids(pictures: Mapping[str, np.ndarray], alt: str) -> None:
    """One picture of each architecture, enlarged and with its contrast stretched."""
    canvas, axes = nb.figure(len(pictures), width=1.87, height=2.1)
    for panel, (name, fakes) in zip(axes, pictures.items(), strict=True):
        panel.imshow(fakes[0, 4:24, 4:24, 0], cmap="gray")
        panel.set(title=name, xticks=[], yticks=[], xlabel="column", ylabel="row")
    nb.show(canvas, alt)


def show_levels(levels: Mapping[str, np.ndarray], alt: str) -> None:
    """The grid measures of runs, (epochs, 2) each, for periods 2 and 4."""
    canvas, axes = nb.figure(1, 2, width=5.6, height=2.3)
    for panel, column, period in zip(axes, (0, 1), (2, 4), strict=True):
        for (name, values), style in zip(levels.items(), STYLES, strict=True):
            panel.plot(
                np.arange(1, len(values) + 1),
                values[:, column],
                marker=".",
                label=name,
                **style,
            )
        panel.axhline(1, color=GREY, linestyle=":", label="real pictures")
        panel.set(xlabel="epoch", ylabel=f"grid, period {period} px", yscale="log")
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
    nb.show(canvas, alt)


def show_stage(stories: Mapping[str, Story], epoch: int, alt: str) -> None:
    """Eight fakes of each run after an epoch, a row each."""
    rows = [story.fakes[epoch][:8] for story in stories.values()]
    nb.show_images(np.concatenate(rows), alt)


def say_verdicts(stories: Mapping[str, Story]) -> None:
    """What `health.diagnose` said of each run, and when it said it first."""
    for name, story in stories.items():
        lines = [
            f"- after epoch {epoch}: {words}"
            for epoch, words in story.verdicts.values()
        ]
        if story.stopped:
            lines.append(f"- stopped: {story.stopped}")
        nb.say("\n".join([f"**{name}**:", "", *(lines or ["- nothing is wrong."])]))


# Six runs, each on another digit. Of the changes from the preset, at most one is a mistake.
LENGTH = {"epochs": 12, "steps_per_epoch": 40}
MYSTERIES = {
    1: {
        "dataset": "mnist",
        "label": "3",
        "width": 48,
        "learning_rate": 0.02,
        "ema": 0.98,
    },
    2: {
        "dataset": "mnist",
        "label": "7",
        "loss": "minimax",
        "d_learning_rate": 4e-3,
        "learning_rate": 2e-4,
    },
    3: {
        "dataset": "mnist",
        "label": "8",
        "latent_dim": 32,
        "batch_size": 48,
        "ema": 0.98,
    },
    4: {
        "dataset": "mnist",
        "label": "2",
        "learning_rate": 5e-3,
        "d_learning_rate": 1e-5,
        "width": 48,
    },
    5: {"dataset": "mnist", "label": "5", "beta_1": 0.9, "ema": 0.98, "seed": 2},
    6: {
        "dataset": "digits",
        "label": "4",
        "held_out": 0.3,
        "width": 48,
        "steps_per_epoch": 64,
    },
}


def mystery_config(number: int, **changes) -> Config:
    """The config of a mystery, with changes."""
    return preset_config(**{**LENGTH, **MYSTERIES[number], **changes})


def read_mystery(number: int) -> Story:
    """A mystery's config and history."""
    history = json.loads((FOLDER / f"{number}.json").read_text())
    return Story(mystery_config(number), history)


def show_mystery(number: int) -> None:
    """What the reader gets to see of a mystery: fakes of the same latents over the epochs, and curves."""
    nb.say(f"**Mystery {number}**")
    nb.show(FOLDER / f"{number}.png", f"Fakes of mystery {number} over its epochs")
    story = read_mystery(number)
    canvas, axes = nb.figure(1, len(CLUES), width=5.6, height=1.45)
    for panel, (label, columns) in zip(axes, CLUES.items(), strict=True):
        for (column, name), style in zip(columns.items(), STYLES, strict=False):
            panel.plot(
                story.history["epoch"], story.history[column], label=name, **style
            )
        panel.set(xlabel="epoch", ylabel=label, xticks=[2, 4, 6, 8, 10, 12])
        # Equal in all mysteries, so that they can be compared.
        if label != "loss (nats)":
            panel.set_ylim(-0.05, 1.3 if label == "spread" else 1.05)
        if len(columns) > 1:
            panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    canvas.align_ylabels()
    found = [
        f"{column} {', '.join(f'{story.history[column][i]:.2g}' for i in (0, 5, 11))}"
        for columns in CLUES.values()
        for column in columns
    ]
    alt = f"Curves of mystery {number}, at epochs 1, 6 and 12: {'; '.join(found)}"
    nb.show(canvas, alt)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for number in [int(number) for number in sys.argv[1:]] or MYSTERIES:
        config = mystery_config(number)
        story = train(config, registry.load(config))
        print(number, config.label, story.verdicts, story.stopped, flush=True)
        history = {
            name: [float(f"{value:.4g}") for value in values]
            for name, values in story.history.items()
        }
        (FOLDER / f"{number}.json").write_text(json.dumps(history, indent=1) + "\n")
        plots.save_png(FOLDER / f"{number}.png", strip(story.frames))


if __name__ == "__main__":
    main()
