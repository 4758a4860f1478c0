"""Display helpers for the notebooks: source code, pictures, computed sentences, and checks of answers."""

import base64
import contextlib
import dataclasses
import inspect
import io
import logging
import os
import re
import shlex
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from IPython import display
from PIL import Image, ImageSequence

import gan_tf
from gan_tf.config import Config, preset_config
from gan_tf.data import registry
from gan_tf.data.images import ImageDataset
from gan_tf.gan import GAN, sample
from gan_tf.run import plots
from gan_tf.run.callbacks import epoch_row

# Hugging Face's client would log each failed try of a download; `load` says once that it failed.
os.environ.setdefault("HF_HUB_VERBOSITY", "error")
# Each training traces a step of its own. After five short ones, TensorFlow takes that for a mistake and warns.
logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())
# Smoke mode only checks that a notebook runs: it trains as little as possible, and its numbers mean nothing.
SMOKE = os.environ.get("GAN_TF_SMOKE") == "1"
# Set while `make notebooks` runs a notebook to store it: pictures that others own and sliders are left out.
STORED = os.environ.get("GAN_TF_STORED") == "1"
SMOKE_IMAGES = 400  # Of a data set, in smoke mode.
LARGE = 200_000  # Bytes. A larger PNG is shown as JPEG.
STORABLE = ("digits", "creatures")  # Data sets whose pictures a stored notebook may contain.


def quick(full, smoke):
    """`full`, or `smoke` in smoke mode."""
    return smoke if SMOKE else full


def load(config: Config) -> tuple[Config, ImageDataset]:
    """Load the data set of `config`.

    If it is unavailable, for example without a network, show a message and use the closest embedded data set
    instead. Returns the config that goes with the images.
    """

    def fallback_config(name: str) -> Config:
        # The notebook's choices that suit any data set. Size and colours come from the other set's preset.
        kept = ("seed", "epochs", "steps_per_epoch", "conditional", "clusters")
        return preset_config(name, **{field: getattr(config, field) for field in kept})

    used, images, message = registry.load_or_fallback(config, fallback_config)
    if message:
        instead = message.splitlines()[-1]  # The lines before it hold paths and the network's error.
        say(f"**`{config.dataset}` is not on this machine and could not be downloaded.** {instead}")
    if SMOKE and used.dataset in registry.DATASETS:
        images = first(images, SMOKE_IMAGES)
    return used, images


def first(images: ImageDataset, count: int) -> ImageDataset:
    """The first `count` images of a data set."""
    labels, clusters = (None if one is None else one[:count] for one in (images.labels, images.clusters))
    return dataclasses.replace(images, images=images.images[:count], labels=labels, clusters=clusters, sha256="")


def say(text: str) -> None:
    """Show Markdown, usually with numbers that were just computed."""
    display.display(display.Markdown(text))


def source(*things) -> None:
    """Show the source code of functions, methods or classes: the code that runs, not a copy."""
    root = Path(gan_tf.__file__).parent.parent
    for thing in things:
        thing = inspect.unwrap(thing)
        code = textwrap.dedent(inspect.getsource(thing))
        path = Path(inspect.getfile(thing)).relative_to(root).as_posix()
        say(f"From `{path}`:\n\n```python\n{code.rstrip()}\n```")


class Lines(io.TextIOBase):
    """A text stream that prints whole lines, as a terminal would leave them, with some folders' names shortened.

    Of a line that a progress bar rewrote, only the last version is kept, and none if it was the bar itself.
    """

    def __init__(self, short: dict[str, str]):
        super().__init__()
        self.out, self.short, self.rest = sys.stdout, short, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            line = re.split(r"[\r\b]", line)[-1]
            for folder, name in self.short.items():
                line = line.replace(folder, name)
            if "\u2501" not in line:  # Keras's bar is drawn with this.
                print(line, file=self.out, flush=True)
        return len(text)


def command(main: Callable[[list[str]], None], arguments: str, folder: str | Path) -> None:
    """Run a command as in a terminal whose current folder is `folder`, and show it with the lines that it prints.

    `main` is the command's function, such as `gan_tf.train.main`. `folder` is left out of what is printed.
    """
    here, there = Path.cwd(), Path(folder).resolve()
    print(f"$ python -m {main.__module__} {arguments}\n")
    lines = Lines({f"{there}{os.sep}": "", f"{folder}{os.sep}": "", f"{there}": "."})
    os.chdir(there)
    try:
        with contextlib.redirect_stdout(lines), contextlib.redirect_stderr(lines):
            main(shlex.split(arguments))
    except SystemExit as error:  # A command ends with a sentence for the user.
        if error.code:
            print(error.code, file=lines)
    finally:
        os.chdir(here)


