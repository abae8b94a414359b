"""The two sides of a comparison: what is watched, what the rows are, what to call them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.data import DataLoader

from convlens.errors import ArgumentError, UnknownLayerError
from convlens.inputs import device_of
from convlens.similarity.batches import Stream
from convlens.similarity.capture import Emission, Forward
from convlens.similarity.layout import Layout
from convlens.similarity.measures import Measure
from convlens.similarity.result import Row
from convlens.similarity.selection import LayerSpec, Selection, select
from convlens.tree import kind_of

__all__ = [
    "Side",
    "describe_data",
    "explained",
    "has_index",
    "placed",
    "select_reference",
    "titles_of",
]


@dataclass
class Side:
    """One of the two models: what is watched in it, and its rows once they are known."""

    selection: Selection
    forward: Forward | None
    rows: tuple[Row, ...] = ()
    layout: Layout = field(default_factory=Layout)

    def align(self, emissions: Sequence[Emission[Any]]) -> list[Emission[Any] | None]:
        """Return the emissions in the order of the rows; the first batch makes the rows."""
        if not self.rows:
            self.rows = rows_of(emissions, self.selection)
        at = {(e.name, e.call): e for e in emissions}
        aligned = [at.get((row.name, row.call)) for row in self.rows]
        return [
            e if e is None or e.same_as is None else replace(e, taken=emissions[e.same_as].taken)
            for e in aligned
        ]


def rows_of(emissions: Sequence[Emission[Any]], selection: Selection) -> tuple[Row, ...]:
    """Make a row of each emission, and one of each module that was chosen and not called."""
    calls = Counter(emission.name for emission in emissions)
    keys = [
        e.name if calls[e.name] == 1 and e.call == 0 else f"{e.name}:{e.call}" for e in emissions
    ]
    rows = [
        Row(
            key=key,
            name=e.name,
            call=e.call,
            kind=e.kind,
            shape=e.shape[1:],
            same_as=None if e.same_as is None else keys[e.same_as],
        )
        for key, e in zip(keys, emissions, strict=True)
    ]
    seen = {(row.name, row.call) for row in rows}
    for name, module in selection.modules.items():
        wanted = selection.calls.get(name)
        for call in sorted(wanted) if wanted is not None else [0]:
            if (name, call) not in seen and (wanted is not None or name not in calls):
                key = name if wanted is None else f"{name}:{call}"
                rows.append(
                    Row(key, name, call, kind_of(module), reason="never called on these inputs")
                )
    return tuple(rows)


def explained(rows: Sequence[Row], reasons: Mapping[int, str]) -> tuple[Row, ...]:
    """Put into each row why it has no values."""
    return tuple(
        replace(row, reason=row.reason or reasons.get(place)) for place, row in enumerate(rows)
    )


def has_index(layers: LayerSpec | None) -> bool:
    """Say whether a layer is given by its position."""
    parts: Any = layers if isinstance(layers, (list, tuple)) else [layers]
    return any(isinstance(part, int) for part in parts)


def select_reference(
    model: Any, layers: LayerSpec, inputs: Any, forward: Any, *, inherited: bool
) -> Selection:
    """Select in the reference; where it has not the model's layers, say what to pass."""
    try:
        return select(model, layers, inputs, forward)
    except UnknownLayerError as error:
        if not inherited:
            raise
        raise UnknownLayerError(
            f"The reference has not the model's layers: {error} Pass reference_layers=."
        ) from None


def placed(models: Sequence[nn.Module], measure: Measure) -> str | None:
    """Return a note where the models are on different devices, if `measure` can do with that.

    Raises
    ------
    ArgumentError
        If it cannot, or a model is on the meta device, which holds no values.
    """
    devices = [device_of(model) for model in models]
    for device, which in zip(devices, ("model", "reference"), strict=False):
        if device is not None and device.type == "meta":
            raise ArgumentError(
                f"The {which} is on the meta device, where weights have no values: load them "
                f"first, with {which}.to_empty(device='cpu') and load_state_dict."
            )
    if len({str(device) for device in devices if device is not None}) < 2:
        return None
    first, second = devices[0], devices[-1]
    if measure.batched:
        return f"models on {first} and {second}: each runs on its own device"
    raise ArgumentError(
        f"The model is on {first} and the reference on {second}, and {measure.name} needs what "
        f"both emit on one device: pass reference.to('{first}'), or measure='cka', for which each "
        "runs on its own."
    )


def titles_of(row: Side, column: Side, stream: Stream, *, same: bool) -> tuple[str, str]:
    """Name both sides by their classes, told apart where those are the same."""
    first, second = (kind_of(side.selection.model) for side in (row, column))
    if same or first != second:
        return first, second
    if stream.paired and row.selection.model is column.selection.model:
        return first, f"{second}, reference inputs"
    return first, f"{second}, reference"


def describe_data(inputs: Any) -> str:
    """Say in a few words what data were used."""
    if isinstance(inputs, Tensor):
        return f"tensor {' x '.join(str(size) for size in inputs.shape)}"
    if isinstance(inputs, DataLoader):
        return repr(cast("DataLoader[Any]", inputs).dataset).split("\n")[0]
    return type(inputs).__name__
