"""Does a map change when the weights are random? If not, it does not show what was learnt."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from convlens.activations import untouched
from convlens.errors import ArgumentError, Cancelled, ModelError, nearest
from convlens.layers import find_layers
from convlens.replica import duplicate
from convlens.saliency.agreement import agreement
from convlens.saliency.attribution import Attribution, whole
from convlens.saliency.result import Saliency
from convlens.saliency.targets import Target
from convlens.similarity.selection import select
from convlens.tree import check_model, walk

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Sanity", "SanityCheck", "sanity_check"]

Floats = npt.NDArray[np.float64]
How = Literal["cascading", "independent"]

_POINTS = 8  # of the layers of a deep network, as many are looked at
_ALIKE = 0.5  # maps of random weights that agree more than this with the trained ones hardly moved


@dataclass(frozen=True)
class Sanity:
    """How alike maps stay when weights are replaced by random ones.

    Attributes
    ----------
    method : str
    layers : tuple of str
        What was randomised, from the output on; cascading, each with all before it.
    rank_correlation, ssim, cosine : numpy.ndarray
        With the map of the trained weights, (layers, inputs).
    how : {"cascading", "independent"}
    original : Saliency
        The maps of the trained weights.
    finished : bool
        False where it was stopped.
    """

    method: str
    layers: tuple[str, ...]
    rank_correlation: Floats
    ssim: Floats
    cosine: Floats
    how: How
    original: Saliency
    finished: bool = True

    @property
    def left(self) -> float:
        """Size of the mean rank correlation that is left at the end, the most of it randomised."""
        last = self.rank_correlation[-1]
        known = last[np.isfinite(last)]
        # a map that vanished or became one value everywhere has changed as far as can be
        return abs(float(known.mean())) if known.size else 0.0

    @property
    def passed(self) -> bool:
        """Whether maps change with the weights: at the end, less than 0.5 of the order is left."""
        return self.left < _ALIKE

    @property
    def verdict(self) -> str:
        """What that means, in words."""
        changed = "the maps change with the weights" if self.passed else "the maps hardly change"
        means = (
            "they show something of what was learnt"
            if self.passed
            else "they show the input, and little of what was learnt"
        )
        return f"{changed} (rank correlation {self.left:.2f} left): {means}"

    def to_frame(self) -> pd.DataFrame:
        """Return one row per layer: means over the inputs."""
        import pandas as pd

        columns = {
            "rank_correlation": _means(self.rank_correlation),
            "ssim": _means(self.ssim),
            "cosine": _means(self.cosine),
        }
        return pd.DataFrame(columns, index=pd.Index(self.layers, name="randomised"))

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the agreement that is left over the layers, from the output to the input."""
        from convlens.plotting import figure_of, new_axes

        ax = ax or new_axes((6.0, 3.2))
        places = np.arange(len(self.layers))
        for name, values in self.to_frame().items():
            ax.plot(places, values, marker="o", label=str(name).replace("_", " "))
        ax.axhline(0, color="0.7", lw=0.8)
        ax.set_xticks(places, list(self.layers), rotation=30, ha="right", fontsize="x-small")
        ax.set_xlabel(f"randomised, {self.how}")
        ax.set_ylabel("agreement with the trained model's maps")
        ax.set_title(self.verdict, fontsize="small")
        ax.legend(fontsize="x-small")
        return figure_of(ax)

    def __repr__(self) -> str:
        stopped = "" if self.finished else ", stopped"
        return (
            f"Sanity({self.method}, {len(self.layers)} layers {self.how}: {self.verdict}{stopped})"
        )

    def _repr_html_(self) -> str:
        frame: Any = self.to_frame()
        return f"<p>{escape(repr(self))}</p>{frame.round(3).to_html()}"


