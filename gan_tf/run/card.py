"""The model card of a run's generator: README.md for the Hugging Face hub, made from config.json and metrics.json."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gan_tf import __version__
from gan_tf.config import Config
from gan_tf.data.registry import DATASETS
from gan_tf.measure import report
from gan_tf.run.callbacks import MOST_CLASSES
from gan_tf.run.folder import Run

# The hub's identifiers of the licences in data.registry. Any other licence is "unknown" to it.
LICENCES = {
    "CC BY 4.0": "cc-by-4.0",
    "CC BY-SA 3.0": "cc-by-sa-3.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
    "MIT": "mit",
    "gan_tf's own": "mit",
}
PLACES = ("dataset", "data_dir")  # Options that may name a folder on this machine.


def repository(run: Run) -> str:
    """The repository on the hub that the card names, USER/NAME: NAME is that of the run's folder."""
    return "USER/" + re.sub(r"[^\w.-]+", "-", run.folder.resolve().name)


def licence(config: Config) -> str:
    """The hub's identifier of the licence of the images that a run learned from."""
    data = DATASETS.get(config.dataset)  # None for a folder.
    return LICENCES.get(data.licence, "unknown") if data else "unknown"


def model_card(run: Run, page: str | None = None) -> str:
    """The card, in Markdown with the hub's YAML at its top.

    It belongs beside fakes.png, as `generate.write_grid` draws it, and beside the HTML file `page`, if there is one. It
    names no folder of this machine. Raises InputError if config.json cannot be read.
    """
    config, record = run.read_config()
    classes, metrics = list(record["data"]["classes"]), run.read_metrics()
    sections = [
        front_matter(config),
        f"# {repository(run).partition('/')[2]}",
        summary(record["data"]["shape"], classes),
        picture(classes),
        *([f"[{page}]({page}) draws in your browser, without a network: download it and open it."] if page else []),
        "## Load it",
        loading(repository(run), config.latent_dim, record["data"]["shape"], classes),
        "## Data and licence",
        origin(config, record["data"]["images"]),
        "## Measures",
        measures(metrics),
        "## Training",
        training(config, metrics.get("step") or record["phases"][-1][1]),
    ]
    return "\n\n".join(sections) + "\n"


def front_matter(config: Config) -> str:
    """What the hub itself reads: https://huggingface.co/docs/hub/model-cards."""
    lines = ["library_name: keras", f"license: {licence(config)}", "pipeline_tag: unconditional-image-generation"]
    return "\n".join(["---", *lines, "tags:", "- gan", "- gan_tf", "---"])


def summary(shape: Sequence[int], classes: Sequence[str]) -> str:
    """What it is, and what it draws: images of `shape` (height, width, channels)."""
    height, width, channels = shape
    kind = {1: "grey", 3: "colour", 4: "transparent colour"}[channels]
    told = f" It draws what you tell it, one of {len(classes)} labels." if classes else ""
    return (
        f"The generator of a GAN. It draws {kind} pictures of {width}x{height} "
        f"pixels.{told} It was trained with gan_tf {__version__}, in TensorFlow and Keras."
    )


def picture(classes: Sequence[str]) -> str:
    """fakes.png with its caption."""
    rows = "label" if len(classes) <= MOST_CLASSES else f"of the first {MOST_CLASSES} labels"
    shown = f"A row for each {rows}, a column for each latent vector" if classes else "Its first 64 pictures"
    return f"![Pictures that this generator drew](fakes.png)\n\n{shown}, from seed 0. Nothing was selected."


def loading(repository: str, latent_dim: int, shape: Sequence[int], classes: Sequence[str]) -> str:
    """How to draw with it, in five lines."""
    inputs = f"np.concatenate([latents, np.eye({len(classes)})[[0] * 8]], axis=1)" if classes else "latents"
    told = (
        f"\n\nA label follows the latent vector, one-hot: above, label 0 for all eight. In order, the labels are "
        f"{', '.join(classes)}."
    )
    return f"""\
It needs `keras`, `tensorflow` and `huggingface_hub`.

```python
import keras
import numpy as np
generator = keras.saving.load_model("hf://{repository}")
latents = np.random.default_rng(0).standard_normal((8, {latent_dim}))
images = generator({inputs})
```

`images` are float32 (8, {", ".join(map(str, shape))}) in [-1, 1]. In grey levels: `(images + 1) * 127.5`.\
{told if classes else ""}"""


def origin(config: Config, count: int) -> str:
    """What it learned from, and whose that is."""
    if config.dataset not in DATASETS:
        return (
            f"It learned from a folder of {count:,} pictures, whose licence gan_tf does not know. If you trained it, "
            "say here where they came from, and set `license` at the top of this file."
        )
    data, labels = DATASETS[config.dataset], f", labels {', '.join(config.label)}" if config.label else ""
    page = f"[`{data.name}`]({data.page})" if data.page.startswith("http") else f"`{data.name}`"
    return (
        f"It learned from {count:,} images of {page} ({data.description}{labels}). Their licence: {data.licence}. "
        f"Therefore `license` at the top of this file is `{licence(config)}`. Whether the weights need another one is "
        "for the publisher to judge."
    )


def measures(metrics: Mapping[str, Any]) -> str:
    """The measures of the last evaluation, each beside its floor."""
    if "evaluation" not in metrics:
        return "Not measured."
    both = [metrics["evaluation"][name] for name in ("fakes", report.FLOOR)]
    lines = ["| measure | this generator | floor | good |", "|---|---|---|---|"]
    for name in both[0]:
        title, good = report.title_and_good_value(name)
        cells = [report.show_measure(name, **found[name]) for found in both]
        lines.append(f"| {title} | {' | '.join(cells)} | {good} |")
    explained = (
        f"{metrics['images']:,} images each, against equally many training images; mean ± standard deviation of "
        f"{metrics['splits']} random splits. The floor is what new real images get: a perfect generator would reach "
        f"it. Features: {metrics['features']['name']}. Do not compare these distances with a published FID."
    )
    each_label = ["\n".join(report.class_table(metrics["labels"]))] if metrics.get("labels") else []
    return "\n\n".join([explained, "\n".join(lines), *each_label])


def training(config: Config, steps: int) -> str:
    """How long it trained, and the options that differ from gan_tf's defaults."""
    defaults = dataclasses.asdict(Config())
    lines = ["| option | value |", "|---|---|"]
    for name, value in dataclasses.asdict(config).items():
        if value != defaults[name] and name not in PLACES:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            lines.append(f"| `--{name.replace('_', '-')}` | {shown} |")
    return "\n".join([f"{steps:,} steps, with gan_tf's defaults and these options:\n", *lines])
