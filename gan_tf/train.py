"""Train a GAN: python -m gan_tf.train --dataset mnist --label 5

A run writes everything into its own folder: a picture of samples after each epoch, their animation, the curves,
checkpoints, and generator.keras, from which python -m gan_tf.generate draws new images.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import os
import signal
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.options import Checked, optional, parse_groups
from gan_tf.common.quiet import skip_optional_packages
from gan_tf.config import GROUPS, Config, preset_values

if TYPE_CHECKING:  # These import TensorFlow, for which --help does not wait.
    from gan_tf.data.images import ImageDataset
    from gan_tf.gan import GAN
    from gan_tf.run.build import Phases
    from gan_tf.run.callbacks import Checkpoint
    from gan_tf.run.distribute import Cluster
    from gan_tf.run.folder import Run

# Short paragraphs, as tyro does not wrap them.
DESCRIPTION = """Train a GAN: python -m gan_tf.train --dataset mnist --label 5

The run's folder gets pictures, curves, checkpoints and generator.keras.

Then draw new images: python -m gan_tf.generate RUN_DIR --out fakes.png"""

# What may differ when a run is resumed: how long it is, and where its files lie now.
MAY_CHANGE = {"epochs", "data_dir"}


@dataclasses.dataclass(frozen=True)
class RunOptions(Checked):
    run: Annotated[Path | None, optional("DIR", "a new folder in runs/")] = None
    """The folder to create for this run. The default name has the data set, the labels and the time, so that no run
    overwrites another."""
    resume: Annotated[Path | None, optional("DIR", "start a new run")] = None
    """Continue the run in this folder from its last checkpoint, with the options it was started with. Only --epochs
    and --data-dir may change."""
    fallback: bool = True
    """If the data set cannot be downloaded, warn and train on digits or creatures instead, which need no network.
    With --no-fallback, that is an error."""
    distribute: Annotated[Literal["mirrored", "multiworker"] | None, optional("WHERE", "one device")] = None
    """Train on all GPUs of this machine (mirrored), or on several machines (multiworker, see docs/cluster.md)."""
    device: Annotated[Literal["cpu", "gpu"] | None, optional("WHERE", "a GPU if there is one")] = None
    """Train on the CPU, where runs repeat to the bit, even if there is a GPU; or on a GPU, and end if there is none."""
    tensorboard: bool = False
    """Also write TensorBoard logs into the run's folder. Needs the package tensorboard."""


@dataclasses.dataclass(frozen=True)
class Options(RunOptions):
    """What the command line asks for."""

    config: Config = dataclasses.field(default_factory=Config)


def peek(argv: list[str]) -> dict[str, Any]:
    """What the command line says of the data set and of what chooses, or rules out, values of its preset."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--dataset", default=Config.dataset)
    parser.add_argument("--preset")
    parser.add_argument("--loss")
    parser.add_argument("--label", "--digit", nargs="*")
    parser.add_argument("--clusters")
    parser.add_argument("--conditional", action="store_true")
    return vars(parser.parse_known_args(argv)[0])


def preset_defaults(argv: list[str]) -> Config:
    """The defaults that the command line's data set and preset have."""
    given = peek(argv)
    dataset = given["dataset"]
    return Config(dataset=dataset, preset=given["preset"], **preset_values(dataset, given))


def fallback_defaults(argv: list[str], name: str) -> Config:
    """The defaults of the data set `name`, learned instead of the one that was asked for. That one's labels and preset
    do not count, but what else the command line says rules out the same as always."""
    return Config(dataset=name, **preset_values(name, peek(argv) | {"label": None, "preset": None}))


