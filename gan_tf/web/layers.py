"""A Keras Sequential as numbers for the page: a list of layers, and the weights as text.

Kernels are rounded to float16, the rest (biases, batch normalisation) stays float32. The page's networks.js reads both
and computes what Keras would compute with the rounded weights.
"""

import base64
import zlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from gan_tf.common.errors import InputError
from gan_tf.models import MINIBATCH_STD, to_float32

Layer = dict[str, Any]


def slope(layer: layers.ReLU | layers.LeakyReLU) -> Layer | None:
    """Both kinds of ReLU, by their slope below zero."""
    if isinstance(layer, layers.LeakyReLU):
        return {"type": "relu", "slope": float(layer.negative_slope)}
    return (
        None
        if layer.max_value is not None or layer.threshold
        else {"type": "relu", "slope": float(layer.negative_slope)}
    )


def dense(layer: layers.Dense) -> Layer | None:
    return {"type": "dense", "kernel": list(layer.kernel.shape), "bias": layer.use_bias} if is_linear(layer) else None


def convolution(layer: layers.Conv2D | layers.Conv2DTranspose) -> Layer | None:
    transposed = isinstance(layer, layers.Conv2DTranspose)
    usual = (
        layer.padding == "same"
        and getattr(layer, "groups", 1) == 1
        and set(layer.dilation_rate) == {1}
        and is_linear(layer)
    )
    usual = usual and layer.data_format == "channels_last" and getattr(layer, "output_padding", None) is None
    if not usual:
        return None
    return {
        "type": "convolution-transposed" if transposed else "convolution",
        "kernel": list(layer.kernel.shape),
        "strides": list(layer.strides),
        "bias": layer.use_bias,
    }


def average(layer: layers.AveragePooling2D) -> Layer | None:
    if layer.padding != "same" or layer.data_format != "channels_last":
        return None
    return {"type": "average", "pool": list(layer.pool_size), "strides": list(layer.strides)}


def cropping(layer: layers.Cropping2D) -> Layer | None:
    """Only at the ends, where the generator cuts a row or column off."""
    (top, _), (left, _) = layer.cropping
    if top or left or layer.data_format != "channels_last":
        return None
    return {"type": "crop", "shape": list(layer.output.shape[1:])}


def normalisation(layer: layers.BatchNormalization) -> Layer | None:
    if layer.axis not in (-1, len(layer.output.shape) - 1) or not (layer.scale and layer.center):
        return None
    return {"type": "normalisation", "epsilon": float(layer.epsilon)}


def activation(layer: layers.Activation) -> Layer | None:
    return {"type": "tanh"} if layer.activation is keras.activations.tanh else None


def deviation(layer: keras.Model) -> Layer | None:
    return {"type": "minibatch_std"} if layer.name == MINIBATCH_STD else None


def is_linear(layer) -> bool:
    return layer.activation is keras.activations.linear


# What the page computes. A function returns None for a variant of its layer that the page does not know.
KNOWN: dict[type, Callable[[Any], Layer | None]] = {
    layers.Dense: dense,
    layers.Conv2D: convolution,
    layers.Conv2DTranspose: convolution,
    layers.BatchNormalization: normalisation,
    layers.AveragePooling2D: average,
    layers.Cropping2D: cropping,
    layers.ReLU: slope,
    layers.LeakyReLU: slope,
    layers.Activation: activation,
    layers.Reshape: lambda layer: {"type": "reshape", "shape": list(layer.output.shape[1:])},
    layers.Flatten: lambda layer: {"type": "reshape", "shape": list(layer.output.shape[1:])},
}


def describe(model: keras.Model) -> list[Layer]:
    """The layers of `model` as the page knows them. Raises InputError for one that it does not know."""
    if not isinstance(model, keras.Sequential):
        raise InputError(f"The page computes keras.Sequential models, but {model.name} is a {type(model).__name__}.")
    found = []
    for layer in model.layers:
        read = deviation if isinstance(layer, keras.Model) else KNOWN.get(type(layer))
        known = read(layer) if read else None
        if known is None:
            *others, last = (kind.__name__ for kind in KNOWN)
            raise InputError(
                f"The page does not know the layer {layer.name!r} of {model.name} ({type(layer).__name__}, with these "
                f"options): it knows {', '.join(others)} and {last}, as gan_tf.models uses them."
            )
        found.append(known)
    return found


def rounded(model: keras.Model) -> list[np.ndarray]:
    """The weights of `model`, in its order, as the page has them: kernels rounded to float16. All are float32.

    Raises InputError if one is not finite or too large for float16, whose largest number is 65504.
    """
    found = []
    for weight in model.weights:
        values = np.asarray(weight, np.float32)
        if values.ndim > 1:
            with np.errstate(over="ignore"):
                values = values.astype(np.float16).astype(np.float32)
        if not np.isfinite(values).all():
            raise InputError(
                f"The weights of {model.name} are not finite numbers below 65504: the run has diverged. Train it "
                "again with a smaller --learning-rate."
            )
        found.append(values)
    return found


def encode(model: keras.Model) -> dict[str, Any]:
    """`model` for JSON: its input's shape, its layers, and its weights in the order of the layers.

    `kernels` are float16: first the low byte of each number, then all high bytes, which repeat themselves and so
    compress well; deflated, in base 64. `vectors` are float32 in base 64. Raises InputError.
    """
    layers_, weights = describe(model), rounded(model)
    kernels = np.concatenate([values.ravel() for values in weights if values.ndim > 1]).astype("<f2")
    vectors = np.concatenate([np.zeros(0), *(values for values in weights if values.ndim == 1)]).astype("<f4")
    planes = kernels.view(np.uint8).reshape(-1, 2).T.tobytes()
    return {
        "input": list(model.input_shape[1:]),
        "layers": layers_,
        "kernels": base64.b64encode(zlib.compress(planes, 9)).decode(),
        "vectors": base64.b64encode(vectors.tobytes()).decode(),
    }


def largest_difference(model: keras.Model, inputs: np.ndarray) -> float:
    """How far a pixel of the images of `inputs` is from Keras's in the page, at most, in grey levels of 255.

    The page has rounded weights, and computes at least as exactly as float32 whatever the model's precision.
    """
    page = to_float32(model)
    page.set_weights(rounded(model))
    there, here = (np.asarray(network(inputs, training=False), np.float32) for network in (model, page))
    return float(np.max(np.abs(here - there)) * 127.5)
