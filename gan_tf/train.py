"""Train a GAN: python -m gan_tf.train --dataset mnist --digit 5

Everything the run makes lies in its folder: pictures of each epoch, the animation of them, curves, checkpoints,
and generator.keras, which python -m gan_tf.generate draws new images with.
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
from pathlib import Path

import tyro

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.files import remove_partial_files
from gan_tf.config import Config, preset_config

# What may differ when a run is resumed: how long it is, and where its files lie now.
MAY_CHANGE = {"epochs", "data_dir"}


@dataclasses.dataclass(frozen=True)
class Options:
    config: tyro.conf.OmitArgPrefixes[Config]
    run: Path | None = None
    """The folder to make for this run. By default one in runs/, named by data set, labels and time, so that no
    run overwrites another."""
    resume: Path | None = None
    """The folder of an earlier run to go on with, from its last checkpoint. Its options hold; only --epochs and
    --data-dir may differ, as with another one the run would not be one run."""
    fallback: bool = True
    """Whether to train on digits or creatures, which need no network, under a warning, where the data set cannot be
    had. On, so that every command works anywhere; --no-fallback makes that an error."""
    tensorboard: bool = False
    """Whether to write TensorBoard logs into the run's folder. Off, as they need the package tensorboard."""


def parse(argv: list[str], defaults: Config | None = None) -> Options:
    """The command line's options on top of `defaults`, or of its data set's preset."""
    if defaults is None:
        peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        peek.add_argument("--dataset", default=Config.dataset)
        peek.add_argument("--preset")
        peek.add_argument("--loss", default=Config.loss)
        seen, _ = peek.parse_known_args(argv)
        defaults = preset_config(seen.dataset, preset=seen.preset, loss=seen.loss)
    description = __doc__ + f"\nThe defaults shown are those of --dataset {defaults.dataset}."
    return tyro.cli(
        Options, prog="python -m gan_tf.train", description=description, args=argv, default=Options(defaults)
    )


def begin(options: Options, argv: list[str]):
    """A new run: its Run, Config, Images, and why its data set is not the one asked for (or None)."""
    from gan_tf.data import registry as datasets
    from gan_tf.run.folder import Run

    config, fallback = options.config, None
    try:
        images = datasets.load(config)
    except datasets.Unavailable as error:
        if not options.fallback:
            raise
        instead = datasets.fallback_of(config.dataset)
        fallback = f"{error}\nThis run learns {instead} instead: {datasets.DATASETS[instead].what}."
        labels = [name for name in config.label if name in datasets.DATASETS[instead].labels]
        config = dataclasses.replace(
            parse(argv, preset_config(instead, loss=config.loss)).config, dataset=instead, label=labels
        )
        warn_of(fallback)
        images = datasets.load(config)
    return Run.create(options.run, config, images, fallback), config, images, fallback


def reopen(options: Options, argv: list[str]):
    """The run of --resume, as `begin` returns a new one. Raises InputError where it would not be the same run."""
    from gan_tf.data import registry as datasets
    from gan_tf.run.folder import FORMAT, Run

    if options.run:
        raise InputError("--run makes a new folder and --resume goes on in an old one: leave one of them out.")
    run = Run.open(options.resume)
    before, record = run.read_config()
    if record["format"] < FORMAT:
        raise InputError(
            f"{run.folder} was begun by an earlier gan_tf (format {record['format']}), whose training this one (format "
            f"{FORMAT}) cannot go on with; start a new run. Drawing with the old one works."
        )
    config = parse(argv, before).config
    old, new = dataclasses.asdict(before), dataclasses.asdict(config)
    differing = [name for name in old if old[name] != new[name] and name not in MAY_CHANGE]
    if config.decay != "none" and config.epochs != before.epochs:
        raise InputError(
            f"{run.folder} cannot be made longer or shorter: its --decay {config.decay} ends at epoch {before.epochs}, "
            "and with another end all of it would have been different. Start a new run."
        )
    if differing:
        changes = ", ".join(f"--{name.replace('_', '-')} was {old[name]} and is now {new[name]}" for name in differing)
        raise InputError(f"{run.folder} cannot be resumed with other options: {changes}. Leave them out.")
    images = datasets.load(config)
    if images.fingerprint != record["data"]["fingerprint"]:
        raise InputError(
            f"{run.folder} was trained on other images than {images.source} holds now; "
            "restore those, or start a new run."
        )
    remove_partial_files(run.folder)
    fallback = record["data"]["fallback"]
    if fallback:
        warn_of(fallback)
    return run, config, images, fallback


def warn_of(fallback: str) -> None:
    """The warning that nobody can overlook."""
    text = f"{fallback}\nTo have what you asked for, put it where data/README.md says, or try again with a network."
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, 90)]
    frame = "!" * 98
    print(frame, *(f"!!  {line:90}  !!" for line in lines), frame, sep="\n", file=sys.stderr, flush=True)


