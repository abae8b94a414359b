"""Methods by forward passes on changed inputs, which need no gradients.

Captum runs these as one long loop. Here its loop runs on a thread of its own that does nothing but
ask: each batch that it wants scores for is handed over, run by the caller as one step, and the
scores handed back. So a step is one batch, Stop takes effect at the next, and a batch for which
memory is too small is run in halves.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from convlens.errors import ArgumentError, Cancelled
from convlens.saliency.work import Rows, Steps, Work

__all__ = [
    "METHODS",
    "cost_of",
    "feature_ablation",
    "kernel_shap",
    "lime",
    "occlusion",
    "shapley_value_sampling",
    "window_of",
]

Values = Mapping[str, Any]
Ask = Callable[..., Tensor]

METHODS = ("occlusion", "feature_ablation", "shapley_value_sampling", "lime", "kernel_shap")


def occlusion(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Cover a window by the baseline, and see how far the target falls."""
    window, stride = window_of(values, tuple(rows.x.shape[1:]))

    def captum(ask: Ask, one: Rows, base: Tensor) -> Tensor:
        from captum.attr import Occlusion

        channels = one.x.shape[1]
        return Occlusion(ask).attribute(
            one.x,
            sliding_window_shapes=(channels, *window),
            strides=(channels, *stride),
            baselines=base,
            target=one.target,
            perturbations_per_eval=work.rows,
        )

    return (yield from _each(work, rows, captum))


