"""Quantise a network: by rounding in floating point, or by one of three libraries."""

from __future__ import annotations

from typing import Any

from torch import nn

from convlens.choices import choose_layers
from convlens.compression.duplicate import duplicate
from convlens.compression.fake import fake_quantized
from convlens.compression.prunable import LayerNames
from convlens.compression.rounding import MOST_BITS
from convlens.compression.running import Batches
from convlens.errors import ArgumentError, nearest
from convlens.layers import find_layers
from convlens.similarity.batches import InputsFrom
from convlens.similarity.capture import Forward
from convlens.tree import check_model

__all__ = ["BACKENDS", "SCHEMES", "quantize"]

SCHEMES = ("per_channel", "per_tensor")
BACKENDS = ("fake", "torchao", "nncf", "torch.ao")


def quantize(
    model: nn.Module,
    calibration: Any = None,
    bits: int = 8,
    scheme: str = "per_channel",
    backend: str = "fake",
    *,
    activation_bits: int = 8,
    layers: LayerNames | None = None,
    batch_size: int | None = None,
    inputs_from: InputsFrom | None = None,
    forward: Forward | None = None,
) -> nn.Module:
    """Quantise the weights of a network, and what goes into its layers.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is.
    calibration : Tensor, tuple, mapping, DataLoader or other iterable, optional
        Inputs that show the range of what goes into each layer. Without them only weights are
        rounded, which the backend "fake" alone can do.
    bits : int, default 8
        Of a weight, 2 to 16; the libraries take 8.
    scheme : {"per_channel", "per_tensor"}, default "per_channel"
        Whether each output channel has a scale of its own, or all share one.
    backend : {"fake", "torchao", "nncf", "torch.ao"}, default "fake"
        - "fake": built in. Weights become ``round(w / s) * s`` with s = max|w| / (2^(bits-1) - 1),
          inputs of layers are rounded to the grid between the smallest and the largest that
          calibration showed, 0 on it. All stays in float and has gradients (straight-through), so
          that every view works.
        - "torchao": PT2E (``torch.export``, the x86 quantiser). A graph; no gradients.
        - "nncf": ``nncf.quantize``.
        - "torch.ao": FX graph mode of ``torch.ao.quantization``, real int8 kernels on the CPU; no
          gradients. Deprecated by torch, in wide use all the same.
    activation_bits : int, default 8
        Of what goes into a layer, 2 to 16; "fake" only.
    layers : str, int or sequence of them, optional
        Only these; "fake" only. Default: every convolution and linear layer.
    batch_size, inputs_from, forward : optional
        Of calibration, as for :func:`convlens.compare`.

    Returns
    -------
    torch.nn.Module
        Another model, in eval mode. Masks of pruning are made permanent in it; zeros stay zeros.

    Raises
    ------
    ArgumentError
        If an argument cannot be used, calibration is empty or does not fit the model, or there is
        nothing to quantise.
    MissingPackageError
        If the backend is not installed; the message has the line that installs it.
    ModelError
        If the model cannot be copied, or the library cannot take it.
    UnknownLayerError
        If `layers` names one that is not there.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> small = cl.compression.quantize(digits.model, digits.images[:64], bits=4)
    >>> cl.find_layers(small)["conv1"].notes[0]
    'fake-quantised to int4 per channel, symmetric, scales 0.0... to 0...'

    References
    ----------
    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018. Per channel: R. Krishnamoorthi, "Quantizing deep
    convolutional networks for efficient inference", arXiv:1806.08342.
    """
    check_model(model)
    bits = _check_bits("bits", bits)
    activation_bits = _check_bits("activation_bits", activation_bits)
    _check_choice("scheme", scheme, SCHEMES)
    _check_choice("backend", backend, BACKENDS)
    batches = None
    if calibration is not None:
        batches = Batches(calibration, batch_size, inputs_from, forward, "calibration")
    if backend == "fake":
        found = find_layers(model)
        chosen = {layer.key for layer in choose_layers(found, None if layers == "all" else layers)}
        copied = duplicate(model).eval()
        return fake_quantized(
            copied,
            batches,
            bits=bits,
            activation_bits=activation_bits,
            scheme=scheme,
            chosen=chosen,
        )
    from convlens.compression.backends import library

    convert = library(backend)
    if batches is None:
        raise ArgumentError(
            f"backend={backend!r} needs calibration: inputs that show the range of activations. "
            "Weights alone are quantised by backend='fake'."
        )
    if bits != 8 or activation_bits != 8:
        raise ArgumentError(
            f"backend={backend!r} quantises to 8 bits, not {bits if bits != 8 else activation_bits}"
            ": backend='fake' takes 2 to 16."
        )
    if layers is not None:
        raise ArgumentError(f"backend={backend!r} takes all layers: layers= is for backend='fake'.")
    return convert(duplicate(model).eval(), batches, scheme)


def _check_bits(called: str, bits: object) -> int:
    if isinstance(bits, bool) or not isinstance(bits, int):
        raise ArgumentError(f"{called} must be a whole number from 2 to {MOST_BITS}, not {bits!r}.")
    if not 2 <= bits <= MOST_BITS:
        why = " (of one bit nothing is left beside the sign)" if bits == 1 else ""
        raise ArgumentError(f"{called} must lie from 2 to {MOST_BITS}, not {bits}{why}.")
    return bits


def _check_choice(called: str, value: object, valid: tuple[str, ...]) -> None:
    if value not in valid:
        listed = ", ".join(repr(one) for one in valid)
        raise ArgumentError(
            f"{called} must be one of {listed}, not {value!r}.{nearest(value, valid)}"
        )