class Picture:
    """An encoded picture with its alt text, displayed as `image/png`, `image/jpeg` or `image/gif`.

    Code hosts strip HTML with embedded images but keep PNG and JPEG. Many drop `image/gif`, so a GIF is displayed as
    an animated PNG too, and the viewer takes the one that it knows. The alt text is in the output's metadata, and again
    as the plain-text form of the output.
    """

    def __init__(self, data: bytes, alt: str, width: int | None = None):
        if not alt:
            raise ValueError("a picture needs an alt text")
        self.data, self.alt, self.width = data, alt, width
        self.files = {"image/jpeg" if data.startswith(b"\xff\xd8") else "image/png": data}
        if data.startswith(b"GIF8"):
            self.files = {"image/gif": data, "image/png": gif_to_png(data)}

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        described = {"alt": self.alt} | ({"width": self.width} if self.width else {})
        encoded = {kind: base64.b64encode(data).decode() for kind, data in self.files.items()}
        return encoded | {"text/plain": self.alt}, dict.fromkeys(self.files, described)


def gif_to_png(data: bytes) -> bytes:
    """The same animation as an animated PNG."""
    frames, milliseconds = [], []
    with Image.open(io.BytesIO(data)) as film:
        for frame in ImageSequence.Iterator(film):
            frames.append(np.asarray(frame.convert("RGB")))
            milliseconds.append(round(frame.info["duration"]))
    return animated_png(frames, milliseconds)


def animated_png(frames: Sequence[np.ndarray], milliseconds: Sequence[int]) -> bytes:
    """An endless animated PNG of uint8 pictures (H, W, 1 or 3), whose static form is its first frame."""
    height = len(frames[0])
    film = plots.to_pillow(np.concatenate(frames))
    if film.mode == "RGB":  # One palette for all frames, as in a GIF: a third of the bytes.
        film = film.quantize(256, dither=Image.Dither.NONE)
    pictures = [film.crop((0, i * height, film.width, (i + 1) * height)) for i in range(len(frames))]
    file = io.BytesIO()
    options = {"save_all": True, "append_images": pictures[1:]}
    pictures[0].save(file, format="PNG", duration=list(milliseconds), loop=0, **options)
    return file.getvalue()


def show(picture, alt: str, width: int | None = None) -> None:
    """Show a uint8 picture (H, W, 1 or 3), a Matplotlib figure, or a PNG or GIF file by its path or bytes.

    `alt` describes the picture for people who cannot see it. `width` is the width on the page in pixels.
    Raises ValueError without an alt text, and for a figure with an unlabelled axis.
    """
    display.display(encode(picture, alt, width))


def encode(picture, alt: str, width: int | None = None) -> Picture:
    """The picture that `show` displays."""
    if isinstance(picture, bytes):
        return Picture(picture, alt, width)
    if isinstance(picture, (str, Path)):
        return Picture(Path(picture).read_bytes(), alt, width)
    file = io.BytesIO()
    if isinstance(picture, np.ndarray):
        plots.to_pillow(picture).save(file, format="PNG", optimize=True)
        if file.tell() > LARGE:
            file = io.BytesIO()
            plots.to_pillow(picture).save(file, format="JPEG", quality=90)
    else:
        for axes in picture.axes:
            if axes.axison and not (axes.get_xlabel() and axes.get_ylabel()):
                raise ValueError(f"an axis of the panel {axes.get_title()!r} has no label")
        picture.savefig(file, format="png", dpi=80)
    return Picture(file.getvalue(), alt, width)


def show_images(images: np.ndarray, alt: str, columns: int = 8, width: int | None = None) -> None:
    """Show uint8 images (N, height, width, channels) as a grid."""
    show(plots.grid(images, columns=columns), alt, width)


def show_reals(images: ImageDataset, rows: Sequence[int], columns: int = 8) -> None:
    """Show images of a data set. A stored notebook contains them only if gan_tf may give them away."""
    if STORED and images.name not in STORABLE:
        say(f"*(When you run this, it shows {len(rows)} images of {images.name}. They may not be stored here.)*")
    else:
        show_images(images.images[np.asarray(rows)], f"{len(rows)} real images of {images.name}", columns)


