"""What the page tells about a run beside its networks: how it learned, its config and its measures."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.common.options import annotations
from gan_tf.config import GROUPS, Config, is_path
from gan_tf.losses import LOSSES, chance_losses
from gan_tf.measure import report
from gan_tf.measure.health import HEALTHY, History, Watch
from gan_tf.run import plots
from gan_tf.run.folder import Run, nearest, telling_epochs

GRIDS = 6  # Sample grids in the page. More would make it larger, and hardly tell more.
# Rows of the history in the page, about a hundred bytes each. A conditional run at 28 pixels leaves 15 kB of its page's
# megabyte to them.
ROWS = 128
QUALITY = 75  # Of the grids' JPEGs, in percent.
KINDS = {1: "grey", 3: "in colour", 4: "in colour, with transparency"}  # By the number of channels.


def record(run: Run) -> dict[str, Any]:
    """What the page needs of a run's folder except its networks, for JSON. Raises InputError for a damaged file."""
    config, facts = run.read_config()
    history = read(run.history_csv, run.read_history)
    height, width, channels = facts["data"]["shape"]
    epochs = len(history.get("epoch", ()))
    sampled, found = sampled_epochs(run, epochs), read(run.history_csv, lambda: verdicts(history, config))
    shown = shown_epochs(sampled, found)
    sentences = list(dict.fromkeys(sentence for epoch in shown for sentence in found[epoch].values()))
    return {
        "name": run.folder.resolve().name,
        "about": f"It learned from {facts['data']['images']:,} images of {facts['data']['name']}: {width}x{height} "
        f"pixels, {KINDS[channels]}.",
        "latents": config.latent_dim,
        "labels": list(facts["data"]["classes"]),
        "shares": list(facts["data"]["classes"].values()),
        "threshold": LOSSES[config.loss].has_threshold,
        "batch": config.minibatch_std,
        "shown": shown,
        # A value for each epoch that is shown but 0.
        "history": {
            name: [significant(values[epoch - 1]) for epoch in shown[1:]]
            for name, values in history.items()
            if name != "epoch"
        },
        "panels": plots.PANELS,
        "healthy": HEALTHY,
        "chance": [significant(loss) for loss in chance_losses(config.loss)],
        # For each epoch that is shown, where its verdicts are among the sentences.
        "verdicts": [[sentences.index(sentence) for sentence in found[epoch].values()] for epoch in shown],
        "sentences": sentences,
        "samples": [sample(run, epoch) for epoch in sampled],
        "config": config_table(config),
        "measures": read(run.metrics_json, lambda: measures(run.read_metrics())),
    }


Content = TypeVar("Content")


def read(path: Path, reader: Callable[[], Content]) -> Content:
    """What `reader` reads of `path`. Raises InputError if it cannot be read."""
    try:
        return reader()
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}): it is not as gan_tf wrote it.") from error


def significant(value: float) -> float | None:
    """Four digits of a number; None if it is not finite, which JSON cannot say."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


def verdicts(history: History, config: Config) -> list[dict[str, str]]:
    """What `diagnose` finds after each epoch, and after epoch 0, of which it says nothing."""
    watch, found = Watch(config), [{}]
    for row in zip(*history.values(), strict=True):
        found.append(watch.add(dict(zip(history, row, strict=True))))
    return found


def shown_epochs(sampled: Sequence[int], found: Sequence[Mapping[str, str]]) -> list[int]:
    """The epochs that the page shows, 0 first. Of more than ROWS, as many at even distances, and besides them those
    with a sample grid and those in which a verdict is reached for the first time."""
    epochs = len(found) - 1
    if epochs <= ROWS:
        return [*range(epochs + 1)]
    first: dict[str, int] = {}
    for epoch, names in enumerate(found):
        for name in names:
            first.setdefault(name, epoch)
    even = np.linspace(1, epochs, ROWS).round().astype(int).tolist()
    return sorted({0, *even, *sampled, *first.values()})


def sampled_epochs(run: Run, epochs: int) -> list[int]:
    """The epochs up to `epochs` whose sample grids the page shows: at most GRIDS of those that are there."""
    there = run.sampled_epochs()
    there = there[there <= epochs]
    return (there if len(there) <= GRIDS else nearest(there, telling_epochs(there[-1], GRIDS - 1))).tolist()


def sample(run: Run, epoch: int) -> dict[str, Any]:
    """A sample grid in the size that the generator drew, without gaps, as JPEG."""
    path = run.sample_png(epoch)
    height, width, _ = run.read_config()[1]["data"]["shape"]
    tiles = read(path, lambda: without_gaps(plots.open_png(path), height, width))
    encoded = io.BytesIO()
    plots.to_pillow(tiles).save(encoded, format="JPEG", quality=QUALITY, optimize=True)
    jpeg = base64.b64encode(encoded.getvalue()).decode()
    return {"epoch": epoch, "rows": len(tiles) // height, "columns": tiles.shape[1] // width, "jpeg": jpeg}


def without_gaps(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """The images of a picture that `plots.grid` made, each pixel once and without gaps: uint8 (rows * height,
    columns * width, channels). Raises ValueError for a picture of another size."""
    scale = plots.display_scale(max(height, width))
    images = plots.cells(grid, height, width, scale)[:, :, ::scale, ::scale]
    rows, columns = images.shape[:2]
    return images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, -1)


def config_table(config: Config) -> list[dict[str, Any]]:
    """Every option under its heading of --help, as text, and whether it differs from the default."""
    usual, table = Config(), []
    for group, options in GROUPS.items():
        for name in annotations(options):
            value = getattr(config, name)
            if name == "data_dir":  # A path on somebody's machine.
                continue
            if name == "dataset" and is_path(value):
                value = Path(value).name
            entry = {"group": group, "option": f"--{name.replace('_', '-')}", "value": show(value)}
            table.append({**entry, "changed": value != getattr(usual, name)})
    return table


def show(value: Any) -> str:
    """An option's value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(value) if isinstance(value, tuple) else str(value or (0 if value == 0 else ""))


def measures(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `evaluate` stored, as text for two tables; None before it ran."""
    if "evaluation" not in found:
        return None
    fakes, floor = found["evaluation"]["fakes"], found["evaluation"][report.FLOOR]
    rows = []
    for name in floor:
        title, good = report.title_and_good_value(name)
        rows.append([title, *(report.show_measure(name, **scores[name]) for scores in (fakes, floor)), good])
    return {
        "about": f"{found['images']:,} fakes against as many real images. Features: {found['features']['name']}.",
        "rows": rows,
        "labels": [[label, *report.class_cells(scores)] for label, scores in found.get("labels", {}).items()],
    }