def parse(argv: list[str], defaults: Config | None = None) -> Options:
    """The command line's options, on top of `defaults` or else of the data set's preset. Raises InputError."""
    defaults = defaults or preset_defaults(argv)
    groups = {heading: [RunOptions, part] if heading == "output" else [part] for heading, part in GROUPS.items()}
    source = f"--preset {defaults.preset}" if defaults.preset else f"--dataset {defaults.dataset}"
    values = parse_groups(
        groups,
        dataclasses.asdict(defaults),
        prog="python -m gan_tf.train",
        description=f"{DESCRIPTION}\n\nDefaults shown are those of {source}.",
        argv=argv,
    )
    config = Config(**{field.name: values.pop(field.name) for field in dataclasses.fields(Config)})
    return Options(config=config, **values)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run is about to do."""

    config: Config
    images: "ImageDataset"
    phases: "Phases"  # the steps over which the step sizes decay, see `gan_tf.run.build`
    fallback: str | None  # why the data set is not the one that was asked for
    # Options that were chosen to suit the images, and why.
    chosen: Mapping[str, str] = dataclasses.field(default_factory=dict)


def begin(options: Options, argv: list[str], cluster: "Cluster") -> "tuple[Run, Job]":
    """Make a new run's folder. Raises InputError."""
    from gan_tf.data.choices import choose
    from gan_tf.data.images import train_holdout_split
    from gan_tf.data.registry import load, load_or_fallback
    from gan_tf.run.build import first_phase
    from gan_tf.run.folder import Run

    config, message = options.config, None
    if options.fallback and not cluster.workers:  # Of several, one might fall back and another not.
        config, images, message = load_or_fallback(
            config, lambda name: parse(argv, fallback_defaults(argv, name)).config
        )
    else:
        images = load(config)
    chosen = choose(images, config)
    if chosen:
        values = {name: value for name, (value, _) in chosen.items()}
        config = parse(argv, dataclasses.replace(preset_defaults(argv), **values)).config
    reasons = {name: why for name, (value, why) in chosen.items() if getattr(config, name) == value}
    if config.evaluate_every:
        # Now, before anything is written.
        from gan_tf.measure import features, report

        report.check_count(len(train_holdout_split(images, config)[0]) // 2, features.SIZE)
    cluster.check(config)
    run = Run.create(options.run, config, images, message) if cluster.is_chief else Run(Path(options.run or ""))
    return run, Job(config, images, first_phase(images, config), message, reasons)


def reopen(run: "Run", argv: list[str], cluster: "Cluster") -> "Job":
    """What is left to do in the run of --resume. Raises InputError if it would not be the same run."""
    from gan_tf.data.images import steps_per_epoch
    from gan_tf.data.registry import load
    from gan_tf.run.build import extend, first_phase

    before, record = run.read_config()
    config = parse(argv, before).config
    old, new = dataclasses.asdict(before), dataclasses.asdict(config)
    differing = [name for name in old if old[name] != new[name] and name not in MAY_CHANGE]
    if differing:
        changes = ", ".join(f"--{name.replace('_', '-')} was {old[name]} and is now {new[name]}" for name in differing)
        raise InputError(f"{run.folder} cannot be resumed with other options: {changes}. Leave them out.")
    cluster.check(config)
    check_history(run)
    images = load(config)
    if images.fingerprint != record["data"]["fingerprint"]:
        raise InputError(
            f"{run.folder} was trained on other images than {images.source} holds now: restore those, or start a new "
            "run."
        )
    phases = record["phases"] or first_phase(images, before)
    last_step = config.epochs * steps_per_epoch(images, config)
    if config.decay != "none" and last_step < phases[-1][1]:
        raise InputError(
            f"{run.folder} cannot be made shorter: its step sizes decay until epoch {before.epochs}. Leave --epochs "
            "out; Ctrl-C stops the run after any step."
        )
    return Job(config, images, extend(phases, last_step, config), record["data"]["fallback"])


def check_history(run: "Run") -> dict[str, list[float]]:
    """The run's history. Raises InputError if it is damaged or lacks a column that every run has."""
    from gan_tf.gan import GAN

    history = run.read_history()
    for name in ("epoch", *GAN.LOGGED, *GAN.DIAGNOSTICS):
        if history and name not in history:
            raise InputError(f"{run.history_csv} has no column {name}: it is not as gan_tf wrote it.")
    return history


def warn_of(message: str) -> None:
    """Print a warning that nobody can overlook: the data set is not the one that was asked for."""
    text = f"{message}\nTo train on what you asked for, put it where data/README.md says, or try again with a network."
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, 74)]
    frame = "!" * 80
    print(frame, *(f"!! {line:74} !!" for line in lines), frame, sep="\n", file=sys.stderr, flush=True)


