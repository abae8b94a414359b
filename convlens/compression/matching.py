"""Which layer of one model is which of another, through fusion and renaming."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from convlens.forms import form_of
from convlens.layers import Layer, Layers

__all__ = ["Matching", "Pair", "match_layers"]

# Steps that libraries put in front of a model's own names, or around the convolution that they fuse
# with what follows it.
_AROUND = ("module", "model", "_orig_mod", "_model", "nncf_module")
_INSIDE = ("0", "conv", "linear")


@dataclass(frozen=True)
class Pair:
    """A layer of the model and the one of the reference that it came from.

    Attributes
    ----------
    layer, reference : Layer
    how : {"name", "renamed", "order"}
        By the same name; by the name without what a library put around it; or, of what was left,
        by shape in the order of the layers.
    """

    layer: Layer
    reference: Layer
    how: str

    @property
    def same_shape(self) -> bool:
        """Whether the weights can be compared number by number."""
        return self.layer.shape == self.reference.shape and bool(self.layer.shape)


@dataclass(frozen=True)
class Matching:
    """All pairs in the order of the model, and what has no partner."""

    pairs: tuple[Pair, ...]
    only_model: tuple[Layer, ...]
    only_reference: tuple[Layer, ...]


def match_layers(layers: Layers, reference: Layers) -> Matching:
    """Match the layers of a model with those of the one that it was made from.

    Parameters
    ----------
    layers, reference : Layers
        As `convlens.find_layers` gives them, best in the order of calls.

    Returns
    -------
    Matching
        First by equal names, then by names without what libraries put around them, then by shape in
        the order of the layers. Layers of different kinds are never matched.
    """
    left = dict(enumerate(layers))
    right = dict(enumerate(reference))
    found: dict[int, Pair] = {}

    def take(i: int, j: int, how: str) -> None:
        found[i] = Pair(left.pop(i), right.pop(j), how)

    for how, name in (("name", _key), ("renamed", _core)):
        for i, j in _by_name(left, right, name):
            take(i, j, how)
    for i, j in _by_order(left, right):
        take(i, j, "order")
    pairs = tuple(found[i] for i in sorted(found))
    return Matching(pairs, tuple(left.values()), tuple(right.values()))


def _key(layer: Layer) -> str:
    return layer.key


def _core(layer: Layer) -> str:
    """Return the key without steps that are no part of the network."""
    name, colon, call = layer.key.partition(":")
    steps = name.split(".")
    while len(steps) > 1 and steps[0] in _AROUND:
        steps = steps[1:]
    while len(steps) > 1 and steps[-1] in _INSIDE:
        steps = steps[:-1]
    return ".".join(steps) + colon + call


def _by_name(
    left: dict[int, Layer], right: dict[int, Layer], name: Callable[[Layer], str]
) -> list[tuple[int, int]]:
    """Return pairs of equal names, where a name is not ambiguous."""
    named: dict[str, list[int]] = {}
    for j, layer in right.items():
        named.setdefault(name(layer), []).append(j)
    mine: dict[str, list[int]] = {}
    for i, layer in left.items():
        mine.setdefault(name(layer), []).append(i)
    return [
        (places[0], named[called][0])
        for called, places in mine.items()
        if len(places) == 1
        and len(named.get(called, ())) == 1
        and _family(left[places[0]]) == _family(right[named[called][0]])
    ]


def _by_order(left: dict[int, Layer], right: dict[int, Layer]) -> list[tuple[int, int]]:
    """Return the longest run of pairs of equal shape that keeps the order of both."""
    mine, theirs = sorted(left), sorted(right)
    matcher = SequenceMatcher(None, _signs(left, mine), _signs(right, theirs), autojunk=False)
    return [
        (mine[block.a + k], theirs[block.b + k])
        for block in matcher.get_matching_blocks()
        for k in range(block.size)
    ]


def _signs(layers: dict[int, Layer], places: Sequence[int]) -> list[tuple[object, ...]]:
    # A layer whose shape is not known is like no other.
    return [
        (_family(layers[i]), layers[i].shape, layers[i].groups) if layers[i].shape else (i, layers)
        for i in places
    ]


def _family(layer: Layer) -> tuple[str, int]:
    """Say what kind of layer it is, whichever library's class does it."""
    if not layer.shape:
        form = form_of(layer.module)
        return ("filters", form.dims) if form is not None else (layer.kind, -1)
    if layer.reason is not None and len(layer.shape) < 2:
        return layer.kind, -1
    return ("transposed" if layer.transposed else "filters"), len(layer.shape) - 2
