"""What the notebooks show things with: source code, pictures, sentences with numbers in them, and checks of answers."""

import base64
import html
import inspect
import io
import os
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from IPython import display
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from gan_tf.config import Config, preset_config
from gan_tf.data import registry as datasets
from gan_tf.data.images import ImageDataset
from gan_tf.gan import sample
from gan_tf.run import plots

# What a hub that cannot be reached says is said once, by `load`, and not at each of its tries.
os.environ.setdefault("HF_HUB_VERBOSITY", "error")
# In smoke mode a notebook only proves that it runs: as little as can be is trained, and its numbers mean nothing.
SMOKE = os.environ.get("GAN_TF_SMOKE") == "1"
# While `make notebooks` runs one to store it: no picture of anyone else's may then be in it, and no slider.
STORED = os.environ.get("GAN_TF_STORED") == "1"
LARGE = 200_000  # Bytes of a PNG from which on a picture is shown as JPEG.
OURS = ("digits", "creatures")  # The data sets whose pictures may be in a stored notebook.


def quick(full, smoke):
    """`full`, or in smoke mode `smoke`."""
    return smoke if SMOKE else full


def load(config: Config) -> tuple[Config, ImageDataset]:
    """The data set of `config`; where it cannot be had, as on a machine without a network, the embedded one that comes
    nearest, under a warning, with the Config that goes with it."""
    try:
        return config, datasets.load(config)
    except datasets.Unavailable as error:
        instead = datasets.fallback_of(config.dataset)
        labels = [name for name in config.label if name in datasets.DATASETS[instead].labels]
        say(f"**{error}** This notebook goes on with `{instead}`: {datasets.DATASETS[instead].what}.")
        # What the notebook chose for the other data set stays, its size and its colours do not.
        kept = {name: getattr(config, name) for name in ("seed", "epochs", "steps_per_epoch")}
        config = preset_config(instead, label=labels, **kept)
        return config, datasets.load(config)


def say(text: str) -> None:
    """Show Markdown, most often with numbers in it that were just computed."""
    display.display(display.Markdown(text))


def source(*things) -> None:
    """Show the source code of functions, classes or modules: the very code that runs."""
    # With its own colours and letters, as a page made of a notebook has none for what code shows.
    looks = HtmlFormatter(
        noclasses=True,
        nobackground=True,
        prestyles="font-family: monospace; line-height: 1.35; white-space: pre; overflow-x: auto",
    )
    for thing in things:
        code = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
        say(f"From `gan_tf/{Path(inspect.getsourcefile(thing)).name}`:")
        display.display(display.HTML(highlight(code, PythonLexer(), looks)))


def show(picture, alt: str, width: int | None = None) -> None:
    """Show a uint8 picture (H, W, 1 or 3), a Matplotlib figure, or a PNG or GIF as bytes or by its path. `alt`
    says what is to be seen, for those who do not see it; `width` is the most pixels it may be wide on the page.

    Raises ValueError for a figure of which an axis has no label: a curve of nobody knows what.
    """
    display.display(as_html(picture, alt, width))


def as_html(picture, alt: str, width: int | None = None) -> display.HTML:
    """What `show` shows: an <img> that holds the picture, as that has an alt text and moves in every viewer."""
    if not alt:
        raise ValueError("a picture needs an alt text")
    file = io.BytesIO()
    if isinstance(picture, np.ndarray):
        plots.to_pillow(picture).save(file, format="PNG", optimize=True)
        if file.tell() > LARGE:  # As a notebook holds dozens of them.
            file = io.BytesIO()
            plots.to_pillow(picture).save(file, format="JPEG", quality=90)
    elif isinstance(picture, (str, Path)):
        file.write(Path(picture).read_bytes())
    elif isinstance(picture, bytes):
        file.write(picture)
    else:
        for axes in picture.axes:
            if axes.axison and not (axes.get_xlabel() and axes.get_ylabel()):
                raise ValueError(f"an axis of the panel {axes.get_title()!r} has no label")
        picture.savefig(file, format="png", dpi=80)
    kind = {b"GI": "gif", b"\xff\xd8": "jpeg"}.get(file.getvalue()[:2], "png")
    data = base64.b64encode(file.getvalue()).decode()
    limit = f"min(100%, {width}px)" if width else "100%"
    return display.HTML(
        f'<img alt="{html.escape(alt)}" style="max-width: {limit}" src="data:image/{kind};base64,{data}">'
    )


def show_images(images: np.ndarray, alt: str, columns: int = 8, width: int | None = None) -> None:
    """Show uint8 images (N, height, width, channels) as a grid."""
    show(plots.grid(images, columns=columns), alt, width)


