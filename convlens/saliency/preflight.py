"""Which methods a model can have, and why not: said before anything runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from convlens.activations import Forward
from convlens.errors import ArgumentError
from convlens.saliency.given import place_of
from convlens.saliency.methods import METHODS, Method
from convlens.saliency.noise import defaults
from convlens.saliency.operations import RULES, Seen, look
from convlens.saliency.pooling import EXACT
from convlens.saliency.probe import Head, Place, Probe
from convlens.saliency.relevance import relevance_copy
from convlens.saliency.rewrite import Untraceable, modular_copy

__all__ = ["Prepared", "check", "prepare", "why_not"]

_GUIDED = ("guided_backprop", "deconvolution", "guided_grad_cam")
_DEEP = ("deep_lift", "deep_lift_shap")
_WITH_SKLEARN = ("lime", "kernel_shap")


@dataclass(frozen=True)
class Prepared:
    """What a method that hooks into modules runs on, or why it cannot.

    Attributes
    ----------
    model
        The model itself where that is fit, or a copy that gives the same outputs.
    place
        The layer in question, in that model.
    reason
        Why the method cannot be had, one sentence; None where it can.
    note
        What was rewritten, in words.
    """

    model: nn.Module
    place: Place | None = None
    reason: str | None = None
    note: str | None = None


def check(
    method: Method,
    values: Mapping[str, Any],
    model: nn.Module,
    x: Tensor,
    forward: Forward | None,
    place: Place | None,
) -> Prepared:
    """Return what `method` runs on.

    Raises
    ------
    ArgumentError
        It cannot be had for this model; the sentence is that of the menu.
    """
    name: str = values.get("of", method.name)
    found = prepare(name, model, x, forward, place)
    if found.reason is not None:
        raise ArgumentError(found.reason)
    return found


def why_not(
    name: str,
    model: nn.Module,
    x: Tensor | None,
    forward: Forward | None,
    layer: str | None = None,
) -> str | None:
    """Return why `name` cannot be had for `model`, one sentence; None where it can.

    To be called inside :func:`convlens.activations.untouched`.
    """
    method = METHODS[name]
    if name in _WITH_SKLEARN or method.family == "perturbation":
        return prepare(name, model, x, forward, None).reason
    if "of" in {parameter.name for parameter in method.parameters}:
        return why_not(defaults(name)["of"], model, x, forward)
    place: Place | None = None
    static = _why_no_gradient(model)
    if static is not None or x is None:
        return static
    seen = _look(model, x, forward)
    if not seen.differentiable:
        return _no_gradient(model, "no gradient of its output reaches the input")
    if method.takes_layer:
        try:
            place = place_of(model, method, layer, None, x, forward)
        except ArgumentError as error:
            return str(error)
        emitted = Head(Probe(model, forward), place).emitted(x) if place is not None else x
        if emitted.dim() < 3:
            return why_no_map(method, place)
    return prepare(name, model, x, forward, place).reason


def prepare(
    name: str, model: nn.Module, x: Tensor | None, forward: Forward | None, place: Place | None
) -> Prepared:
    """Return what the method of that name runs on; cheap where the model can stay as it is."""
    if name in _WITH_SKLEARN and importlib.util.find_spec("sklearn") is None:
        title = METHODS[name].title
        return Prepared(
            model, reason=f"{title} needs scikit-learn: install it with pip install scikit-learn."
        )
    if not METHODS[name].modules or x is None:
        return Prepared(model, place)
    kept = _known.setdefault(model, _Known()).of(model)
    key = (name, None if place is None else place.key, tuple(x.shape[1:]), forward)
    if key not in kept:
        kept[key] = _prepare(name, model, x[:1], forward, place)
    return kept[key]


def _prepare(
    name: str, model: nn.Module, x: Tensor, forward: Forward | None, place: Place | None
) -> Prepared:
    seen = _look(model, x, forward)
    if not seen.differentiable:
        return Prepared(
            model, reason=_no_gradient(model, "no gradient of its output reaches the input")
        )
    title = METHODS[name].title
    own = type(model).__name__
    if name in _GUIDED and not seen.nodes["Relu"]:
        return Prepared(
            model,
            reason=f"{own} has no ReLU, without which {title} is the plain gradient: "
            "choose saliency.",
        )
    if name != "lrp" and _is_fit(name, seen):
        return Prepared(model, place)
    if name in _DEEP and seen.without_rule():
        odd = " and ".join(seen.without_rule())
        return Prepared(
            model,
            reason=f"{title} has no rule for {odd}, which {own} holds: choose "
            "integrated_gradients.",
        )
    try:
        if name == "lrp":
            copied, tap = relevance_copy(model, x, place)
        else:
            copied, tap = modular_copy(model, place)
        _check_same(model, copied, x, forward)
    except Untraceable as error:
        return Prepared(model, reason=_cannot(name, own, seen, str(error)))
    if name != "lrp" and not _is_fit(name, _look(copied, x, forward, keep=False)):
        return Prepared(model, reason=_cannot(name, own, seen, "what is left has no module"))
    note = "run on a copy with a module for each ReLU, of identical outputs"
    return Prepared(copied, tap, note=note)


def _is_fit(name: str, seen: Seen) -> bool:
    """Whether a method that hooks into modules sees all that it must."""
    if name in _GUIDED:
        return not seen.functional([nn.ReLU]) and not seen.reused
    pools = any(kind in EXACT for kind in seen.called)  # Captum's own rule does not add up
    whole = not seen.functional(RULES) and not seen.without_rule() and not seen.reused
    return whole and not pools


def _cannot(name: str, own: str, seen: Seen, why: str) -> str:
    title = METHODS[name].title
    if name == "lrp":
        return f"LRP cannot be had for {own}: {why}."
    kinds = [nn.ReLU] if name in _GUIDED else RULES
    functional = seen.functional(kinds)
    what: list[str] = []
    if functional:
        words = ", ".join(f"{count} {word}" for word, count in functional.items())
        what.append(f"{own} calls {words} as functions")
    if seen.reused:
        what.append(f"{own} calls {', '.join(seen.reused[:3])} more than once")
    said = " and ".join(what) or f"{own} cannot be hooked into"
    return f"{said}, which {title} cannot see into, and it cannot be rewritten exactly: {why}."


def _check_same(model: nn.Module, copied: nn.Module, x: Tensor, forward: Forward | None) -> None:
    """Make sure that a copy gives the very same outputs."""
    with torch.no_grad():
        one = Probe(model, forward)(x)
        try:
            other = Probe(copied, forward)(x)
        except Exception as error:
            said = str(error).strip().split("\n")[0]
            raise Untraceable(f"the rewritten model fails ({said})") from error
    if not torch.equal(one, other):
        raise Untraceable("the rewritten model gives other outputs")


def _look(model: nn.Module, x: Tensor, forward: Forward | None, *, keep: bool = True) -> Seen:
    if not keep:
        return look(Probe(model, forward), x[:1])
    kept = _known.setdefault(model, _Known()).of(model)
    key = ("look", tuple(x.shape[1:]), forward)
    if key not in kept:
        kept[key] = look(Probe(model, forward), x[:1])
    return kept[key]


def _why_no_gradient(model: nn.Module) -> str | None:
    quantised = [
        module
        for module in model.modules()
        if "quantized" in type(module).__module__ and type(module).__module__.startswith("torch.")
    ]
    if quantised:
        kind = type(quantised[0]).__name__
        return _no_gradient(model, f"its quantised layers ({kind}) have none")
    return None


def _no_gradient(model: nn.Module, why: str) -> str:
    return (
        f"{type(model).__name__} has no gradients: {why}. Choose a method that needs none: "
        "occlusion, feature_ablation, shapley_value_sampling, lime or kernel_shap."
    )


def why_no_map(method: Method, place: Place | None) -> str:
    key = "the layer" if place is None else place.key
    return (
        f"{key} emits one number per channel and no map: {method.title} needs a convolution or "
        "another layer with positions."
    )


class _Known:
    """What was found out about a model, as long as it is the same."""

    def __init__(self) -> None:
        self._state: Any = None
        self._found: dict[Any, Any] = {}

    def of(self, model: nn.Module) -> dict[Any, Any]:
        """Return what is known; nothing once modules, weights or buffers were exchanged."""
        state = [
            *((id(m), type(m), getattr(m, "inplace", None)) for m in model.modules()),
            *((id(t), t.data_ptr(), _version(t)) for t in _tensors(model)),
        ]
        if state != self._state:
            self._state, self._found = state, {}
        return self._found


def _tensors(model: nn.Module) -> list[Tensor]:
    found = (*model.parameters(), *model.buffers())
    return [tensor for tensor in found if type(tensor) in (Tensor, nn.Parameter)]


def _version(tensor: Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version


_known: WeakKeyDictionary[nn.Module, _Known] = cast("Any", WeakKeyDictionary())
