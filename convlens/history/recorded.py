"""Figures of every layer over training: snapshots with bounded memory, saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from convlens.errors import ArgumentError, nearest
from convlens.history.probe import alike

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "History", "Snapshot"]

FIGURES = ("sparsity", "variance_entropy", "variance_entropy_normalized", "exact_zeros", "l2")
"""What is kept of each layer, by the names of `convlens.LayerQuality`."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Snapshot:
    """One moment of training.

    Attributes
    ----------
    step : int
        Optimiser steps, or whatever was counted, since recording began.
    label : str
        What it was called, or "".
    """

    step: int
    label: str = ""


class History:
    """Figures of every layer at a number of moments.

    Made by a `Recorder`, which is one itself, or read by ``History.load(path)``.

    Attributes
    ----------
    limit : int
        Most snapshots.
    eps : float
        Of `sparsity`, as for `measure_quality`.
    step : int
        The last that was counted.

    Examples
    --------
    >>> import torch
    >>> from convlens import History, Recorder
    >>> recorder = Recorder(torch.nn.Conv2d(3, 8, 3))
    >>> recorder.snapshot("start")
    Snapshot(step=0, label='start')
    >>> recorder.save("/tmp/history.npz")
    >>> History.load("/tmp/history.npz")
    History(1 snapshots of 1 layers, steps 0 to 0)
    """

    def __init__(self, limit: int = 200, eps: float = 0.01) -> None:
        self.limit = limit
        self.eps = eps
        self.step = 0
        self._keys: tuple[str, ...] = ()
        self._snapshots: list[Snapshot] = []
        self._numbers: list[int] = []
        self._figures: list[Values] = []
        self._profiles: list[Values] = []

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The moments that are kept, in order."""
        return tuple(self._snapshots)

    @property
    def layers(self) -> tuple[str, ...]:
        """Keys of the layers."""
        return self._keys

    @property
    def numbers(self) -> tuple[int, ...]:
        """How many snapshots had been taken before each that is kept: two never have the same."""
        return tuple(self._numbers)

    @property
    def has_cka(self) -> bool:
        """Whether what layers make of a probe was kept."""
        return bool(self._profiles)

    def __len__(self) -> int:
        return len(self._snapshots)

    def __repr__(self) -> str:
        ends = (
            f", steps {self._snapshots[0].step} to {self._snapshots[-1].step}" if len(self) else ""
        )
        return f"History({len(self)} snapshots of {len(self._keys)} layers{ends})"

    def figure(self, name: str) -> Values:
        """Return one figure, float32 (snapshots, layers), NaN where a layer has none.

        Raises
        ------
        ArgumentError
            If there is no such figure.
        """
        if name not in FIGURES:
            valid = ", ".join(repr(one) for one in FIGURES)
            raise ArgumentError(
                f"There is no figure {name!r}: one of {valid}.{nearest(name, FIGURES)}"
            )
        if not self._figures:
            return np.zeros((0, len(self._keys)), np.float32)
        return np.stack([table[:, FIGURES.index(name)] for table in self._figures])

    def cka(self, to: Literal["first", "last"] | int = "first") -> Values:
        """Return the unbiased CKA of each snapshot's layers with those of one snapshot.

        Parameters
        ----------
        to : {"first", "last"} or int, default "first"
            Which one; a number counts snapshots.

        Returns
        -------
        ndarray
            float32 (snapshots, layers), NaN where a layer gave nothing that varies.

        Raises
        ------
        ArgumentError
            If there was no probe, or there is no such snapshot.
        """
        if not self._profiles:
            raise ArgumentError("No probe was kept: make the History with inputs=.")
        place: object = {"first": 0, "last": -1}.get(cast("str", to), to)
        if isinstance(place, bool) or not isinstance(place, int):
            raise ArgumentError(f"to must be 'first', 'last' or a number, not {to!r}.")
        if not -len(self) <= place < len(self):
            raise ArgumentError(f"There is no snapshot {to}: there are {len(self)}.")
        return np.stack([alike(profile, self._profiles[place]) for profile in self._profiles])

    def place(self, step: int | str) -> int:
        """Return where a snapshot stands, the last where several have that step or label.

        Parameters
        ----------
        step : int or str
            Its step, or its label.

        Raises
        ------
        ArgumentError
            Naming the nearest where there is none.
        """
        if not self._snapshots:
            raise ArgumentError(
                "There are no snapshots yet: take them with snapshot() or in recording()."
            )
        given: object = step
        if isinstance(given, bool) or not isinstance(given, (Integral, str)):
            raise ArgumentError(f"step must be the step or the label of a snapshot, not {step!r}.")
        known = [s.label if isinstance(step, str) else s.step for s in self._snapshots]
        for place in reversed(range(len(known))):
            if known[place] == step:
                return place
        if isinstance(step, str):
            labels = [label for label in self._labels() if label]
            some = f"; labels are {', '.join(map(repr, labels[:5]))}" if labels else ""
            raise ArgumentError(f"No snapshot is labelled {step!r}{some}.{nearest(step, labels)}")
        raise ArgumentError(
            f"There is no snapshot of step {step}; the nearest is {self.nearest(step)}."
        )

    def nearest(self, step: int) -> int:
        """Return the step nearest to one of which there may be no snapshot."""
        return min((s.step for s in self._snapshots), key=lambda known: abs(known - step))

    def at(self, step: int | str) -> pd.DataFrame:
        """Return the figures of one moment: a row per layer.

        Parameters
        ----------
        step : int or str
            Step or label of a snapshot.

        Raises
        ------
        ArgumentError
            If there is no such snapshot.

        Examples
        --------
        >>> import torch
        >>> from convlens import Recorder
        >>> recorder = Recorder(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)))
        >>> recorder.snapshot("start")
        Snapshot(step=0, label='start')
        >>> list(recorder.at("start").index)
        ['0']
        """
        import pandas as pd

        place = self.place(step)
        columns: dict[str, Values] = {
            name: self._figures[place][:, column] for column, name in enumerate(FIGURES)
        }
        if self._profiles:
            here = self._profiles[place]
            columns["cka_first"] = alike(here, self._profiles[0])
            columns["cka_last"] = alike(here, self._profiles[-1])
        return pd.DataFrame(columns, pd.Index(self._keys, name="layer"))

    def _labels(self) -> list[str]:
        return list(dict.fromkeys(snapshot.label for snapshot in self._snapshots))

    def table(self, places: Sequence[int], figures: Sequence[str]) -> Values:
        """Return some figures of some snapshots, float32 (snapshots, layers, figures).

        Parameters
        ----------
        places : sequence of int
            Where the snapshots stand.
        figures : sequence of str
            Of `FIGURES`, and "cka_first" where a probe was kept.
        """
        found = np.empty((len(places), len(self._keys), len(figures)), np.float32)
        for row, place in enumerate(places):
            for column, name in enumerate(figures):
                found[row, :, column] = (
                    alike(self._profiles[place], self._profiles[0])
                    if name == "cka_first"
                    else self._figures[place][:, FIGURES.index(name)]
                )
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return one row per snapshot and layer, with CKA to the first and last where known."""
        import pandas as pd

        count = len(self._keys)
        columns: dict[str, Any] = {
            "step": np.repeat([s.step for s in self._snapshots], count),
            "label": np.repeat([s.label for s in self._snapshots], count),
            "layer": list(self._keys) * len(self),
        }
        columns.update({name: self.figure(name).ravel() for name in FIGURES})
        if self._profiles:
            columns["cka_first"] = self.cka("first").ravel()
            columns["cka_last"] = self.cka("last").ravel()
        return pd.DataFrame(columns)

    def plot(self, ax: Axes | None = None, *, figure: str = "sparsity") -> Figure:
        """Draw one figure of every layer over the steps; "cka_first" and "cka_last" too."""
        from convlens.plotting import figure_of, new_axes

        axes = new_axes((8, 4)) if ax is None else ax
        if figure.startswith("cka_"):
            values = self.cka(cast("Any", figure.removeprefix("cka_")))
        else:
            values = self.figure(figure)
        steps = [snapshot.step for snapshot in self._snapshots]
        for place, key in enumerate(self._keys):
            axes.plot(steps, values[:, place], label=key, linewidth=1)
        axes.set(xlabel="step", ylabel=figure.replace("_", " "))
        axes.legend(fontsize=6, frameon=False, ncols=2)
        return figure_of(axes)

    def save(self, path: str | Path) -> None:
        """Write all to an ``.npz`` file: arrays and JSON, nothing pickled."""
        header = {
            "convlens": "history",
            "figures": FIGURES,
            "layers": self._keys,
            "labels": [snapshot.label for snapshot in self._snapshots],
            "eps": self.eps,
            "limit": self.limit,
        }
        arrays: dict[str, Any] = {
            "steps": np.array([snapshot.step for snapshot in self._snapshots], np.int64),
            "values": np.array(self._figures, np.float32),
        }
        if self._profiles:
            arrays["profiles"] = np.array(self._profiles)
        with Path(path).open("wb") as file:
            np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read what `save` wrote; nothing in the file is executed.

        Raises
        ------
        ArgumentError
            If the file holds no History.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
                header = cast("dict[str, Any]", json.loads(str(arrays["header"])))
                found = History(header["limit"], header["eps"])
                labels, steps = header["labels"], arrays["steps"].tolist()
                found._keys = tuple(header["layers"])
                found._snapshots = [Snapshot(*pair) for pair in zip(steps, labels, strict=True)]
                found._numbers = list(range(len(steps)))
                found._figures = list(arrays["values"].astype(np.float32))
                found._profiles = list(arrays.get("profiles", ()))
                shape = (len(steps), len(found._keys), len(FIGURES))
                if header["convlens"] != "history" or (steps and arrays["values"].shape != shape):
                    raise ValueError("another layout")
        except (KeyError, ValueError, TypeError, AttributeError, EOFError) as error:
            raise ArgumentError(f"{str(path)!r} holds no History that save() wrote.") from error
        found.step = found._snapshots[-1].step if found._snapshots else 0
        return found
