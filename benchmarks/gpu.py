"""What does a GPU gain, and which settings suit it? Throughput, time to quality, and precision, in ten minutes.

    python benchmarks/gpu.py --data-dir data
    python benchmarks/gpu.py --data-dir data --device cpu

Throughput: each variant of a preset takes turns with the preset itself, on images of noise. Time to quality: the fives
of speedrun.py, until the fair Frechet distance is below 1.5 times its floor, in each precision. What is not reached in
--minutes is left out, and the table says so. Writes results/gpu.md, or with --device cpu results/cpu.md.
"""

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine import environment, in_turns, median_ratio, run_process, spread, stepper, table, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages.
import numpy as np
import speedrun
import tensorflow as tf

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.config import GPU_PRESETS, Config, preset_config
from gan_tf.data.images import ImageDataset
from gan_tf.run import devices

TURNS = 5
SECONDS = 1.0  # About so long is a turn,
FIRST_STEPS = 4  # as the time of so many steps tells.
PRECISIONS = ("float32", "bfloat16", "float16")
SEEDS = (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class Variant:
    """What differs from the preset, as gan_tf.train would run it on this device."""

    fields: Mapping = dataclasses.field(default_factory=dict)  # of its Config
    jit_compile: bool | None = None
    on_device: bool | None = None  # where the images lie: on the device, or where the CPU gathers each batch
    batches: int = 1  # in one, which is as many times as large
    tf32: bool = True


VARIANTS = {
    "as it is": Variant(),
    "bfloat16": Variant({"precision": "bfloat16"}),
    "float16": Variant({"precision": "float16"}),
    "with XLA": Variant(jit_compile=True),
    "without XLA": Variant(jit_compile=False),
    "images on the device": Variant(on_device=True),
    "batches gathered by the CPU": Variant(on_device=False),
    "4 times the batch": Variant(batches=4),
    "16 times the batch": Variant(batches=16),
}
# What a GPU, or a CPU, does as it is.
GPU_DEFAULTS, CPU_DEFAULTS = {"with XLA", "images on the device"}, {"without XLA", "batches gathered by the CPU"}
NO_TF32 = "float32 without TF32"
WORKLOADS = {
    "creatures": preset_config("creatures", conditional=False),
    "mnist": preset_config("mnist", conditional=False),
}
UNTRIED = {name: preset_config("creatures", preset=name) for name in GPU_PRESETS}
SPEED = ("preset", "size", "batch", "variant", "images/s", "times the preset's")
QUALITY = ("precision", "seed", "seconds", "steps", "distance", "below the target")


class Clock:
    """How much of the benchmark's time is left."""

    def __init__(self, minutes: float):
        self.end = time.monotonic() + 60 * minutes

    def is_over(self) -> bool:
        return time.monotonic() > self.end


def contender(config: Config, variant: Variant) -> Callable[[], float]:
    """A function that trains for about SECONDS and returns the images per second."""
    config = dataclasses.replace(config, **variant.fields, batch_size=config.batch_size * variant.batches, held_out=0.0)
    size, channels = config.image_size, 1 if config.image_size == 28 else 3
    pixels = np.random.default_rng(0).integers(0, 256, (2 * config.batch_size, size, size, channels), np.uint8)
    images = ImageDataset("noise", pixels, None, "random numbers")
    advance = stepper(config, images, FIRST_STEPS, jit_compile=variant.jit_compile, on_device=variant.on_device)
    advance()  # Compiles.
    steps = math.ceil(FIRST_STEPS * SECONDS / advance())
    return lambda: steps * config.batch_size / advance(steps)


def speed_row(name: str, config: Config, what: str, rates: Sequence[float], times: str) -> list:
    """A row of the table of throughput."""
    batch = config.batch_size * VARIANTS.get(what, Variant()).batches
    return [name, config.image_size, batch, what, spread(rates, ",.1f") if rates else "", times]


def throughput(name: str, config: Config, variants: Mapping[str, Variant], clock: Clock) -> list[list]:
    """A row for the preset, which comes first, and for each other variant in turns with it."""
    rows, base = [], None
    for what, variant in variants.items():
        if clock.is_over():
            rows.append(speed_row(name, config, what, [], "no time left"))
            continue
        try:
            other = contender(config, variant)
            rates = in_turns({"variant": other, **({"preset": base} if base else {})}, TURNS)
        except tf.errors.ResourceExhaustedError:
            rows.append(speed_row(name, config, what, [], "out of memory"))
            continue
        times = f"{median_ratio(rates['variant'], rates['preset']):.2f}" if base else ""
        base = other if variant == Variant() else base
        rows.append(speed_row(name, config, what, rates["variant"], times))
        print(*rows[-1], flush=True)
    return rows


def without_tf32(name: str, config: Config, clock: Clock) -> list:
    """The row of float32 in full, measured in a process of its own: kernels are chosen once in a process."""
    if clock.is_over():
        return speed_row(name, config, NO_TF32, [], "no time left")
    text, _, _ = run_process([__file__, "--without-tf32", name])
    return speed_row(name, config, NO_TF32, [float(rate) for rate in text.splitlines()[-1].split()], "")


def quality(precisions: Sequence[str], seeds: Sequence[int], data_dir: str | None, clock: Clock) -> list[list]:
    """Rows of fives trained until they are good, a seed in each precision after the other."""
    config, images, reference, target = speedrun.prepare("fives", {}, data_dir)
    rows = []
    for seed in seeds:
        for precision in precisions:
            if clock.is_over():
                rows.append([precision, seed, "no time left", "", "", ""])
                continue
            changed = dataclasses.replace(config, seed=seed, precision=precision)
            seconds, steps, distance = speedrun.run(changed, images, reference, target)
            reached = "yes" if distance < target else "no"
            rows.append(
                [precision, seed, f"{seconds:.1f}", f"{steps:,}", f"{distance:.3g}", f"{reached} ({target:.3g})"]
            )
            print(*rows[-1], flush=True)
    return rows


def measure(data_dir: str | None, clock: Clock) -> tuple[list[list], list[list]]:
    """The rows of both tables, the most telling first."""
    good = quality(PRECISIONS, SEEDS[:1], data_dir, clock)
    fast, defaults = [], GPU_DEFAULTS if devices.gpus() else CPU_DEFAULTS
    variants = {what: variant for what, variant in VARIANTS.items() if what not in defaults}
    for name, config in WORKLOADS.items():
        fast += throughput(name, config, variants, clock)
        if devices.gpus():
            fast.append(without_tf32(name, config, clock))
    if devices.gpus():  # A CPU would take a minute for a step of the largest.
        for name, config in UNTRIED.items():
            fast += throughput(name, config, {"as it is": Variant()}, clock)
    return good + quality(PRECISIONS, SEEDS[1:], data_dir, clock), fast


def about() -> str:
    """What was measured with what."""
    gpu = bool(devices.gpus())
    where = "with TF32, XLA and the images on the device" if gpu else "without XLA, batches gathered by the CPU"
    return (
        f"{environment()} Device: {devices.describe()}. As it is, a preset trains in float32, {where}. Images per "
        f"second are those of training: median (lowest to highest) of {TURNS} turns of about {SECONDS:.0f} s. The last "
        "column is the median of the ratios within each turn."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder with your data files, as in gan_tf.train")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--minutes", type=float, default=10, help="measure nothing new after these (10)")
    parser.add_argument("--folder", type=Path, help="where to write the results; by default results/")
    parser.add_argument("--without-tf32", choices=WORKLOADS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.without_tf32:
        tf.config.experimental.enable_tensor_float_32_execution(False)
        devices.prepare()
        run = contender(WORKLOADS[options.without_tf32], Variant())
        print(*[run() for _ in range(TURNS + 1)][1:])
        return
    if options.device == "gpu" and not devices.gpus():
        raise InputError(f"benchmarks/gpu.py needs a GPU, and {devices.NO_GPU}, or compare on the CPU: --device cpu.")
    devices.prepare(options.device)
    good, fast = measure(options.data_dir, Clock(options.minutes))
    parts = ("## Time to quality", table(QUALITY, good), "## Throughput", table(SPEED, fast))
    write_results(options.device, about(), *parts, folder=options.folder)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
