"""Checkpoints: all that training needs to continue to the bit."""

import os
import re
import sys
from pathlib import Path

import tensorflow as tf

from gan_tf.common.errors import InputError
from gan_tf.common.files import remove, replace_durably
from gan_tf.gan import GAN


class CheckpointStore:
    """The checkpoints of one run, by step: the networks, the average, both optimizers, the step, and the running means
    of the current epoch. TensorFlow writes them, with a checksum of every tensor. There are two, so that a damaged
    newest one has a predecessor.

    tf.train.CheckpointManager does without the flushing to disk. It also believes its own list of checkpoints, so a
    damaged list would begin the run anew, and a malicious one could delete files outside of the folder.
    """

    def __init__(self, gan: GAN, folder: Path):
        self.gan, self.folder = gan, folder
        self.state = tf.train.Checkpoint(
            generator=gan.generator,
            discriminator=gan.discriminator,
            ema_generator=gan.ema_generator,
            g_optimizer=gan.g_optimizer,
            d_optimizer=gan.d_optimizer,
            step=gan.step,
            # TensorFlow does not look into Keras's metrics by itself.
            trackers={
                name: [variable.value for variable in tracker.variables] for name, tracker in gan.trackers.items()
            },
        )
        # Part of every checkpoint. TensorFlow makes it when it is asked for, and would warn of a damaged checkpoint's.
        self.save_counter = self.state.save_counter

    def saved(self) -> list[Path]:
        """The prefixes of the checkpoints' files, by step."""
        indices = [path for path in self.folder.glob("step-*.index") if step_of(path) >= 0]
        return [path.with_suffix("") for path in sorted(indices, key=step_of)]

    def save(self) -> None:
        """Write a checkpoint of the present state, and delete those before its predecessor. Raises OSError."""
        name = f"step-{int(self.gan.step)}"
        temporary = self.folder / f".{os.getpid()}.{name}"
        self.save_counter.assign_add(1)
        try:
            temporary.mkdir(parents=True)
            self.state.write(str(temporary / name))
            # The index is the last, because a checkpoint exists once its index does.
            for path in sorted(temporary.iterdir(), key=lambda path: path.suffix == ".index"):
                replace_durably(path, self.folder / path.name)
        except tf.errors.OpError as error:
            raise OSError(None, error.message.splitlines()[0], str(self.folder)) from error
        finally:
            remove(temporary)
        self.remove_before_predecessor()

    def remove_before_predecessor(self) -> None:
        """Keep the checkpoint of the present step and the last one before it. Later ones, which were too damaged to
        restore, are written again when training gets there."""
        earlier = [step for step in map(step_of, self.saved()) if step < int(self.gan.step)]
        old = range(earlier[-1]) if earlier else ()
        for path in self.folder.glob("step-*.*"):
            if step_of(path) in old:
                path.unlink()

    def restore_or_begin(self) -> None:
        """Restore the newest checkpoint; if there is none yet, save the first. Only for the process that saves."""
        if self.saved():
            self.restore()
            self.remove_before_predecessor()  # A process that was killed may not have come to it.
        else:
            self.save()

    def restore(self) -> None:
        """Restore the newest checkpoint that is intact, and name damaged ones. Raises InputError if there is none."""
        saved = self.saved()
        for prefix in reversed(saved):
            try:
                self.state.restore(str(prefix)).assert_existing_objects_matched()
                return
            except Exception as error:  # Depending on the damage, one of TensorFlow's, IndexError or AssertionError.
                why = str(error).splitlines()[0]
                print(f"gan_tf: the checkpoint {prefix} is damaged ({why}); trying the one before it.", file=sys.stderr)
        raise InputError(
            f"{self.folder} holds no checkpoint that can be read (of {len(saved)}): start again in another folder with "
            "--run."
        )


def step_of(path: Path) -> int:
    """The step that a checkpoint was saved at, by the name of its files; -1 for any other file."""
    name = re.fullmatch(r"step-([0-9]+)(\.index|\.data-[0-9]+-of-[0-9]+)?", path.name)
    return int(name[1]) if name else -1
