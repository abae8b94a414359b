"""Pictures that make channels fire, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from convlens.features.objectives import Objective
from convlens.features.result import Features
from convlens.features.settings import Precision
from convlens.features.tap import Forward
from convlens.features.visualization import Visualization
from convlens.similarity.capture import unwatched

__all__ = ["visualize_features"]

Progress = Callable[[Visualization], bool | None]


def visualize_features(
    model: nn.Module,
    layer: str | int | None = None,
    channels: Any = None,
    *,
    objective: Objective = "channel",
    direction: Any = None,
    position: tuple[int, int] | None = None,
    inputs: Any = None,
    size: int | tuple[int, int] | None = None,
    mean: Any = None,
    std: Any = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    decay: float | None = None,
    jitter: float | None = None,
    scale: float | None = None,
    rotate: float | None = None,
    tv: float | None = None,
    prior: float | None = None,
    decorrelate: bool = True,
    variants: int = 1,
    diversity: float = 1.0,
    restarts: int = 3,
    batch_size: int | None = None,
    forward: Forward | None = None,
    precision: Precision = "auto",
    device: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Features:
    """Make, for each channel, a picture that the channel answers to most.

    Gradient ascent on Fourier coefficients in decorrelated colours, shaken a little at each step.
    Many channels climb in one batch, and the forward pass ends at the layer. The model runs in eval
    mode and is left as it was found; the same seed gives the same pictures, whatever the state of
    the global random generators.

    Parameters
    ----------
    model : torch.nn.Module
    layer : str, int or None
        Dotted name, key of one call (``"relu:1"``), or index into ``find_layers(model)``; None only
        for ``objective="logit"``. In front of a nonlinearity (a convolution, a batch norm) is
        better than behind it; of a ReLU a little gradient is let through where it is shut.
    channels : int or sequence of int, optional
        Channels of the layer; classes for "logit"; rows of `direction`. Default: all.
    objective : str or callable, default "channel"
        "channel": mean over positions, what is below 0 counted as a tenth, as a ReLU will shut it
        off. "neuron": one position. "direction": projection on a vector times its cosine. "logit":
        the model's output for a class. A callable gets what the layer emits, (k, channels, ...),
        and returns one number for each of the k pictures.
    direction : Tensor, optional
        (channels,) or (m, channels), for "direction".
    position : (int, int), optional
        Row and column for "neuron"; default the centre of the map.
    inputs : Tensor, DataLoader or other iterable, optional
        Some of the model's inputs. They give size, range and the covariance of colours.
    size : int or (int, int), optional
        Of the pictures, in pixels. Default: that of `inputs`, or a usual size that runs through the
        model, and a note.
    mean, std : float or sequence of float, optional
        By which pixels between 0 and 1 were normalised. Default: the range of `inputs`, or a guess,
        and a note.
    steps : int, optional
        Default: the preset nearest to the size (8, 28, 32 or 224 pixels), as of the next seven.
    learning_rate : float, optional
        Of Adam.
    decay : float, optional
        Coefficients count for 1 / frequency ** decay: more is smoother.
    jitter : float, optional
        Largest shift in pixels.
    scale : float, optional
        Largest change of size; 0.05 is five per cent.
    rotate : float, optional
        Largest turn in degrees.
    tv : float, optional
        Pull of total variation against that of the objective: more is flatter.
    prior : float, optional
        Pull towards what inputs look like, by their mean and spread (each pixel's own where
        `inputs` are at least 16 of this size): more is less garish. 0 is the objective alone.
    batch_size : int, optional
        Pictures at once; halved when memory runs out.
    decorrelate : bool, default True
        Let colours vary together as those of `inputs` do, or, of three channels without inputs,
        those of ImageNet.
    variants : int, default 1
        Pictures per channel, made to differ.
    diversity : float, default 1.0
        How much of the objective variants give up to differ.
    restarts : int, default 3
        New, stronger starts where no gradient arrives; after those the channel "never fires".
    forward : callable(model, batch), optional
        Runs the model where calling it on a batch would not.
    precision : {"auto", "float32", "bfloat16"}, default "auto"
        What to multiply in on the way; "auto" is bfloat16 on a CPU that has units for it, for
        pictures of 24 pixels and more. Activations are measured in float32 in any case.
    device : str or torch.device, optional
        Where to run; default: where the model is. Elsewhere a copy runs.
    seed : int, default 0
    progress : callable(visualization), optional
        Called after each step with the :class:`~convlens.features.Visualization`: its ``done``,
        ``total`` and ``images()`` so far. Returning False stops, and what there is comes back with
        ``finished`` False.

    Returns
    -------
    Features

    Raises
    ------
    UnknownLayerError
        If the layer does not exist; the nearest names are given.
    ArgumentError
        If an argument cannot be used, the model passes no gradient back, or memory is too small.
    ForwardError
        If the model raises.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> found = cl.visualize_features(
    ...     digits.model, objective="logit", channels=[0, 7], inputs=digits.images, steps=32
    ... )
    >>> digits.model(torch.as_tensor(found.images)).argmax(1).tolist()
    [0, 7]

    Notes
    -----
    C. Olah, A. Mordvintsev and L. Schubert, "Feature Visualization", Distill 2017, which also has
    the colours and diversity. Activation maximisation is of D. Erhan et al., "Visualizing
    Higher-Layer Features of a Deep Network", 2009.
    """
    run = Visualization(
        model,
        layer,
        channels,
        objective=objective,
        direction=direction,
        position=position,
        inputs=inputs,
        size=size,
        mean=mean,
        std=std,
        steps=steps,
        learning_rate=learning_rate,
        decay=decay,
        jitter=jitter,
        scale=scale,
        rotate=rotate,
        tv=tv,
        prior=prior,
        decorrelate=decorrelate,
        variants=variants,
        diversity=diversity,
        restarts=restarts,
        batch_size=batch_size,
        forward=forward,
        precision=precision,
        device=device,
        seed=seed,
    )
    with run.held():
        for _ in run.steps():
            with unwatched():
                if progress is not None and progress(run) is False:
                    break
        return run.result()
