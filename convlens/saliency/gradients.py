"""Methods by the gradient alone, on any model that has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from convlens.errors import ArgumentError
from convlens.saliency.probe import Head
from convlens.saliency.work import Rows, Steps, Work

__all__ = ["grad_cam", "gradient_shap", "input_x_gradient", "integrated_gradients", "saliency"]

Values = Mapping[str, Any]


def saliency(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Take the gradient with respect to the input."""
    from captum.attr import Saliency

    method = Saliency(work.module)
    found = torch.empty_like(rows.x)

    def compute(start: int, stop: int) -> Tensor:
        part = rows[start:stop]
        return method.attribute(
            part.leaf,
            part.target,
            abs=values["absolute"],
            additional_forward_args=part.extra or None,
        )

    yield from work.spread(len(rows), compute, _into(found))
    return found


def input_x_gradient(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Take the gradient times the input."""
    from captum.attr import InputXGradient

    method = InputXGradient(work.module)
    found = torch.empty_like(rows.x)

    def compute(start: int, stop: int) -> Tensor:
        part = rows[start:stop]
        return method.attribute(part.leaf, part.target, additional_forward_args=part.extra or None)

    yield from work.spread(len(rows), compute, _into(found))
    return found


def integrated_gradients(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Average the gradient on the straight way from the baseline.

    The points of all inputs are one long list of rows, in Captum's order, run in parts: what
    Captum does by ``internal_batch_size``, and a step at a time.
    """
    from captum.attr import Saliency
    from captum.attr._utils.approximation_methods import approximation_parameters

    steps: int = values["steps"]
    sizes_of, places_of = approximation_parameters(values["rule"])
    like: Any = {"dtype": rows.x.dtype, "device": rows.x.device}
    sizes = torch.tensor(sizes_of(steps), **like)
    places = torch.tensor(places_of(steps), **like)
    if isinstance(work.module, Head):  # of a layer: what it emits on the baseline
        base = work.module.emitted(work.baseline.of(rows.extra[0], rows.index))
    else:
        base = work.baseline.of(rows.x, rows.index)
    way = rows.x - base
    n, ones = len(rows), (1,) * (rows.x.dim() - 1)
    method = Saliency(work.module)
    total = torch.zeros_like(rows.x)

    def compute(start: int, stop: int) -> tuple[Tensor, Tensor]:
        at = torch.arange(start, stop)
        part = rows.take(at % n)
        own, step = (at % n).to(rows.x.device), (at // n).to(rows.x.device)
        x = base[own] + places[step].view(-1, *ones) * way[own]
        gradient = method.attribute(
            x.requires_grad_(), part.target, abs=False, additional_forward_args=part.extra or None
        )
        return own, gradient * sizes[step].view(-1, *ones)

    def take(start: int, stop: int, found: tuple[Tensor, Tensor]) -> None:
        total.index_add_(0, *found)

    yield from work.spread(n * steps, compute, take)
    return total * way


def gradient_shap(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Average gradients at random points on the way from drawn baselines, input by input."""
    from captum.attr import GradientShap

    method = GradientShap(work.module)
    samples: int = values["samples"]
    found = torch.zeros_like(rows.x)
    for i in range(len(rows)):
        one = rows[i : i + 1]
        place = int(one.index[0])
        base = work.baseline.several(one.x, place, values["baselines"])

        def compute(start: int, stop: int, one: Rows = one, base: Tensor = base) -> Tensor:
            return method.attribute(
                one.x,
                base,
                n_samples=stop - start,
                stdevs=values["noise"] * spread_of(one.x),
                target=one.target,
            )

        def take(start: int, stop: int, mean: Tensor, i: int = i) -> None:
            found[i] += mean[0] * (stop - start) / samples

        yield from work.spread(samples, compute, take)
    return found


def grad_cam(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Weight a layer's channels with their mean gradients and sum them up: (n, 1, h, w)."""
    from captum.attr import LayerGradCam

    method = LayerGradCam(work.probe, work.probe.tap)
    parts: list[Tensor] = []

    def compute(start: int, stop: int) -> Tensor:
        part = rows[start:stop]
        whole = work.channel is None
        found: Any = method.attribute(
            part.leaf,
            part.target,
            relu_attributions=values["relu"] and whole,
            attr_dim_summation=whole,
        )
        if found.dim() < 3:
            key = work.place.key if work.place is not None else "the layer"
            raise ArgumentError(
                f"{key} emits one number per channel and no map: Grad-CAM needs a convolution or "
                "another layer with positions."
            )
        if work.channel is not None:
            found = found[:, [work.channel]]
            found = found.relu() if values["relu"] else found
        return found.detach()

    yield from work.spread(len(rows), compute, lambda start, stop, found: parts.append(found))
    return torch.cat(parts)


def spread_of(x: Tensor) -> float:
    """Return the range of values, which noise is a share of."""
    return float(x.max() - x.min())


def _into(found: Tensor) -> Any:
    def take(start: int, stop: int, part: Tensor) -> None:
        found[start:stop] = part.detach()

    return take