def feature_ablation(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Replace squares by the baseline, one at a time."""

    def captum(ask: Ask, one: Rows, base: Tensor) -> Tensor:
        from captum.attr import FeatureAblation

        return FeatureAblation(ask).attribute(
            one.x,
            baselines=base,
            target=one.target,
            feature_mask=squares(one.x, values["patch"]),
            perturbations_per_eval=work.rows,
        )

    return (yield from _each(work, rows, captum))


def shapley_value_sampling(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Add squares in random orders, and average what each adds."""

    def captum(ask: Ask, one: Rows, base: Tensor) -> Tensor:
        from captum.attr import ShapleyValueSampling

        return ShapleyValueSampling(ask).attribute(
            one.x,
            baselines=base,
            target=one.target,
            feature_mask=squares(one.x, values["patch"]),
            n_samples=values["samples"],
            perturbations_per_eval=work.rows,
        )

    return (yield from _each(work, rows, captum))


def lime(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Fit a sparse linear model over squares on or off."""

    def captum(ask: Ask, one: Rows, base: Tensor) -> Tensor:
        from captum._utils.models.linear_model import SkLearnLasso
        from captum.attr import Lime

        return Lime(ask, interpretable_model=SkLearnLasso(alpha=values["alpha"])).attribute(
            one.x,
            baselines=base,
            target=one.target,
            feature_mask=squares(one.x, values["patch"]),
            n_samples=values["samples"],
            perturbations_per_eval=work.rows,
        )

    return (yield from _each(work, rows, captum))


def kernel_shap(work: Work, rows: Rows, values: Values) -> Steps[Tensor]:
    """Fit the linear model whose weights are Shapley values."""

    def captum(ask: Ask, one: Rows, base: Tensor) -> Tensor:
        from captum.attr import KernelShap

        return KernelShap(ask).attribute(
            one.x,
            baselines=base,
            target=one.target,
            feature_mask=squares(one.x, values["patch"]),
            n_samples=values["samples"],
            perturbations_per_eval=work.rows,
        )

    return (yield from _each(work, rows, captum))


def cost_of(name: str, values: Values, shape: tuple[int, ...]) -> int:
    """Return how many forward passes each input of this shape (without the batch) takes."""
    if name == "occlusion":
        window, stride = window_of(values, shape)
        sides = zip(shape[1:], window, stride, strict=True)
        return 1 + math.prod(-(-(size - wide) // step) + 1 for size, wide, step in sides)
    side = _side(values["patch"], shape)
    if name in ("lime", "kernel_shap"):
        return values["samples"]
    count = math.prod(-(-size // side) for size in shape[1:])
    return 1 + count if name == "feature_ablation" else 1 + values["samples"] * count


def window_of(values: Values, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return window and stride of the occlusion for inputs of this shape (without the batch).

    Raises
    ------
    ArgumentError
        The window is larger than the image, or the stride than the window.
    """
    spatial = shape[1:]
    side: int = values["window"] or max(1, min(spatial, default=1) // 4)
    step: int = values["stride"] or max(1, side // 2)
    if side > min(spatial, default=1):
        sizes = " x ".join(str(size) for size in spatial)
        raise ArgumentError(f"window is {side} pixels; it must fit into the image of {sizes}.")
    if step > side:
        raise ArgumentError(
            f"stride is {step} pixels; it must be at most the window's {side}, or pixels between "
            "windows would never be covered."
        )
    return (side,) * len(spatial), (step,) * len(spatial)


def squares(x: Tensor, patch: int) -> Tensor:
    """Return the number of the square that each pixel of one input belongs to, (1, c, h, w)."""
    side = _side(patch, tuple(x.shape[1:]))
    mask = torch.zeros((), dtype=torch.long, device=x.device)
    for size in x.shape[2:]:
        line = torch.arange(size, device=x.device) // side
        mask = mask[..., None] * (-(-size // side)) + line
    return mask.expand(1, *x.shape[1:]).contiguous()


def _side(patch: int, shape: tuple[int, ...]) -> int:
    smallest = min(shape[1:], default=1)
    if patch > smallest:
        raise ArgumentError(
            f"patch is {patch} pixels; it must fit into the image of "
            f"{' x '.join(str(size) for size in shape[1:])}."
        )
    return patch or max(1, smallest // 8)


def _each(work: Work, rows: Rows, captum: Callable[[Ask, Rows, Tensor], Tensor]) -> Steps[Tensor]:
    """Run Captum's loop for one input after the other, each batch that it asks for as a step."""
    found: list[Tensor] = []
    for i in range(len(rows)):
        one = rows[i : i + 1]
        base = work.baseline.of(one.x, one.index)
        loop = _Loop(lambda ask, one=one, base=base: captum(ask, one, base))
        try:
            x = loop.next()
            while x is not None:
                parts: list[Tensor] = []
                yield from work.spread(
                    len(x),
                    lambda start, stop, x=x: _scores(work, x[start:stop]),
                    lambda start, stop, part, parts=parts: parts.append(part),
                )
                x = loop.next(torch.cat(parts))
        finally:
            loop.stop()
        found.append(loop.result())
    return torch.cat(found).to(rows.x.dtype)


def _scores(work: Work, x: Tensor) -> Tensor:
    with torch.no_grad():
        return work.module(x)


class _Loop:
    """A function on its own thread that asks for scores and waits for them.

    One of the two threads runs at a time, so that random numbers are drawn in one order.
    """

    def __init__(self, function: Callable[[Ask], Tensor]) -> None:
        self._function = function
        self._turn = threading.Semaphore(0)
        self._asked = threading.Semaphore(0)
        self._question: Tensor | None = None
        self._answer: Tensor | None = None
        self._found: Tensor | None = None
        self._error: BaseException | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def next(self, answer: Tensor | None = None) -> Tensor | None:
        """Hand over the last answer; return what is asked next, None at the end."""
        self._answer, self._question = answer, None
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="convlens-loop", daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        self._asked.acquire()
        if self._error is not None:
            raise self._error
        return self._question

    def result(self) -> Tensor:
        """Return what the function returned."""
        if self._found is None:
            raise Cancelled("The attribution was stopped.")
        return self._found

    def stop(self) -> None:
        """End the thread, wherever it is."""
        if self._thread is not None and self._thread.is_alive():
            self._stopped = True
            self._turn.release()
            self._thread.join()

    def _ask(self, x: Tensor, *_: object) -> Tensor:
        self._question = x
        self._asked.release()
        self._turn.acquire()
        if self._stopped or self._answer is None:
            raise Cancelled("The attribution was stopped.")
        return self._answer

    def _run(self) -> None:
        try:
            with torch.no_grad():
                self._found = self._function(self._ask).detach()
        except BaseException as error:  # noqa: BLE001 - raised again on the other thread
            self._error = error
        self._question = None
        self._asked.release()