def figure(columns: int = 1, rows: int = 1, width: float = 6.0, height: float = 3.4):
    """A Matplotlib figure and its axes, as from `plt.subplots`, displayed only by `show`.

    `width` and `height` are those of one panel, in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(made)
    return made, made.subplots(rows, columns)


class Watch(keras.callbacks.Callback):
    """Shows training live: a grid of fakes and a line of numbers, both redrawn after each epoch.

    The fakes come from the averaged generator and always from the same latent vectors. `quiet` shows nothing. After
    training, `frames` holds the grids, beginning with the one before the first step, `history` maps each column of
    `epoch_row` to its values, one per epoch, and `seconds` is the time that training took. `extra` are functions of
    (gan, epoch) that return more columns.
    """

    model: GAN

    def __init__(self, latents: np.ndarray, columns: int = 8, quiet: bool = False, extra: Sequence[Callable] = ()):
        super().__init__()
        self.latents, self.columns, self.quiet, self.extra = latents, columns, quiet, extra
        self.frames, self.history, self.seconds = [], {"epoch": []}, 0.0

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()
        self.draw(0)

    def on_epoch_end(self, epoch, logs=None):
        for name, value in epoch_row(self.model, epoch + 1, self.extra).items():
            self.history.setdefault(name, []).append(value)
        self.draw(epoch + 1)

    def on_train_end(self, logs=None):
        self.seconds = time.perf_counter() - self.began

    def draw(self, epoch: int) -> None:
        """Keep a grid, and show it in place of the last one."""
        self.frames.append(plots.grid(sample(self.model.ema_generator, self.latents), columns=self.columns))
        if self.quiet:
            return
        now = [f"{name} {values[-1]:.2f}" for name, values in self.history.items() if name in self.model.LOGGED]
        line = display.Pretty("   ".join([f"epoch {epoch}", *now]))
        parts = encode(self.frames[-1], f"{len(self.latents)} fakes after epoch {epoch}"), line
        if epoch == 0:
            self.places = [display.DisplayHandle() for _ in parts]
            for place, part in zip(self.places, parts, strict=True):
                place.display(part)
        else:
            for place, part in zip(self.places, parts, strict=True):
                place.update(part)


def check(answer, right: Callable[[object], bool] | float | str, hint: str) -> None:
    """Print whether the answer to an exercise is right.

    It is if it equals the number `right` within one per cent, if it is the letter `right` in either case, or if
    `right(answer)` is true. `...` is no answer yet.
    """
    if answer is ...:
        print("Not answered yet: put your answer in place of the dots, and run both cells again.")
        return
    try:
        if isinstance(right, str):
            good = str(answer).strip().upper() == right
        elif callable(right):
            good = bool(right(answer))
        else:
            good = bool(np.isclose(answer, right, rtol=0.01, atol=1e-6))
    except Exception as error:  # A learner's code can raise anything.
        print(f"Not yet: your answer ended with {type(error).__name__}: {error}. {hint}")
        return
    print("Right." if good else f"Not yet: {hint}")


@dataclasses.dataclass(frozen=True)
class Exercise:
    """What `check` needs, and a worked solution: code that makes `answer`."""

    right: Callable[[object], bool] | float | str
    hint: str
    solution: str


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A question to answer before an experiment, with answers to choose from."""

    question: str
    options: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Exercises:
    """A chapter's predictions and exercises by number. Their answers stay out of the notebook's cells."""

    predictions: dict[int, Prediction]
    exercises: dict[int, Exercise]

    def predict(self, number: int) -> None:
        """Show a question and its options; in a live notebook with ipywidgets, also buttons to commit to one."""
        asked = self.predictions[number]
        options = dict(zip("ABCDE", asked.options, strict=False))
        lines = "\n".join(f"- **{letter}**: {text}" for letter, text in options.items())
        say(f"**Predict.** {asked.question}\n\n{lines}\n\nChoose before you read on.")
        if STORED or SMOKE:
            return
        try:
            import ipywidgets
        except ImportError:
            return
        display.display(ipywidgets.ToggleButtons(options=list(options), value=None))

    def check(self, number: int, answer) -> None:
        """Print "Right." or a hint, and never the answer."""
        asked = self.exercises[number]
        check(answer, asked.right, asked.hint)

    def hint(self, number: int) -> None:
        """Show the hint of an exercise."""
        say(f"**Hint**: {self.exercises[number].hint}")

    def solution(self, number: int) -> None:
        """Show a worked solution: code to run."""
        say(f"```python\n{self.exercises[number].solution}\n```")


def slider(view: Callable[[float], np.ndarray], low: float, high: float, name: str, alt: str, steps: int = 7) -> None:
    """Show the pictures `view(value)`, uint8 (H, W, 1 or 3), for `steps` values from `low` to `high`, one below the
    other. In a live notebook with ipywidgets, also show a slider that chooses the value."""
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
