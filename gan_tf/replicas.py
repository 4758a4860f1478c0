"""Several replicas of the networks that share the work of a step: `tf.distribute` as `gan.py` needs to know it.

A batch is split over the replicas, and each computes with its own part. Two things make that the same as one replica
with the whole batch: random numbers are drawn for the whole batch, and each replica takes those of its own images; and
losses are means over equal parts, so that the mean of the replicas' gradients is the gradient of the mean.

With a single replica, which is the usual case, nothing here adds any work.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def replicas() -> int:
    """How many replicas train, 1 without a `tf.distribute` strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def own_rows(draw: Callable[[Any], tf.Tensor], count: int | tf.Tensor) -> tf.Tensor:
    """The random numbers (count, ...) of this replica's images. `draw` makes as many as it is asked for."""
    if replicas() == 1:
        return draw(count)
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return draw(count * replicas())[replica * count : (replica + 1) * count]


def mean_gradients(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """What to pass to a Keras optimizer, which adds up the gradients of all replicas, so that it applies their mean."""
    return [gradient / replicas() for gradient in gradients] if replicas() > 1 else [*gradients]