def show_reals(images: ImageDataset, rows: Sequence[int], columns: int = 8) -> None:
    """Show images of a data set, which a stored notebook holds only where they are gan_tf's to give away."""
    if STORED and images.name not in OURS:
        say(f"*(Here you see {len(rows)} images of {images.name} when you run this. They are not ours to store.)*")
    else:
        show_images(images.images[np.asarray(rows)], f"{len(rows)} real images of {images.name}", columns)


def figure(columns: int = 1, rows: int = 1, width: float = 6.0, height: float = 3.4):
    """A Matplotlib figure and its axes, as `plt.subplots` gives them, which is shown by `show` and by nothing else.
    `width` and `height` in inches are those of one panel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns)


class Watch(keras.callbacks.Callback):
    """While `fit` trains, shows at each epoch's end what the averaged generator makes of always the same latent
    vectors, in one place of the page, and a line of numbers under it, or nothing where `quiet`. Keeps the grids:
    `frames`, the first of them from before the first step; and `history`, of all of the GAN's means by name, with what
    `more` adds, functions of (gan, epoch) that return columns, as for `callbacks.History`."""

    def __init__(self, latents: np.ndarray, columns: int = 8, quiet: bool = False, more: Sequence[Callable] = ()):
        super().__init__()
        self.latents, self.columns, self.quiet, self.more = latents, columns, quiet, more
        self.frames, self.history, self.seconds = [], {"epoch": []}, 0.0

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()
        self.keep(0)

    def on_epoch_end(self, epoch, logs=None):
        self.history["epoch"].append(epoch + 1)
        for name, mean in self.model.means.items():
            self.history.setdefault(name, []).append(float(mean.result()))
        for columns in self.more:
            for name, value in columns(self.model, epoch + 1).items():
                self.history.setdefault(name, []).append(value)
        self.keep(epoch + 1)

    def on_train_end(self, logs=None):
        self.seconds = time.perf_counter() - self.began

    def keep(self, epoch: int) -> None:
        self.frames.append(plots.grid(sample(self.model.ema_generator, self.latents), columns=self.columns))
        if self.quiet:
            return
        now = {name: f"{values[-1]:.2f}" for name, values in self.history.items() if name in self.model.SHOWN}
        lines = f"epoch {epoch}   " + "   ".join(f"{name} {value}" for name, value in now.items())
        parts = as_html(self.frames[-1], f"{len(self.latents)} fakes after epoch {epoch}"), display.Pretty(lines)
        if epoch == 0:
            self.places = [display.display(part, display_id=True) for part in parts]
        else:
            for place, part in zip(self.places, parts, strict=True):
                place.update(part)


def show_animation(frames: Sequence[np.ndarray], alt: str, seconds: float = 0.3) -> None:
    """Show uint8 pictures (H, W, 1 or 3) as an endless animation."""
    file = io.BytesIO()
    plots.save_gif(file, frames, seconds)
    show(file.getvalue(), alt)


def check(answer, right: Callable[[object], bool] | float, hint: str) -> None:
    """Say whether the answer to an exercise is right: equal to the number `right` within one per cent, or such that
    `right(answer)` is true. `...` is no answer yet."""
    if answer is ...:
        print("Not answered yet: put your answer in place of the dots, and run both cells again.")
        return
    try:
        good = bool(right(answer)) if callable(right) else bool(np.isclose(answer, right, rtol=0.01, atol=1e-6))
    except Exception as error:  # Whatever a learner wrote.
        print(f"Not yet: your answer ended with {type(error).__name__}: {error}. {hint}")
        return
    print("Right." if good else f"Not yet: {hint}")


def slider(view: Callable[[float], np.ndarray], low: float, high: float, name: str, alt: str, steps: int = 7) -> None:
    """Show the pictures `view(value)`, uint8 (H, W, 1 or 3), of `steps` values from `low` to `high` below each other,
    and in a living notebook with ipywidgets a slider to choose the value by."""
    values = np.linspace(low, high, steps)
    pictures = [view(float(value)) for value in values]
    show(np.concatenate(pictures), f"{alt}; from top to bottom {name} = {', '.join(f'{v:.2g}' for v in values)}")
    if STORED or SMOKE:
        return
    try:
        import ipywidgets
    except ImportError:
        return
    knob = ipywidgets.FloatSlider(value=values[steps // 2], min=low, max=high, step=(high - low) / 40, description=name)
    ipywidgets.interact(lambda value: show(view(value), alt), value=knob)
