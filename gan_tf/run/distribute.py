"""Training on several devices and machines: `tf.distribute`, as the commands start it.

Each device has a replica of both networks and computes with its part of every batch (`gan_tf.replicas`). On several
machines, one process a machine, all do the same; only the first of them, the chief, writes the run's folder, which all
must see.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import tensorflow as tf

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, batches
from gan_tf.gan import GAN
from gan_tf.run import devices

# The environment variable with the seconds to wait for the other workers, whose machines may start later.
TIMEOUT = "GAN_TF_WORKER_TIMEOUT"

EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Who trains: this process and the others, if there are any."""

    strategy: tf.distribute.Strategy
    workers: tuple[str, ...] = ()  # host:port of each process; empty if there is only this one
    index: int = 0  # this process among them

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.index == 0

    def check(self, config: Config) -> None:
        """Raise InputError if a batch cannot be split equally, or for float16."""
        count = self.strategy.num_replicas_in_sync
        if count > 1 and config.precision == "float16":
            # Whether gradients overflowed, Keras asks one replica only.
            raise InputError("--precision float16 trains on one device only: use bfloat16 with --distribute.")
        if config.batch_size % count:
            raise InputError(
                f"--batch-size {config.batch_size} cannot be split over {count} replicas: use a multiple of {count}, "
                f"such as {count * -(-config.batch_size // count)}."
            )

    @contextlib.contextmanager
    def watched(self, run: object) -> Iterator[None]:
        """Turn the failure of another worker during the block into an InputError that says how to go on."""
        try:
            yield
        except tf.errors.OpError as error:
            if not self.workers:
                raise
            raise InputError(
                f"Another worker has stopped or cannot be reached ({type(error).__name__}): start all of them again "
                f"with --resume {run}, and training goes on from the last checkpoint."
            ) from error


def start(mode: str | None, device: devices.Device | None = None) -> Cluster:
    """The cluster of --distribute, on devices of this kind. Call it before anything else of TensorFlow. Raises
    InputError, or ends the process with such a message if another worker does not come in time (`time_limit`)."""
    if mode == "multiworker":
        return multiworker(device)
    devices.prepare(device)
    if mode == "mirrored":
        return Cluster(mirrored())
    return Cluster(tf.distribute.get_strategy())


def mirrored() -> tf.distribute.Strategy:
    """One replica on each GPU of this machine, or where there is none, on each logical CPU device."""
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) < 2:
        kind = "1 GPU" if found[0].device_type == "GPU" else "no GPU"
        raise InputError(
            f"--distribute mirrored needs at least two GPUs, and TensorFlow finds {kind} here: leave it out, or check "
            "that nvidia-smi shows the GPUs and that tensorflow[and-cuda] is installed."
        )
    return tf.distribute.MirroredStrategy([device.name for device in found])


def multiworker(device: devices.Device | None = None) -> Cluster:
    """This process's place among those that TF_CONFIG or SLURM names, once all of them have come."""
    workers, index, resolver = resolve(os.environ)
    devices.prepare(device)  # After SLURM's resolver, which chooses the process's GPUs.
    with time_limit(workers, index):
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
            meet(strategy)
        except tf.errors.OpError as error:
            raise InputError(
                f"Worker {index} cannot join the others at {workers[index]} ({type(error).__name__}): check that "
                "this is its address and that no other process uses the port."
            ) from error
    return Cluster(strategy, workers, index)


def resolve(
    environment: Mapping[str, str],
) -> tuple[tuple[str, ...], int, tf.distribute.cluster_resolver.ClusterResolver]:
    """The workers' addresses, the index of this one, and TensorFlow's resolver. Raises InputError."""
    if "TF_CONFIG" in environment:
        workers, index = read_tf_config(environment["TF_CONFIG"])
        # A chief, if there is one, is simply the first worker.
        spec = tf.train.ClusterSpec({"worker": list(workers)})
        return (
            workers,
            index,
            tf.distribute.cluster_resolver.SimpleClusterResolver(spec, task_type="worker", task_id=index),
        )
    if "SLURM_STEP_NUM_TASKS" not in environment:
        raise InputError(
            "--distribute multiworker needs to know the workers: start it with srun on SLURM, or set TF_CONFIG in each "
            f"process, for example to {EXAMPLE}"
        )
    no_gpus = {"gpus_per_node": 999, "gpus_per_task": 1, "auto_set_gpu": False}  # Or it would ask nvidia-smi.
    has_gpus = "CUDA_VISIBLE_DEVICES" in environment or shutil.which("nvidia-smi")
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(**({} if has_gpus else no_gpus))
        workers = tuple(resolver.cluster_spec().as_dict()["worker"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"SLURM's variables do not name the workers ({error}): start the processes with srun."
        ) from error
    return workers, resolver.task_id, resolver


def read_tf_config(text: str) -> tuple[tuple[str, ...], int]:
    """All workers of TF_CONFIG, the chief first, and the index of this process. Raises InputError."""
    try:
        record = json.loads(text)
        cluster, task = record["cluster"], record["task"]
        jobs = {job: [str(address) for address in cluster.get(job, [])] for job in ("chief", "worker")}
        kind, index = task["type"], int(task["index"])
        if kind not in jobs or not 0 <= index < len(jobs[kind]):
            raise ValueError(f"its task {kind} {index} is not in its cluster")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"is not as it should be ({error})"
        raise InputError(f"TF_CONFIG {what}: it must be JSON such as {EXAMPLE}") from None
    return (*jobs["chief"], *jobs["worker"]), index + (len(jobs["chief"]) if kind == "worker" else 0)


@contextlib.contextmanager
def time_limit(workers: tuple[str, ...], index: int) -> Iterator[None]:
    """End the process with a message if the block takes longer than GAN_TF_WORKER_TIMEOUT seconds."""
    seconds = os.environ.get(TIMEOUT, "600")
    try:
        float(seconds)
    except ValueError:
        raise InputError(f"{TIMEOUT} is {seconds!r}: it must be a number of seconds, such as 600.") from None
    others = [address for number, address in enumerate(workers) if number != index]
    command = [sys.executable, str(Path(__file__).with_name("guard.py")), seconds, str(os.getpid()), *others]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as guard:
        yield
        guard.communicate()


def meet(strategy: tf.distribute.Strategy, number: int = 0) -> None:
    """Wait until all replicas are here. Raises InputError if they do not bring the same number."""
    mine = tf.constant(float(number))  # Exact below 16 million.

    @tf.function(autograph=False)
    def total() -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(lambda: mine), axis=None)

    if total() != strategy.num_replicas_in_sync * mine:
        raise InputError(
            f"The workers have different checkpoints (this one's is of step {number}): all need the same folder with "
            "--run or --resume, on a disk that they share."
        )


def share_out(images: ImageDataset, config: Config, gan: GAN) -> tf.data.Dataset:
    """The batches that remain of a run: each replica of `gan` gets its own part of each, and together they get what a
    single one would."""
    strategy, done = gan.distribute_strategy, int(gan.step)
    count = strategy.num_replicas_in_sync
    if count == 1:
        return batches(images, config, done)

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        here = count // context.num_input_pipelines
        first = context.input_pipeline_id * here
        return batches(images, config, done, count, range(first, first + here))

    return strategy.distribute_datasets_from_function(own)
