"""Training by epochs that can be left and entered at any step."""

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, batch_rows, on_device, steps_per_epoch
from gan_tf.gan import GAN
from gan_tf.run import devices
from gan_tf.run.distribute import share_out

# Steps in one call of the compiled function. Python's part of a call costs as much as a step of a small network, and
# callbacks are called between calls only: Ctrl-C waits for at most this many steps.
STEPS_PER_CALL = 16


def train_epochs(
    gan: GAN, images: ImageDataset, config: Config, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> keras.callbacks.History:
    """Train from `gan.step`, wherever in an epoch that is, until config.epochs epochs are done.

    `gan` is compiled (`gan_tf.run.build.build_gan`). Everything that `keras.Model.fit` promises to callbacks holds:
    training begins and ends once, also when it starts within an epoch, whose running means continue from
    `gan.trackers`. A run that was stopped, restored from a checkpoint and continued gives the same weights and the same
    history, to the bit on a CPU, as a run that never stopped. Nothing is printed.

    Returns Keras's History, with the means (`GAN.LOGGED`) of each epoch that ended here.
    """
    # A loop by hand, because Keras's `fit` cannot start within an epoch: it always resets the metrics and the count.
    per_epoch = steps_per_epoch(images, config)
    data, to_batch = feed(images, config, gan)
    run_steps, data = compile_steps(gan, to_batch), iter(data)
    watchers = keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=gan, epochs=config.epochs, steps=per_epoch, verbose=0
    )
    gan.stop_training = False  # A callback sets it, as under `fit`.
    logs = {}
    watchers.on_train_begin()
    first_epoch, done = divmod(int(gan.step), per_epoch)
    for epoch in range(first_epoch, config.epochs):
        if not done:
            gan.reset_metrics()
        watchers.on_epoch_begin(epoch)
        while done < per_epoch and not gan.stop_training:
            count = min(STEPS_PER_CALL, per_epoch - done)
            watchers.on_train_batch_begin(done)
            logs = {name: float(value) for name, value in run_steps(data, tf.constant(count)).items()}
            done += count
            watchers.on_train_batch_end(done - 1, logs)
        if done == per_epoch:
            watchers.on_epoch_end(epoch, logs)
        if gan.stop_training:
            break
        done = 0
    watchers.on_train_end(logs)
    return gan.history


def feed(
    images: ImageDataset, config: Config, gan: GAN, has_room: Callable[[int], bool] = devices.gpu_has_room
) -> tuple[tf.data.Dataset, Callable]:
    """What remains of a run's data, and what makes a step's batch of an item of it.

    If the device `has_room` for the bytes of the images, they are copied there once, and the data are their numbers.
    Otherwise, and for several replicas, the CPU gathers each batch while the step before it is computed.
    """
    size = len(images) * math.prod(images.shape)
    if gan.distribute_strategy.num_replicas_in_sync == 1 and has_room(size):
        return batch_rows(images, config, int(gan.step)).prefetch(2), on_device(images, config)
    return share_out(images, config, gan), as_it_is


def as_it_is(batch):
    """Data that are batches already."""
    return batch


def compile_steps(gan: GAN, to_batch: Callable = as_it_is):
    """A function of (iterator, count) that trains `count` steps, each with what `to_batch` makes of an item of the
    iterator, and returns the running means. It is traced once, whatever `count` is. Replicas of the GAN play each step
    together, and the means are those of all."""
    strategy, step = gan.distribute_strategy, gan.train_step
    if strategy.num_replicas_in_sync > 1:

        def step(data):
            values = strategy.run(gan.play, (data,))
            return gan.finish_step({name: strategy.reduce("MEAN", value, axis=None) for name, value in values.items()})

    elif gan.jit_compile:  # What `compile` was called with. XLA cannot compile the iterator, so it gets the step only.
        step = tf.function(step, jit_compile=True, autograph=False)

    # AutoGraph would turn a Python loop into this one, but it fails with some versions of its parser on Python 3.13.
    @tf.function(autograph=False)
    def run_steps(iterator, count):
        def one_step(done):
            step(to_batch(next(iterator)))
            return (done + 1,)  # A tuple, which eager mode needs.

        tf.while_loop(lambda done: done < count, one_step, [tf.constant(0)])
        return {name: gan.trackers[name].result() for name in gan.LOGGED}

    return run_steps
