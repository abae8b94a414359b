"""Methods by the gradient alone, on any model that has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
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
    """Average gradients at random points on the way from drawn baselines, input by input.

    What is drawn for an input does not depend on how the points are cut into parts. For one input
    it is what Captum's GradientShap draws after torch's and NumPy's generators are seeded.
    """
    from captum.attr import Saliency

    method = Saliency(work.module)
    samples: int = values["samples"]
    ones = (1,) * (rows.x.dim() - 1)
    found = torch.zeros_like(rows.x)
    for i in range(len(rows)):
        one = rows[i : i + 1]
        place = int(one.index[0])
        several = work.baseline.several(one.x, place, values["baselines"])
        draws, seed = work.generator(place), work.seed_of(place)
        width = torch.full(one.x.shape, values["noise"] * spread_of(one.x), dtype=torch.float32)
        noise = [torch.normal(0.0, width, generator=draws) for _ in range(samples)]
        numbers = np.random.RandomState(seed % 2**32)
        chosen = torch.from_numpy(numbers.choice(len(several), samples)).to(one.x.device)
        shares = torch.from_numpy(numbers.uniform(0.0, 1.0, samples)).to(one.x)

        def compute(
            start: int,
            stop: int,
            one: Rows = one,
            noise: list[Tensor] = noise,
            base: Tensor = several[chosen],
            shares: Tensor = shares,
        ) -> Tensor:
            part = one.repeated(stop - start)
            there, here = part.x + torch.cat(noise[start:stop]).to(part.x), base[start:stop]
            share = shares[start:stop].view(-1, *ones)
            at = (share * there + (1 - share) * here).requires_grad_()
            gradient = method.attribute(at, part.target, abs=False)
            return ((there - here) * gradient).detach().sum(0)

        def take(start: int, stop: int, total: Tensor, i: int = i) -> None:
            found[i] += total / samples

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
