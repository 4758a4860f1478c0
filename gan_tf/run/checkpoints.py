"""Checkpoints: all that training needs to continue to the bit."""

import sys
from pathlib import Path

import tensorflow as tf

from gan_tf.common.errors import InputError
from gan_tf.gan import GAN


class CheckpointStore:
    """The checkpoints of one run, by step: the networks, the average, both optimizers, the step, and the running means
    of the current epoch. TensorFlow writes them atomically, with a checksum of every tensor."""

    def __init__(self, gan: GAN, folder: Path):
        self.gan = gan
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
        # Two, so that a damaged newest one has a predecessor.
        self.manager = tf.train.CheckpointManager(self.state, str(folder), max_to_keep=2, checkpoint_name="step")

    def save(self) -> None:
        """Write a checkpoint of the present state. Raises OSError."""
        try:
            self.manager.save(checkpoint_number=int(self.gan.step))
        except tf.errors.OpError as error:
            raise OSError(None, error.message.splitlines()[0], str(self.manager.directory)) from error

    def restore_or_begin(self) -> None:
        """Restore the newest checkpoint; if there is none yet, save the first."""
        if self.manager.checkpoints:
            self.restore()
        else:
            self.save()

    def restore(self) -> None:
        """Restore the newest checkpoint that is intact, and name damaged ones. Raises InputError if there is none."""
        saved = self.manager.checkpoints
        for path in reversed(saved):
            try:
                self.state.restore(path).assert_existing_objects_matched()
                return
            except Exception as error:  # Depending on the damage, one of TensorFlow's, IndexError or AssertionError.
                why = str(error).splitlines()[0]
                print(f"gan_tf: the checkpoint {path} is damaged ({why}); trying the one before it.", file=sys.stderr)
        raise InputError(
            f"{self.manager.directory} holds no checkpoint that can be read (of {len(saved)}): start again in "
            "another folder with --run."
        )
