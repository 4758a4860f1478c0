"""How near is the train step to the rate at which this machine multiplies matrices, and where does the rest go?

    python benchmarks/step_speed.py

The step of each preset, without a gradient penalty, in a process of its own: its floating-point operations, counted in
TensorFlow's graph, over the median time of STEPS steps, beside the rate of one large matrix product with as many
threads. oneDNN, which computes convolutions and products on a CPU, then tells the time of each of its primitives
(ONEDNN_VERBOSE). Measure on an otherwise idle machine. Writes results/step_speed.md.
"""

import argparse
import collections
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unittest import mock

from engine import build_for, environment, run_process, table, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages.
import tensorflow as tf

from gan_tf.common.errors import exit_on_input_error
from gan_tf.config import Config, preset_config
from gan_tf.data.images import batches
from gan_tf.data.registry import load

# A preset that needs no data of the reader's, and its options.
STEPS_OF = {
    "28x28 grey, batch 32": ("digits", {}),
    "28x28 grey, batch 128": ("digits", {"batch_size": 128}),
    "64x64 colour, batch 8": ("creatures", {}),
    "64x64 colour, batch 32": ("creatures", {"batch_size": 32}),
    "64x64 colour, batch 8, bfloat16": ("creatures", {"precision": "bfloat16"}),
}
STEPS = 24
SIDE = 2048  # of the matrices
HEAD = ("step", "10^9 operations", "ms", "10^9 operations a second", "of the matrix product's")
PARTS = {"convolution": "convolutions", "matmul": "products", "gemm_api": "products", "inner_product": "products"}
PARTS |= {"reorder": "weights and images into another layout", "pooling": "pooling"}
PARTS_HEAD = ("step", "convolutions", "products", "weights and images into another layout", "pooling", "all else")


def seconds_of(work: Callable[[], object], times: int) -> float:
    """The median seconds of so many calls, after two that do not count."""
    taken = []
    for _ in range(times + 2):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:])


def matrix_rate(times: int = 9, side: int = SIDE) -> float:
    """10^9 floating-point operations a second in a product of two float32 matrices."""
    a, b = tf.random.stateless_normal((2, side, side), seed=(0, 0))
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, b)))
    return 2 * side**3 / seconds_of(lambda: product().numpy(), times) / 1e9


def operations(function: tf.types.experimental.ConcreteFunction) -> float:
    """The floating-point operations in a function's graph, in 10^9."""
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        counted = tf.compat.v1.profiler.profile(function.graph, options=options | {"output": "none"})
    return counted.total_float_ops / 1e9


def time_step(config: Config, steps: int = STEPS) -> tuple[float, float]:
    """10^9 operations of a step, and its seconds."""
    images = load(config)
    gan, data = build_for(images, config), iter(batches(images, config))
    step = tf.function(gan.train_step, autograph=False)
    count = operations(step.get_concrete_function(next(data)))
    return count, seconds_of(lambda: step(next(data))["d_loss"].numpy(), steps)


def config_of(dataset: str, options: Mapping) -> Config:
    # Lazy penalties are another step than this one.
    return preset_config(dataset, **options, epochs=1, steps_per_epoch=STEPS, r1=0.0)


def primitives(text: str, steps: int) -> dict[str, float]:
    """Milliseconds a step in each of PARTS, from what oneDNN said of `steps` steps."""
    found: collections.Counter[str] = collections.Counter()
    for line in text.splitlines():
        fields = line.split(",")
        if line.startswith("onednn_verbose") and "exec" in fields:
            found[PARTS.get(fields[fields.index("exec") + 2], "other primitives")] += float(fields[-1]) / steps
    return dict(found)


def in_process(name: str, verbose: bool) -> tuple[str, float, float]:
    """Time one of STEPS_OF in a process of its own: its output, 10^9 operations, and ms a step."""
    with mock.patch.dict(os.environ, {"ONEDNN_VERBOSE": str(int(verbose))}):
        text, *_ = run_process([__file__, "--one", name])
    count, seconds = map(float, text.splitlines()[-1].split())
    return text, count, 1000 * seconds


def write(
    rows: Sequence[Sequence[str]], parts: Sequence[Sequence[str]], rate: float, folder: Path | None = None
) -> None:
    """results/step_speed.md."""
    about = f"{environment()} A product of two {SIDE}x{SIDE} float32 matrices: {rate:.0f} x 10^9 operations a second."
    rest = (
        "Where a step's milliseconds go. \"All else\" is TensorFlow's own: batch normalisation, activations, Adam, the "
        "moving average, random numbers, and starting each operation."
    )
    write_results("step_speed", about, table(HEAD, rows), rest, table(PARTS_HEAD, parts), folder=folder)


def measure(name: str, rate: float) -> tuple[list[str], list[str]]:
    """A row under HEAD, and one under PARTS_HEAD."""
    _, count, milliseconds = in_process(name, verbose=False)
    speed = 1000 * count / milliseconds
    text, _, slowed = in_process(name, verbose=True)
    found = primitives(text, STEPS + 2)
    shares = [found.get(part, 0.0) / slowed for part in PARTS_HEAD[1:-1]]
    cells = [f"{milliseconds * share:.1f} ({share:.0%})" for share in (*shares, 1 - sum(shares))]
    return [name, f"{count:.2f}", f"{milliseconds:.1f}", f"{speed:.0f}", f"{speed / rate:.0%}"], [name, *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=STEPS_OF, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        dataset, changes = STEPS_OF[options.one]
        print(*time_step(config_of(dataset, changes)))
        return
    rate = matrix_rate()
    rows, parts = zip(*(measure(name, rate) for name in STEPS_OF), strict=True)
    write(rows, parts, rate)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