class SanityCheck:
    """A sanity check that is run step by step; takes the arguments of ``sanity_check``.

    Attributes
    ----------
    layers : tuple of str
        What will be randomised, from the output on.
    done, total : int
        Forward passes of one input, run so far and in all.
    finished : bool
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        method: str = "integrated_gradients",
        target: Target = None,
        *,
        layers: Any = None,
        how: How = "cascading",
        seed: int = 0,
        **arguments: Any,
    ) -> None:
        if how not in ("cascading", "independent"):
            raise ArgumentError(
                f"how is {how!r}; it must be 'cascading' or 'independent'."
                f"{nearest(how, ('cascading', 'independent'))}"
            )
        self._model = walk(check_model(model)).model
        self._seed = whole("seed", seed, 0)
        self._how: How = how
        self._arguments: dict[str, Any] = {"method": method, "seed": seed, **arguments}
        self._target = target
        self._first = Attribution(model, inputs, target, **self._arguments)
        self._chosen, self.layers = self._choose(layers)
        self.total = self._first.total * (1 + len(self.layers))
        self.done = 0
        self.finished = False
        self._original: Saliency | None = None
        self._found: list[Any] = []

    def steps(self) -> Generator[tuple[int, int]]:
        """Run to the end; after each step give (done, total). The model is never changed."""
        for _ in self._first.steps():
            self.done = self._first.done
            yield self.done, self.total
        original = self._original = self._first.result()
        # what the trained model predicts is asked of the random ones too
        same: Any = self._target
        if original.target is not None:
            same = torch.from_numpy(original.target)
        again = {k: v for k, v in self._arguments.items() if k not in ("labels", "inputs_from")}
        with untouched(self._model):
            trained = duplicate(self._model)
        changed = trained
        generator = torch.Generator().manual_seed(self._seed)
        previous = 0
        for number, place in enumerate(self._places(), 1):
            if self._how == "independent":
                changed = duplicate(trained)
                names = [self._chosen[place]]
            else:
                names = self._chosen[previous : place + 1]
                previous = place + 1
            for name in names:
                randomise(changed.get_submodule(name), generator)
            run = Attribution(changed, self._first.inputs, same, **again)
            for _ in run.steps():
                self.done = number * self._first.total + run.done
                yield self.done, self.total
            self._found.append(agreement(original, run.result()))
        self.finished = True

    def result(self) -> Sanity:
        """Return what is finished.

        Raises
        ------
        Cancelled
            It was stopped before the first layer was finished.
        """
        if not self._found or self._original is None:
            raise Cancelled("The sanity check was stopped before its first layer was finished.")
        return Sanity(
            self._original.method,
            self.layers[: len(self._found)],
            np.stack([one.rank_correlation for one in self._found]),
            np.stack([one.ssim for one in self._found]),
            np.stack([one.cosine for one in self._found]),
            self._how,
            self._original,
            self.finished,
        )

    def _choose(self, layers: Any) -> tuple[list[str], tuple[str, ...]]:
        """Return all layers to randomise from the output on, and those to look at."""
        x = self._first.inputs
        found = find_layers(self._model, x[:1], self._first.forward)
        order = list(
            dict.fromkeys(layer.name for layer in found if "never" not in str(layer.notes))
        )
        if layers is not None:
            wanted = select(self._model, layers, x[:1], self._first.forward).modules
            order = [name for name in order if name in wanted]
        order = [
            name
            for name in reversed(order)
            if any(True for _ in parameters_of(self._model.get_submodule(name)))
        ]
        if not order:
            raise ModelError(
                f"{type(self._model).__name__} has no weights that could be randomised: a sanity "
                "check needs float parameters."
            )
        self._chosen = order
        return order, tuple(order[place] for place in self._places())

    def _places(self) -> list[int]:
        """Return where in the order to look: all of few layers, of many some."""
        count = len(self._chosen)
        points = min(count, _POINTS)
        return [round(i * (count - 1) / max(1, points - 1)) for i in range(points)]


def sanity_check(
    model: nn.Module,
    inputs: Any,
    method: str = "integrated_gradients",
    target: Target = None,
    *,
    layers: Any = None,
    how: How = "cascading",
    seed: int = 0,
    progress: Callable[[int, int], bool | None] | None = None,
    **arguments: Any,
) -> Sanity:
    """See whether maps change when the model's weights are replaced by random ones.

    A map that stays the same shows edges of the input, and not what the model learnt. Weights are
    drawn on a copy, normal with the mean and spread of the layer's own; the model is not changed.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : Tensor, DataLoader, Dataset or other iterable
    method : str, default "integrated_gradients"
    target : as of :func:`convlens.attribute`, optional
        The classes that the trained model predicts are asked of the random ones too.
    layers : str or sequence of str, optional
        What to randomise; default: every layer with weights. Of more than 8, 8 are looked at.
    how : {"cascading", "independent"}, default "cascading"
        From the output on, each with all before it; or each alone.
    seed : int, default 0
    progress : callable(done, total), optional
        Called after each step. Returning False stops, and what there is comes back.
    **arguments : float, int, bool, str, ...
        Of :func:`convlens.attribute`, the method's parameters included.

    Returns
    -------
    Sanity

    Raises
    ------
    ArgumentError
        As of :func:`convlens.attribute`; or `how` is unknown.
    ModelError
        There are no weights to randomise.

    Examples
    --------
    >>> digits = convlens.demo.load()
    >>> check = convlens.sanity_check(digits.model, digits.images[:4], "saliency")
    >>> check.passed, check.layers[0]
    (True, 'linear')

    Notes
    -----
    J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018.
    """
    run = SanityCheck(model, inputs, method, target, layers=layers, how=how, seed=seed, **arguments)
    for done, total in run.steps():
        if progress is not None and progress(done, total) is False:
            break
    return run.result()


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of a layer anew: normal, with the mean and spread of its own."""
    with torch.no_grad():
        for parameter in parameters_of(module):
            values = parameter.float()
            drawn = torch.randn(parameter.shape, generator=generator).to(values)
            spread = values.std(correction=0) if values.numel() > 1 else values.abs().mean()
            parameter.copy_(values.mean() + spread * drawn)


def parameters_of(module: nn.Module) -> Generator[nn.Parameter]:
    """Give the float parameters that a layer holds."""
    for parameter in module.parameters():
        if parameter.is_floating_point() and parameter.dtype.itemsize > 1:
            yield parameter


def _means(values: Floats) -> Floats:
    known = np.isfinite(values)
    sums = np.where(known, values, 0).sum(1)
    counts = known.sum(1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
