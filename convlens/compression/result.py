"""What a report gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from html import escape
from typing import TYPE_CHECKING, Any, cast

from convlens.compression.changes import Flip, LayerChange, Overall
from convlens.errors import ArgumentError, UnknownLayerError, nearest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CompressionReport", "Rankable"]

Rankable = {
    "cost": True,
    "output_sqnr": False,
    "isolated_sqnr": False,
    "weight_sqnr": False,
    "output_cosine": False,
    "cka": False,
    "exact_zeros": True,
}
"""Figures that layers can be ranked by -> whether the largest comes first."""


@dataclass(frozen=True)
class CompressionReport:
    """What compression did to a network, layer by layer and as a whole.

    Attributes
    ----------
    layers : tuple of LayerChange
        In the order of the model; ``report["layer1.0.conv1"]`` gives one.
    overall : Overall
        Accuracy, agreement, sizes.
    flips : tuple of Flip
        The inputs whose predicted class changed.
    only_model, only_reference : tuple of str
        Layers without a counterpart.
    model, reference : str
        Titles.
    isolated_samples : int
        How many inputs the figures of one layer compressed alone are of.
    classes : int or None
    finished : bool
        False where it was stopped before the end.
    notes : tuple of str
    eps : float
        Of `sparsity`.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> small = cl.compression.quantize(digits.model, digits.images[:64], bits=3)
    >>> report = cl.compression.report(small, digits.model, digits.images[:64])
    >>> report.overall.n
    64
    >>> report["conv1"].weight_sqnr > 5
    True
    """

    layers: tuple[LayerChange, ...]
    overall: Overall
    flips: tuple[Flip, ...] = field(repr=False)
    only_model: tuple[str, ...]
    only_reference: tuple[str, ...]
    model: str
    reference: str
    isolated_samples: int
    classes: int | None
    finished: bool = True
    notes: tuple[str, ...] = ()
    eps: float = 0.01

    def __getitem__(self, key: str) -> LayerChange:
        for layer in self.layers:
            if key in (layer.key, layer.reference_key):
                return layer
        known = [layer.key for layer in self.layers]
        raise UnknownLayerError(f"No layer here is called {key!r}.{nearest(key, known)}")

    def ranking(self, by: str = "cost") -> tuple[LayerChange, ...]:
        """Return the layers that have this figure, the worst first.

        Parameters
        ----------
        by : str, default "cost"
            "cost" (output lost when the layer alone is compressed), "isolated_sqnr",
            "output_sqnr", "output_cosine", "weight_sqnr", "cka" (the layers whose representation
            changed most) or "exact_zeros".

        Raises
        ------
        ArgumentError
            If there is no such figure.
        """
        if by not in Rankable:
            valid = ", ".join(repr(name) for name in Rankable)
            raise ArgumentError(f"by must be one of {valid}, not {by!r}.{nearest(by, Rankable)}")
        sign = -1 if Rankable[by] else 1
        rows = [(getattr(layer, by), layer) for layer in self.layers]
        known = [(v, layer) for v, layer in rows if v is not None and not math.isnan(v)]
        return tuple(layer for _, layer in sorted(known, key=lambda row: sign * row[0]))

    def flips_by_class(self, classes: Sequence[str] | None = None) -> pd.DataFrame:
        """Count the flips by the class that the reference predicts.

        Parameters
        ----------
        classes : sequence of str, optional
            Names of the classes.

        Returns
        -------
        DataFrame
            Rows: the reference's class. Columns: `flips`, `lost` (the reference was right), `won`
            (the model is), and `most_to`, the class that most went to.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for number in sorted({flip.before for flip in self.flips}):
            mine = [flip for flip in self.flips if flip.before == number]
            after = [flip.after for flip in mine]
            most = max(sorted(set(after)), key=after.count)
            rows.append(
                {
                    "class": _name(number, classes),
                    "flips": len(mine),
                    "lost": sum(flip.kind == "lost" for flip in mine),
                    "won": sum(flip.kind == "won" for flip in mine),
                    "most_to": _name(most, classes),
                }
            )
        columns = ["class", "flips", "lost", "won", "most_to"]
        frame: Any = pd.DataFrame(rows, columns=pd.Index(columns))
        return frame.set_index("class")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per layer, indexed by its key; the columns are those of LayerChange."""
        import pandas as pd

        names = [f.name for f in fields(LayerChange) if f.name not in ("key", "notes", "reasons")]
        rows = [
            {name: getattr(layer, name) for name in names} | {"notes": "; ".join(layer.notes)}
            for layer in self.layers
        ]
        index = pd.Index([layer.key for layer in self.layers], name=self.model)
        return pd.DataFrame(rows, index=index, columns=pd.Index([*names, "notes"]))

    def plot(self, ax: Axes | None = None, *, by: str = "cost") -> Figure:
        """Draw the layers ranked by what they cost, and what each figure says over depth.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Draw the ranking alone upon these.
        by : str, default "cost"
            What to rank by, as for `ranking`.
        """
        from convlens.compression.plots import draw_report

        return draw_report(self, ax, by=by)

    def __repr__(self) -> str:
        stopped = "" if self.finished else "; stopped early"
        return (
            f"CompressionReport({self.model} from {self.reference}: {self.summary()}; "
            f"{len(self.layers)} layers{stopped})"
        )

    def summary(self) -> str:
        """Say the whole in a line: accuracy, agreement, flips, sizes, the worst layer."""
        o = self.overall
        parts: list[str] = []
        if o.accuracy is not None and o.reference_accuracy is not None:
            parts.append(f"accuracy {o.accuracy:.4f} ({o.reference_accuracy:.4f} before)")
        if o.agreement is not None:
            parts.append(f"agreement {o.agreement:.4f}, {len(self.flips)} of {o.n:,} flipped")
        parts.append(f"numbers take {readable(o.packed)} ({readable(o.reference_packed)} before)")
        worst = next(iter(self.ranking()), None)
        if worst is not None and worst.cost > 0:
            parts.append(f"{worst.key} costs most")
        return "; ".join(parts)

    def _repr_html_(self) -> str:
        shown = [
            "weight_sqnr",
            "exact_zeros",
            "entropy",
            "output_sqnr",
            "isolated_sqnr",
            "cost",
            "cka",
        ]
        frame = cast("Any", self.to_frame())[shown]
        table: str = frame.round(4).to_html(max_rows=24, na_rep="–")
        lost = [f"not in the reference: {key}" for key in self.only_model]
        lost += [f"not in the model: {key}" for key in self.only_reference]
        lines = "".join(f"<li>{escape(note)}</li>" for note in (*self.notes, *lost))
        return f"<p>{escape(repr(self))}</p>{table}" + (f"<ul>{lines}</ul>" if lines else "")


def readable(size: int) -> str:
    """Say a number of bytes in kB or MB."""
    return f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _name(number: int, classes: Sequence[str] | None) -> Any:
    return classes[number] if classes is not None and number < len(classes) else number
