"""Attributions in one call, and which of them a model can have."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from convlens.activations import Forward, untouched
from convlens.saliency.attribution import Attribution
from convlens.saliency.baselines import BaselineSpec
from convlens.saliency.given import checked_inputs
from convlens.saliency.methods import METHODS, Method
from convlens.saliency.preflight import why_not
from convlens.saliency.result import Saliency
from convlens.saliency.targets import Target
from convlens.tree import check_model, walk

__all__ = ["attribute", "preflight", "warm_up"]

Progress = Callable[[int, int], bool | None]


def attribute(
    model: nn.Module,
    inputs: Any,
    target: Target = None,
    method: str | Method = "integrated_gradients",
    *,
    layer: str | int | None = None,
    channel: int | None = None,
    baseline: BaselineSpec = "zero",
    labels: Any = None,
    batch_size: int | None = None,
    forward: Forward | None = None,
    inputs_from: Any = None,
    device: str | torch.device | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **parameters: Any,
) -> Saliency:
    """Say which parts of each input a model's output rests on, by a method of Captum.

    The model runs in eval mode and is left as it was found. Methods that hook into modules
    (DeepLift, guided backpropagation, ...) run on a copy in which functional and reused ReLUs are
    modules of their own; that copy gives identical outputs, which is checked.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : Tensor, DataLoader, Dataset or other iterable
        A tensor (n, ...) on any device, or what gives batches, of which the first is taken.
    target : int, "predicted", "label", sequence of int, Tensor or callable, optional
        A class; the predicted class of each input (the default); its true class, from `labels`;
        one class per input; or a callable that takes the model's outputs and gives one number per
        input, for segmentation, detection and the like.
    method : str, default "integrated_gradients"
        One of ``convlens.saliency.METHODS``: "saliency", "input_x_gradient",
        "integrated_gradients", "gradient_shap", "deep_lift", "deep_lift_shap", "guided_backprop",
        "deconvolution", "lrp", "layer_grad_cam", "guided_grad_cam", "smoothgrad", "vargrad",
        "occlusion", "feature_ablation", "shapley_value_sampling", "lime", "kernel_shap".
    layer : str or int, optional
        Of Grad-CAM: its layer, by default the last convolution. Of a gradient method: attribute the
        target to this layer's outputs instead of the inputs. One call of a module that is called
        several times: "relu:1".
    channel : int, optional
        With `layer`: attribute this channel's mean activation to the inputs, instead of a target.
        Of Grad-CAM: the share of this channel alone.
    baseline : {"zero", "mean", "blur", "noise"}, float or Tensor, default "zero"
        What inputs are compared with: nothing; the mean of each channel; the input without its
        details; normal noise with each channel's mean and spread; a number; a tensor that
        broadcasts to the inputs, or several examples for the Shap methods.
    labels : sequence of int or Tensor, optional
        True classes; default: those drawn with the inputs.
    batch_size : int, optional
        Forward passes at once; default: from what is free, and halved when memory runs out.
    forward : callable(model, inputs), optional
        Runs the model where calling it would not.
    inputs_from : callable, str or int, optional
        Takes the tensor out of a batch.
    device : str or torch.device, optional
        Where to run, on a copy; default: where the model is.
    seed : int, default 0
        Of random draws. Global generators are left as they were.
    progress : callable(done, total), optional
        Called after each step, in forward passes of one input. Returning False stops, and the
        inputs that are finished come back with ``finished`` False.
    **parameters : float, int, bool or str
        Of the method: ``steps=`` of "integrated_gradients", ``window=`` of "occlusion", ...

    Returns
    -------
    Saliency

    Raises
    ------
    ArgumentError
        An argument cannot be used, or the method cannot be had for this model: the sentence that
        :func:`convlens.preflight` gives.
    UnknownLayerError
        There is no such layer; the nearest names are given.
    ForwardError
        The model raises, or gives NaN.
    Cancelled
        `progress` stopped it before the first input was finished.

    Examples
    --------
    >>> digits = convlens.demo.load()
    >>> maps = convlens.attribute(digits.model, digits.images[:4], steps=200)
    >>> maps.values.shape
    (4, 1, 8, 8)
    >>> bool(abs(maps.delta).max() < 0.01 * abs(maps.score).max())
    True

    Notes
    -----
    Each method's paper is in ``METHODS[name].source``.
    """
    run = Attribution(
        model,
        inputs,
        target,
        method,
        layer=layer,
        channel=channel,
        baseline=baseline,
        labels=labels,
        batch_size=batch_size,
        forward=forward,
        inputs_from=inputs_from,
        device=device,
        seed=seed,
        **parameters,
    )
    with run.held():
        for done, total in run.steps():
            if progress is not None and progress(done, total) is False:
                break
    return run.result()


def preflight(
    model: nn.Module,
    inputs: Any = None,
    *,
    layer: str | None = None,
    forward: Forward | None = None,
) -> dict[str, str | None]:
    """Say which methods a model can have, and why not, before anything runs.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it was found.
    inputs : Tensor, DataLoader, Dataset or other iterable, optional
        The first is run once. Without it only what the modules tell is known: quantised layers.
    layer : str, optional
        The layer for methods that are about one.
    forward : callable(model, inputs), optional
        Runs the model where calling it would not.

    Returns
    -------
    dict
        Of every method in ``METHODS``: None where it can be had, and else one sentence.

    Raises
    ------
    ArgumentError
        The inputs cannot be used.
    ForwardError
        The model raises.

    Examples
    --------
    >>> digits = convlens.demo.load()
    >>> set(convlens.preflight(digits.model, digits.images).values())
    {None}
    >>> silu = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.SiLU(), torch.nn.Flatten())
    >>> convlens.preflight(silu, digits.images)["deep_lift"]
    'DeepLift has no rule for SiLU, which Sequential holds: choose integrated_gradients.'
    """
    model = walk(check_model(model)).model
    x = None
    if inputs is not None:
        x = checked_inputs(model, inputs, None, None, forward).x[:1]
    found: dict[str, str | None] = {}
    with untouched(model), torch.inference_mode(mode=False), torch.enable_grad():
        with suppress(NotImplementedError):  # exported programs have one mode only
            model.eval()
        for name in METHODS:
            found[name] = why_not(name, model, x, forward, layer)
    return found


def warm_up() -> None:
    """Import Captum, half a second's work that the first attribution would wait for."""
    importlib.import_module("captum.attr")
