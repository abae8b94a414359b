"""What one reading of the filters measures: of each piece a part, and parts add up by slot."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from convlens.filterdb.arithmetic import count_bins, extremes_of, sums_of
from convlens.filterdb.sums import Sums

__all__ = ["Extremes", "Histograms", "Kernel", "Moments", "State", "sums_at"]

Rows = npt.NDArray[Any]
State = dict[str, npt.NDArray[Any]]


class Kernel(Protocol):
    """One way to measure filters."""

    @property
    def title(self) -> str:
        """What it does, in words, for a progress bar."""
        ...

    @property
    def digest(self) -> str:
        """Tells this measurement, its parameters included, from all others."""
        ...

    def empty(self, slots: int) -> State:
        """Arrays whose first dimension is the slot, with nothing measured."""
        ...

    def measure(self, rows: Rows, slot: int, device: str) -> State:
        """Measure one piece: arrays as in `empty`, without the first dimension."""
        ...

    def add(self, state: State, slot: int, part: State) -> None:
        """Add a part to what is known of its slot."""
        ...


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter, of filters scaled each by its largest weight, or as they are."""

    taps: int
    scale: bool = True

    @property
    def title(self) -> str:
        """For a progress bar."""
        return "mean and covariance"

    @property
    def digest(self) -> str:
        """Tells it from others."""
        return f"moments-{self.taps}-{self.scale}"

    def empty(self, slots: int) -> State:
        """Nothing measured."""
        return {
            "n": np.zeros(slots, np.int64),
            "left_out": np.zeros(slots, np.int64),
            "mean": np.zeros((slots, self.taps)),
            "scatter": np.zeros((slots, self.taps, self.taps)),
        }

    def measure(self, rows: Rows, slot: int, device: str) -> State:
        """Sum up one piece."""
        sums, bad = sums_of(rows, device, scale=self.scale)
        return {
            "n": np.asarray(sums.n),
            "left_out": np.asarray(bad),
            "mean": sums.mean,
            "scatter": sums.scatter,
        }

    def add(self, state: State, slot: int, part: State) -> None:
        """Join two sets, exactly."""
        sums = sums_at(state, slot).plus(
            Sums(int(part["n"]), part["mean"], part["scatter"]),
        )
        state["n"][slot], state["mean"][slot] = sums.n, sums.mean
        state["scatter"][slot] = sums.scatter
        state["left_out"][slot] += part["left_out"]


@dataclass(frozen=True, eq=False)
class Extremes:
    """The least and the greatest coefficient in a basis."""

    basis: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]

    @property
    def title(self) -> str:
        """For a progress bar."""
        return "range of the coefficients"

    @property
    def digest(self) -> str:
        """Tells it from others."""
        return f"extremes-{_digest(self.basis, self.mean)}"

    def empty(self, slots: int) -> State:
        """Nothing measured."""
        return {"low": np.full(slots, np.inf), "high": np.full(slots, -np.inf)}

    def measure(self, rows: Rows, slot: int, device: str) -> State:
        """Find them in one piece."""
        low, high = extremes_of(rows, self.basis, self.mean, device)
        return {"low": np.asarray(low), "high": np.asarray(high)}

    def add(self, state: State, slot: int, part: State) -> None:
        """Keep the further ones."""
        state["low"][slot] = min(state["low"][slot], part["low"])
        state["high"][slot] = max(state["high"][slot], part["high"])


@dataclass(frozen=True, eq=False)
class Histograms:
    """Counts of the coefficients in bins."""

    basis: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    span: tuple[float, float]
    bins: int

    @property
    def title(self) -> str:
        """For a progress bar."""
        return "histograms of the coefficients"

    @property
    def digest(self) -> str:
        """Tells it from others."""
        about = np.array([*self.span, self.bins])
        return f"histograms-{_digest(self.basis, self.mean, about)}"

    def empty(self, slots: int) -> State:
        """Nothing measured."""
        return {"counts": np.zeros((slots, len(self.basis), self.bins), np.int64)}

    def measure(self, rows: Rows, slot: int, device: str) -> State:
        """Count one piece."""
        return {
            "counts": count_bins(rows, self.basis, self.mean, self.span, self.bins, device),
        }

    def add(self, state: State, slot: int, part: State) -> None:
        """Add the counts."""
        state["counts"][slot] += part["counts"]


def sums_at(state: State, slot: int) -> Sums:
    """Return the sums of one slot out of the state of `Moments`."""
    return Sums(int(state["n"][slot]), state["mean"][slot].copy(), state["scatter"][slot].copy())


def _digest(*arrays: npt.NDArray[np.float64]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]