def announce(run, config: Config, images, gan, per_epoch: int) -> None:
    """What is about to happen, in numbers."""
    from gan_tf.run.folder import device

    labels = f", {' '.join(config.label)}" if config.label else ""
    size = "x".join(map(str, images.shape))
    print(f"data           {len(images):,} images of {size}: {images.name}{labels} ({images.source})")
    print(f"device         {device()}")
    print(f"generator      {gan.generator.count_params():,} parameters, from {config.latent_dim} random numbers")
    print(f"discriminator  {gan.discriminator.count_params():,} parameters")
    print(f"steps          {config.epochs} epochs of {per_epoch}, on {config.batch_size * config.d_steps} images each")
    print(f"run            {run.folder}" + (f", from step {int(gan.step)} on" if int(gan.step) else ""), flush=True)


@contextlib.contextmanager
def ctrl_c_stops(save):
    """While the block runs, Ctrl-C lets the step end and everything be saved; a second one stops at once."""

    def stop(number, frame):
        # Not by print, which must not be called again while it is at work.
        os.write(2, b"\nStopping after this step. Press Ctrl-C again to stop without saving.\n")
        save.stop_requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def finish(run, gan, per_epoch: int) -> None:
    """The pictures of the whole run, made anew from what lies in its folder."""
    import numpy as np

    from gan_tf.common.files import atomic_write
    from gan_tf.measure.health import HEALTHY, chance_losses
    from gan_tf.run import plots
    from gan_tf.run.folder import save_picture

    epochs = int(gan.step) // per_epoch
    history = run.read_history() if epochs else {}
    if not history:
        return
    shown = np.unique(np.linspace(0, epochs, min(epochs + 1, 100)).round().astype(int))
    with atomic_write(run.progress_gif) as temporary:
        plots.save_gif(temporary, [plots.open_png(run.sample_png(epoch)) for epoch in shown])
    with atomic_write(run.curves_png) as temporary:
        plots.save_curves(temporary, history, HEALTHY, chance_losses(gan.config.loss))
    if epochs >= 20:
        # Closer together at the start, where most changes.
        shown = np.unique([0, *np.geomspace(1, epochs, 8).round().astype(int)])
        frames = [plots.open_png(run.sample_png(epoch)) for epoch in shown]
        save_picture(run.strip_png, plots.strip(frames, [f"epoch {epoch}" for epoch in shown]))
    last = {name: values[-1] for name, values in history.items()}
    run.write_json(run.metrics_json, {"step": int(gan.step), "last_epoch": last})


def train(argv: list[str]) -> None:
    """The command. Raises InputError for what a person can mend; ends with exit code 130 after Ctrl-C."""
    options = parse(argv)
    if options.tensorboard and not importlib.util.find_spec("tensorboard"):
        raise InputError("--tensorboard needs the package tensorboard: install it with pip install tensorboard.")
    run, config, images, fallback = reopen(options, argv) if options.resume else begin(options, argv)
    try:
        train_in(run, config, images, fallback, options.tensorboard)
    except OSError as error:
        raise InputError(
            f"{run.folder} could not be written to ({error.strerror or error}); make room or make it writable, then "
            f"go on from the last checkpoint with --resume {run.folder}"
        ) from error
    finally:
        if fallback:
            warn_of(fallback)


def train_in(run, config: Config, images, fallback: str | None, tensorboard: bool) -> None:
    """Train from wherever the run's checkpoints are, and draw its pictures."""
    import numpy as np

    from gan_tf.data.images import steps_per_epoch
    from gan_tf.gan import GAN
    from gan_tf.run import callbacks, plots
    from gan_tf.run.folder import Checkpoints, save_picture

    gan, per_epoch = GAN(config, images.shape), steps_per_epoch(images, config)
    checkpoints = Checkpoints(gan, run.checkpoints)
    checkpoints.restore_or_begin()
    done = int(gan.step) // per_epoch
    if config.epochs < done:
        raise InputError(f"--epochs is {config.epochs}, but {run.folder} has {done} already: ask for more.")
    run.write_config(config, images, fallback)  # --epochs may be new.
    run.cut_history(done)
    save_picture(run.reals_png, plots.grid(images.images[: callbacks.GRID], columns=8))
    announce(run, config, images, gan, per_epoch)
    latents = np.random.default_rng(config.seed).standard_normal((callbacks.GRID, config.latent_dim))
    watchers = callbacks.make_callbacks(run, checkpoints, images, latents, per_epoch, tensorboard)
    began, first = time.perf_counter(), int(gan.step)
    try:
        with ctrl_c_stops(watchers[-1]):
            gan.fit(images, callbacks=watchers)
    except callbacks.Interrupted:
        finish(run, gan, per_epoch)
        print(f"Stopped at step {int(gan.step)}, all saved. To go on: python -m gan_tf.train --resume {run.folder}")
        sys.exit(130)
    except callbacks.Diverged as error:
        checkpoints.restore()
        finish(run, gan, per_epoch)
        raise InputError(f"{error} {run.folder} stands at its last good checkpoint, step {int(gan.step)}.") from None
    print(f"Trained {int(gan.step) - first:,} steps in {time.perf_counter() - began:.1f} s.")
    finish(run, gan, per_epoch)
    print(f"Pictures: {run.progress_gif}, {run.curves_png}, {run.samples}")
    print(f"Next:     python -m gan_tf.generate {run.folder} --count 64 --seed 1 --out fakes.png")


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes to itself are not for the reader.
    with exit_on_input_error():
        train(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    main()
