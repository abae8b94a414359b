"""What a Lens was given: two models, data to run them on, and what to call all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from convlens.errors import ArgumentError
from convlens.inputs import as_call
from convlens.similarity.batches import taken
from convlens.tree import check_model, kind_of, walk

if TYPE_CHECKING:
    from convlens.filterdb import FilterDB, Summary


@dataclass
class Sources:
    """What a Lens was given to look at.

    Attributes
    ----------
    model, inputs, reference, reference_inputs, forward, inputs_from
        As `Lens` takes them.
    titles
        Of the model and of the reference.
    labels
        The true class of each input, where the Lens was told; None where one is not known.
    classes
        Names of the classes by index; empty where the Lens was not told.
    database
        A summary or database of filters that the Lens was given.
    partner
        Gives the key in the reference of a layer of the model; None where there is none.
    """

    model: nn.Module
    inputs: Any = None
    reference: nn.Module | None = None
    reference_inputs: Any = None
    forward: Callable[..., Any] | None = None
    inputs_from: Any = None
    titles: tuple[str, str] = ("", "")
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    database: Summary | FilterDB | None = None
    partner: Callable[[str], str | None] = str

    def layer_of(self, side: str, layer: str) -> str:
        """Give the key that a layer of the model has on a side."""
        return layer if side == "model" else self.partner(layer) or layer

    @property
    def comparisons(self) -> tuple[str, ...]:
        """Kinds of comparison that can be made, the richest last."""
        if self.inputs is None:
            return ()
        return (
            "self",
            *(("inputs",) if self.reference_inputs is not None else ()),
            *(("reference",) if self.reference is not None else ()),
        )

    @property
    def sides(self) -> dict[str, nn.Module]:
        """The models by the names that the wire has for them."""
        both = {"model": self.model, "reference": self.reference}
        return {side: model for side, model in both.items() if model is not None}

    def arguments(self, comparison: str, model: nn.Module, reference: nn.Module | None) -> Any:
        """Give the arguments that `compare` and `Comparison` share."""
        row, column = self.titles
        other = {"self": row, "inputs": f"{row}, other inputs", "reference": column}
        return {
            "model": model,
            "inputs": self.inputs,
            "reference": reference if comparison == "reference" else None,
            "reference_inputs": self.reference_inputs if comparison == "inputs" else None,
            "forward": self.forward,
            "inputs_from": self.inputs_from,
            "titles": (row, other[comparison]),
        }


def call_on_part(
    forward: Callable[[nn.Module, Any], Any] | None, inputs_from: Any
) -> Callable[[nn.Module, Any], Any] | None:
    """Give what runs a model on its part of a batch, for those who are handed whole batches."""
    if inputs_from is None:
        return forward

    def call(model: nn.Module, batch: Any) -> Any:
        chosen = taken(batch, inputs_from)
        if forward is not None:
            return forward(model, chosen)
        args, named = as_call(model, chosen, drawn=False)
        return model(*args, **named)

    return call


def titles_of(
    model: nn.Module, reference: nn.Module | None, names: Mapping[str, str | None]
) -> tuple[str, str]:
    """Title two models by their classes; by their names in the notebook where these are alike."""
    title = kind_of(model)
    other = "" if reference is None else kind_of(walk(check_model(reference)).model)
    if title == other:
        return names["model"] or title, names["reference"] or f"{other} (reference)"
    return title, other


def check_labels(labels: Any, inputs: Any) -> tuple[int, ...] | None:
    """Return the labels as whole numbers.

    Raises
    ------
    ArgumentError
        Where they are not one whole number for each input.
    """
    if labels is None:
        return None
    try:
        found = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        found = torch.empty(0, 0)
    if found.dim() != 1 or found.is_floating_point() or found.is_complex():
        raise ArgumentError(
            "labels must be one whole number per input, the index of its true class, not "
            f"{_told(labels)}."
        )
    if isinstance(inputs, Tensor) and len(inputs) != len(found):
        raise ArgumentError(
            f"labels has {len(found):,} entries and inputs has {len(inputs):,}: "
            "one label per input, in the same order."
        )
    return tuple(cast("list[int]", found.long().tolist()))


def check_classes(classes: Any) -> tuple[str, ...]:
    """Return the names of the classes.

    Raises
    ------
    ArgumentError
        Where they are not names.
    """
    if classes is None:
        return ()
    several = isinstance(classes, Iterable) and not isinstance(classes, str)
    names = list(cast("Iterable[Any]", classes)) if several else []
    if not names or not all(isinstance(name, str) for name in names):
        raise ArgumentError(
            "classes must be the names of the classes by index, such as ['cat', 'dog'], not "
            f"{_told(classes)}."
        )
    return tuple(names)


def _told(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"a {type(value).__name__} of shape {tuple(shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"
