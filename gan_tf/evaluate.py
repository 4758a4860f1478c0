"""Measure how good a run's generator is.

Example: python -m gan_tf.evaluate runs/NAME

It prints each measure of the fakes beside that of new real images.

New real images are the floor: what a perfect generator would get.

Noise, blurred images and copies show what bad images get.

Everything is written to metrics.json in the run's folder.

copies.png there shows the fakes that are closest to a training image.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.options import Checked, at_least, optional, parse_options
from gan_tf.common.quiet import skip_optional_packages


@dataclasses.dataclass(frozen=True)
class Options(Checked):
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of the run to evaluate."""
    count: Annotated[
        Annotated[int, at_least(1)] | None, optional("IMAGES", "half of the training images, 2000 at most")
    ] = None
    """How many images to compare with equally many reference images. Most measures depend on this number, so compare
    values only for the same one."""
    features: Literal["own", "inception"] = "own"
    """The network whose features are compared: a small one that is trained on the data set, or InceptionV3, which is
    slow and a download of 92 MB."""
    seed: Annotated[int, at_least(0)] = 0
    """The seed of the fakes' latents."""
    data_dir: Annotated[str | None, optional("DIR", "where it was during training")] = None
    """The folder that now has the run's data."""


def reopen(options: Options):
    """Open the run. Returns it, its Config, its images and all images of its data set, whatever their labels. Raises
    InputError if they are not the images that it was trained on."""
    from gan_tf.data.registry import load
    from gan_tf.run import devices
    from gan_tf.run.folder import Run

    devices.prepare()
    run = Run.open(options.run)
    config, record = run.read_config()
    config = dataclasses.replace(config, data_dir=options.data_dir or config.data_dir)
    images = load(config)
    if images.fingerprint != record["data"]["fingerprint"]:
        raise InputError(
            f"{images.source} has changed since {run.folder} was trained on it, so they cannot be compared: restore "
            "it, or use --data-dir to say where it is now."
        )
    return run, config, images, load(dataclasses.replace(config, label=(), clusters=0)) if config.label else images


def print_creatures(counted: dict[str, dict[str, list]]) -> None:
    """Print how many of the species, hues and poses the fakes cover, and which they lost."""
    for kind, found in counted.items():
        total = sum(share > 0 for share in found["real"])
        lost = f"; lost: {', '.join(found['lost'])}" if found["lost"] else ""
        print(f"{kind:8} {total - len(found['lost'])} of {total} covered{lost}")


def evaluate(options: Options) -> None:
    """Run the command. Raises InputError."""
    import keras

    from gan_tf.generate import Request
    from gan_tf.measure import report
    from gan_tf.measure.features import inception, make_features
    from gan_tf.run import plots
    from gan_tf.run.folder import save_picture

    run, config, images, every = reopen(options)
    generator = run.load_generator()
    bar = keras.utils.Progbar(6, unit_name="part")
    features = inception(images) if options.features == "inception" else make_features(every)
    bar.add(1)
    reference = report.run_reference(images, config, features, options.count)
    total = 2 * reference.count  # Twice as many as a split takes, so that the splits differ.
    request = Request(generator, total, options.seed, list(run.read_classes().values()))
    real, fake = reference.real[:total], np.concatenate([*request.images()])
    shown = {"fakes": fake, report.FLOOR: real, **report.baselines(real)}
    asked = [every.label_names.index(name) for name in config.label] or range(len(every.label_names))
    rows = {}
    for name, candidate in shown.items():
        rows[name] = reference.floor if name == report.FLOOR else reference.measure(candidate)
        labels = report.measure_labels(candidate, features, asked)
        rows[name] |= {measure: np.array([value]) for measure, value in labels.items()}
        bar.add(1)
    print(
        f"\n{reference.count:,} images each, against equally many training images; mean ± standard deviation of "
        f"{len(reference.splits)} random splits.\nFeatures: {features.name}."
    )
    if config.alpha:
        print("Transparent images are measured by their colours on white and by their opacity.")
    if not len(reference.held_out):
        print("No images were held out: some training images stand in for new ones, so copies of those go unnoticed.")
    print("", *report.table(rows), "", sep="\n")
    record = run.read_metrics() | {
        "features": {"name": features.name, "accuracy": features.accuracy, "chance": features.chance},
        "images": reference.count,
        "splits": len(reference.splits),
        "evaluation": {name: report.summary(scores) for name, scores in rows.items()},
    }
    if images.name == "creatures" and options.features == "own":
        record["creatures"] = report.count_creatures(real, fake, features)
        print_creatures(record["creatures"])
    if config.told:
        # Each label is drawn from latents of its own.
        record["labels"] = report.measure_classes(
            images,
            every,
            config,
            features,
            lambda label, count: np.concatenate(
                [*dataclasses.replace(request, count=count, seed=options.seed + label, labels=[label]).images()]
            ),
        )
        print(*report.class_table(record["labels"]), "", sep="\n")
    closest, originals = reference.closest(fake)
    save_picture(run.copies_png, plots.grid(np.concatenate([closest, originals]), columns=len(closest)))
    run.write_json(run.metrics_json, record)
    print(f"Numbers: {run.metrics_json}. Fakes closest to training images, above those: {run.copies_png}")


def parse(argv: list[str]) -> Options:
    """Parse the command line."""
    return parse_options(Options, prog="python -m gan_tf.evaluate", description=__doc__ or "", argv=argv)


def main(argv: list[str] | None = None) -> None:
    """Run the command with `argv`, or else with the arguments of the process."""
    with exit_on_input_error():
        evaluate(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    skip_optional_packages()
    main()
