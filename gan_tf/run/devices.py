"""The device that a command computes on, and what its memory holds."""

import os
import sys
from typing import Literal

import tensorflow as tf

from gan_tf.common.errors import InputError

Device = Literal["cpu", "gpu"]

# A set of images stays on the GPU if so many times its bytes are free there: training needs the rest.
ROOM = 4
# At most so many bytes, because some of TensorFlow's GPU kernels count with 32 bits.
MOST = 2**31 - 1

NO_GPU = (
    "TensorFlow finds no GPU here. Check that nvidia-smi shows one and that tensorflow[and-cuda] is installed (Linux "
    "or WSL 2)"
)


def prepare(wanted: Device | None = None) -> None:
    """Compute on `wanted`, by default on a GPU if there is one, and let TensorFlow take a GPU's memory only as it is
    needed, so that several processes can share one.

    Call it before anything else of TensorFlow. Raises InputError if that device cannot be had.
    """
    if wanted == "gpu" and not gpus():
        raise InputError(f"--device is gpu, but {NO_GPU}, or leave --device out.")
    if wanted == "cpu":
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            raise InputError(
                "--device is cpu, but this process has already computed on a GPU: start a new one (in a notebook, "
                "restart the kernel)."
            ) from None
        return
    try:
        for gpu in gpus():
            tf.config.experimental.set_memory_growth(gpu, True)
    except (RuntimeError, ValueError) as error:  # Too late, or the GPU has been split.
        print(
            f"gan_tf: TensorFlow may keep all memory of the GPU to itself ({error}). If another program needs some, "
            "start a new process (in a notebook, restart the kernel).",
            file=sys.stderr,
        )


def gpus() -> list:
    """The GPUs that TensorFlow computes on: none after `prepare("cpu")`."""
    return tf.config.get_visible_devices("GPU")


def describe() -> str:
    """The names of the devices that TensorFlow computes on."""
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus()]
    return ", ".join(names) or f"CPU, {os.cpu_count()} cores"


def gpu_has_room(size: int) -> bool:
    """Whether there is a GPU whose memory holds `size` bytes of images and leaves enough for training. It is tried, as
    TensorFlow does not say how much memory a GPU has."""
    if not gpus() or size > MOST:
        return False
    try:
        with tf.device("GPU:0"):
            tf.zeros((ROOM, size), tf.uint8)
    except tf.errors.ResourceExhaustedError:
        return False
    return True
