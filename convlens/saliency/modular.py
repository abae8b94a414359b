"""Methods that hook into modules: they run on a copy in which every ReLU is a module of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convlens.saliency.gradients import grad_cam
from convlens.saliency.methods import Method
from convlens.saliency.operations import RULES
from convlens.saliency.pooling import register
from convlens.saliency.relevance import attach_rules
from convlens.saliency.work import Rows, Steps, Work

__all__ = [
    "deconvolution",
    "deep_lift",
    "deep_lift_shap",
    "expected",
    "guided_backprop",
    "guided_grad_cam",
    "lrp",
]

Values = Mapping[str, Any]


def guided_backprop(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Let only positive gradients pass each ReLU."""
    from captum.attr import GuidedBackprop

    method = GuidedBackprop(work.probe)
    return (yield from _each(work, rows, lambda part: method.attribute(part.leaf, part.target)))


def deconvolution(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Apply each ReLU to what comes back."""
    from captum.attr import Deconvolution

    method = Deconvolution(work.probe)
    return (yield from _each(work, rows, lambda part: method.attribute(part.leaf, part.target)))


def deep_lift(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Pass differences to the baseline back through each unit."""
    from captum.attr import DeepLift, LayerDeepLift

    inside = work.place is not None
    method: Any = LayerDeepLift(work.probe, work.probe.tap) if inside else DeepLift(work.probe)

    def compute(part: Rows) -> Tensor:
        base = work.baseline.of(part.x, part.index)
        with _apart(work.probe):
            return method.attribute(part.leaf, base, target=part.target)

    return (yield from _each(work, rows, compute, weight=2))


def deep_lift_shap(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Average DeepLift over baselines, input by input."""
    from captum.attr import DeepLift

    method = DeepLift(work.probe)
    found = torch.zeros_like(rows.x)
    for i in range(len(rows)):
        one = rows[i : i + 1]
        base = work.baseline.several(one.x, int(one.index[0]), values["baselines"])
        pairs = one.repeated(len(base))

        def compute(start: int, stop: int, pairs: Rows = pairs, base: Tensor = base) -> Tensor:
            part = pairs[start:stop]
            with _quiet(), _apart(work.probe):
                maps = method.attribute(part.leaf, base[start:stop], target=part.target)
            return maps.detach().sum(0)

        def take(start: int, stop: int, total: Tensor, i: int = i, count: int = len(base)) -> None:
            found[i] += total / count

        yield from work.spread(len(base), compute, take, weight=2)
    return found


def lrp(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Hand the output back layer by layer."""
    from captum.attr import LRP, LayerLRP

    inside = work.place is not None

    def compute(part: Rows) -> Tensor:
        attach_rules(work.probe, values)
        method: Any = LayerLRP(work.probe, work.probe.tap) if inside else LRP(work.probe)
        return method.attribute(part.leaf, target=part.target)

    return (yield from _each(work, rows, compute))


def guided_grad_cam(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Multiply guided backpropagation with Grad-CAM, brought to the size of the input."""
    maps = yield from grad_cam(work, rows, {"relu": True})
    how: str = values["interpolate"]
    align: dict[str, Any] = {"align_corners": False} if how == "bilinear" else {}
    large = F.interpolate(maps, rows.x.shape[2:], mode=how, **align)
    guided = yield from guided_backprop(work, rows, {})
    return guided * large


def expected(
    work: Work, rows: Rows, method: Method, values: Values, known: Tensor | None
) -> Tensor:
    """Return what the attributions of each row should add up to; `known` are the rows' scores."""

    def score(x: Tensor, part: Rows) -> Tensor:
        output = work.probe(x)
        if part.target is None:
            return output.reshape(len(x))
        return output.gather(1, part.target[:, None])[:, 0]

    here = score(rows.x, rows) if known is None else known
    if method.name == "lrp":
        return here
    if method.name == "deep_lift_shap":
        there: list[Tensor] = []
        for i in range(len(rows)):
            one = rows[i : i + 1]
            base = work.baseline.several(one.x, int(one.index[0]), values["baselines"])
            there.append(score(base, one.repeated(len(base))).mean())
        return here - torch.stack(there)
    return here - score(work.baseline.of(rows.x, rows.index), rows)


def _each(
    work: Work, rows: Rows, compute: Callable[[Rows], Tensor], weight: int = 1
) -> Steps[Tensor]:
    parts: list[Tensor] = []

    def run(start: int, stop: int) -> Tensor:
        with _quiet():
            return compute(rows[start:stop]).detach()

    yield from work.spread(
        len(rows), run, lambda start, stop, part: parts.append(part), weight=weight
    )
    return torch.cat(parts)


@contextmanager
def _apart(probe: nn.Module) -> Generator[None]:
    """Give every module with a rule a tensor of its own to hook into.

    Where one follows another directly Captum hooks both into one tensor, and the first sees the
    gradient from before the second has changed it (captum, issue 1104): sums no longer add up.
    """
    register()

    def copied(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(arg.clone() if isinstance(arg, Tensor) else arg for arg in args)

    with ExitStack() as after:
        for module in probe.modules():
            if type(module) in RULES:
                after.callback(module.register_forward_pre_hook(copied).remove)
        yield


@contextmanager
def _quiet() -> Generator[None]:
    """Drop Captum's word that it sets hooks: here it does so on a copy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*Setting.*hooks.*")
        yield