def announce(run: "Run", job: "Job", gan: "GAN", per_epoch: int, cluster: "Cluster") -> None:
    """Print what is about to happen, in numbers."""
    from gan_tf.run import devices

    config, images = job.config, job.images
    labels = f", {' '.join(config.label)}" if config.label else ""
    height, width, channels = images.shape
    size = f"{width}x{height}x{channels}"
    print(f"data           {len(images):,} images of {size}: {images.name}{labels} ({images.source})")
    print(f"device         {devices.describe()}")
    count = cluster.strategy.num_replicas_in_sync
    if count > 1:
        here = f" in {len(cluster.workers)} processes" if cluster.workers else ""
        alone = ", whose minibatch standard deviation is each replica's own" if config.minibatch_std else ""
        print(f"replicas       {count}{here}, on {config.batch_size // count} images of each batch{alone}")
    told = f" and one of {gan.classes} {'clusters' if config.clusters else 'labels'}" if gan.classes else ""
    print(f"generator      {gan.generator.count_params():,} parameters, from {config.latent_dim} random numbers{told}")
    print(f"discriminator  {gan.discriminator.count_params():,} parameters")
    print(f"steps          {config.epochs} epochs of {per_epoch}, on {config.batch_size * config.d_steps} images each")
    for name, why in job.chosen.items():
        print(f"--{name:12} {why}")
    if len(job.phases) > 1:
        first, last = (step // per_epoch for step in job.phases[-1])
        print(
            f"step sizes     decayed to 0 by epoch {first}, warm up again, and decay to 0 by epoch {last}: not the run "
            f"that {last} epochs from the start would be"
        )
    print(f"run            {run.folder}" + (f", from step {int(gan.step)} on" if int(gan.step) else ""), flush=True)


@contextlib.contextmanager
def ctrl_c_stops(checkpoint: "Checkpoint"):
    """While the block runs, Ctrl-C ends training after the current steps, with a checkpoint. A second one stops at
    once."""

    def stop(number, frame):
        # os.write, because a signal may arrive within a print, which must not be entered twice.
        os.write(2, b"\nStopping after this step. Press Ctrl-C again to stop without saving.\n")
        checkpoint.stop_requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def finish(run: "Run", config: Config, step: int, epochs: int) -> None:
    """Make the pictures of the whole run, and metrics.json, from what its folder holds."""
    import numpy as np

    from gan_tf.common.files import atomic_write
    from gan_tf.losses import chance_losses
    from gan_tf.measure.health import HEALTHY
    from gan_tf.run import plots
    from gan_tf.run.folder import nearest, save_picture, telling_epochs

    history = run.read_history()
    if not history:
        return
    there = run.sampled_epochs()
    there = there[there <= epochs]
    shown = nearest(there, np.linspace(0, epochs, min(epochs + 1, 100)).round())
    frames = [plots.open_png(run.sample_png(epoch)) for epoch in shown]
    for path in (run.progress_gif, run.progress_mp4) if plots.can_write_mp4() else (run.progress_gif,):
        with atomic_write(path) as temporary:
            plots.save_animation(temporary, frames)
    with atomic_write(run.curves_png) as temporary:
        plots.save_curves(temporary, history, HEALTHY, chance_losses(config.loss))
    if epochs >= 20:
        shown = nearest(there, telling_epochs(epochs, 8))
        frames = [plots.open_png(run.sample_png(epoch)) for epoch in shown]
        save_picture(run.strip_png, plots.strip(frames, [f"epoch {epoch}" for epoch in shown]))
    last = {name: values[-1] for name, values in history.items()}
    run.write_json(run.metrics_json, run.read_metrics() | {"step": step, "last_epoch": last})


def train(argv: list[str]) -> None:
    """The command. Raises InputError for what a person can mend; exits with status 130 after Ctrl-C."""
    options = parse(argv)
    if options.tensorboard and not importlib.util.find_spec("tensorboard"):
        raise InputError("--tensorboard needs the package tensorboard: install it with pip install tensorboard.")
    if options.run and options.resume:
        raise InputError("--run makes a new folder and --resume continues in an old one: leave one of them out.")
    if options.distribute == "multiworker" and not (options.run or options.resume):
        raise InputError("--distribute multiworker needs --run DIR (or --resume DIR), the same folder for all workers.")
    from gan_tf.run import distribute
    from gan_tf.run.folder import Run

    cluster = distribute.start(options.distribute, options.device)
    run, job = (Run.open(options.resume), None) if options.resume else begin(options, argv, cluster)
    with run.lock() if cluster.is_chief else contextlib.nullcontext():
        job = job or reopen(run, argv, cluster)
        if job.fallback:
            warn_of(job.fallback)
        try:
            with cluster.watched(run.folder):
                if cluster.is_chief:
                    train_in(run, job, options.tensorboard, cluster)
                else:
                    follow(run, job, cluster)
        except BrokenPipeError:  # Not the disk: nobody reads the output any more.
            raise
        except OSError as error:
            raise run.unwritable(error) from error
        finally:
            if job.fallback:  # Again, because training has scrolled the first one away.
                warn_of(job.fallback)


def follow(run: "Run", job: "Job", cluster: "Cluster") -> None:
    """Take every step with the chief, from the same checkpoint, and write nothing."""
    from gan_tf.run import callbacks, distribute
    from gan_tf.run.build import build_for
    from gan_tf.run.checkpoints import CheckpointStore
    from gan_tf.run.loop import train_epochs

    gan = build_for(job.images, job.config, job.phases, cluster.strategy)
    store = CheckpointStore(gan, run.checkpoints)
    if store.saved():
        store.restore()
    distribute.meet(cluster.strategy, int(gan.step))
    print(f"worker {cluster.index} trains with {cluster.workers[0]}, which writes {run.folder}", flush=True)
    train_epochs(gan, job.images, job.config, [callbacks.TerminateOnNonFinite()])


def train_in(run: "Run", job: "Job", tensorboard: bool, cluster: "Cluster") -> None:
    """Train from the newest checkpoint of a locked run, and make its pictures."""
    from gan_tf.common.files import remove_partial_files
    from gan_tf.data.images import steps_per_epoch
    from gan_tf.run import callbacks, distribute, plots
    from gan_tf.run.build import build_for
    from gan_tf.run.checkpoints import CheckpointStore
    from gan_tf.run.folder import save_picture
    from gan_tf.run.loop import train_epochs

    config, images = job.config, job.images
    remove_partial_files(run.folder)
    gan = build_for(images, config, job.phases, cluster.strategy)
    per_epoch = steps_per_epoch(images, config)
    store = CheckpointStore(gan, run.checkpoints)
    store.restore_or_begin()
    first = int(gan.step)
    if config.epochs < first / per_epoch:
        raise InputError(f"--epochs is {config.epochs}, but {run.folder} has done {first // per_epoch}: ask for more.")
    if cluster.workers:
        distribute.meet(cluster.strategy, first)
    run.record_start(config, job.phases, first)
    run.cut_history(first // per_epoch)
    run.thin_samples(first // per_epoch)
    reals = images.images[: callbacks.COLUMNS * callbacks.ROWS]
    save_picture(run.reals_png, plots.grid(reals, columns=callbacks.COLUMNS))
    announce(run, job, gan, per_epoch, cluster)
    watchers = callbacks.make_callbacks(run, store, images, config, tensorboard)
    progress, checkpoint = watchers[0], watchers[-1]
    began = time.perf_counter()
    try:
        # Of several workers, all have to stop at the same step, so there Ctrl-C goes back to the last checkpoint.
        with contextlib.nullcontext() if cluster.workers else ctrl_c_stops(checkpoint), contextlib.closing(progress):
            train_epochs(gan, images, config, watchers)
    except callbacks.Diverged as error:
        store.restore()
        finish(run, config, int(gan.step), int(gan.step) // per_epoch)
        raise InputError(f"{error} {run.folder} is at its last good checkpoint, step {int(gan.step)}.") from None
    seconds = time.perf_counter() - began
    finish(run, config, int(gan.step), int(gan.step) // per_epoch)
    if int(gan.step) < config.epochs * per_epoch:
        print(f"Stopped at step {int(gan.step)}, all saved. To go on: python -m gan_tf.train --resume {run.folder}")
        sys.exit(130)
    print(f"Trained {int(gan.step) - first:,} steps in {seconds:.1f} s.")
    print(f"Pictures: {run.progress_gif}, {run.curves_png}, {run.samples}")
    print(f"Next:     python -m gan_tf.generate {run.folder} --count 64 --seed 1 --out fakes.png")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with exit_on_input_error():
        train(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    skip_optional_packages()
    main()
