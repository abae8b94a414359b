"""What is selected in a Lens: traits that validate and explain themselves."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, cast

import anywidget
import traitlets as T

from convlens import errors
from convlens.errors import nearest
from convlens.layers import Layers
from convlens.saliency import METHODS
from convlens.saliency.baselines import KINDS as BASELINES
from convlens.similarity import MEASURES
from convlens.widget import protocol
from convlens.widget.comparing import changed_settings
from convlens.widget.compressing import AFTER, RANKINGS
from convlens.widget.explaining import TARGETS, changed
from convlens.widget.pixels import check_scale

CHOICES = {
    "view": protocol.VIEWS,
    "sort": protocol.SORTS,
    "scale": protocol.SCALES,
    "entropy": protocol.ENTROPIES,
    "paired": protocol.PAIRED,
    "comparison": protocol.COMPARISONS,
    "layer_set": protocol.LAYER_SETS,
    "measure": tuple(MEASURES),
    "method": tuple(METHODS),
    "baseline": BASELINES,
    "compression_by": RANKINGS,
    "compression_after": AFTER,
}
SELECTION = (
    *("layer", "channel", "eps", "reference_layer", "fit", "measure_settings"),
    *("input_index", "mean", "std", "target", "methods", "method_settings"),
    *("feature_steps", "feature_seed", "feature_size", "step"),
    *("drift_against", "drift_group"),
    *CHOICES,
)


# traitlets undoes a change of several traits at once only where it sees a TraitError
class ArgumentError(errors.ArgumentError, T.TraitError):
    """A trait was given a value that it cannot take."""


class UnknownLayerError(errors.UnknownLayerError, T.TraitError):
    """`layer` was given a name that no layer has."""


class ClosedLensError(errors.ClosedLensError, T.TraitError):
    """Something was asked of a Lens after its ``close()``."""


class Selection(anywidget.AnyWidget):
    """The traits that a person sets by clicking, or from a cell."""

    # of no type of traitlets', so that every refusal is a sentence of the validators below
    layer: Any = T.TraitType("").tag(sync=True)
    channel: Any = T.TraitType(None, allow_none=True).tag(sync=True)
    view: Any = T.TraitType("quality").tag(sync=True)
    eps: Any = T.TraitType(0.01).tag(sync=True)
    sort: Any = T.TraitType("position").tag(sync=True)
    scale: Any = T.TraitType("layer").tag(sync=True)
    entropy: Any = T.TraitType("normalized").tag(sync=True)
    paired: Any = T.TraitType("side by side").tag(sync=True)
    measure: Any = T.TraitType("cka").tag(sync=True)
    measure_settings: Any = T.TraitType().tag(sync=True)
    comparison: Any = T.TraitType("self").tag(sync=True)
    layer_set: Any = T.TraitType("convs").tag(sync=True)
    reference_layer: Any = T.TraitType(None, allow_none=True).tag(sync=True)
    fit: Any = T.TraitType(False).tag(sync=True)
    input_index: Any = T.TraitType(0).tag(sync=True)
    target: Any = T.TraitType("predicted").tag(sync=True)
    method: Any = T.TraitType("saliency").tag(sync=True)
    methods: Any = T.TraitType().tag(sync=True)
    method_settings: Any = T.TraitType().tag(sync=True)
    baseline: Any = T.TraitType("zero").tag(sync=True)
    mean: Any = T.TraitType(None, allow_none=True).tag(sync=True)
    std: Any = T.TraitType(None, allow_none=True).tag(sync=True)
    compression_by: Any = T.TraitType("cost").tag(sync=True)
    compression_after: Any = T.TraitType("auto").tag(sync=True)
    feature_steps: Any = T.TraitType(None, allow_none=True).tag(sync=True)
    feature_seed: Any = T.TraitType(0).tag(sync=True)
    feature_size: Any = T.TraitType(None, allow_none=True).tag(sync=True)
    drift_against: Any = T.TraitType("shipped").tag(sync=True)
    drift_group: Any = T.TraitType("all").tag(sync=True)

    @property
    def layers(self) -> Layers:
        """The layers that can be selected."""
        raise NotImplementedError

    @T.validate("layer")
    def _valid_layer(self, proposal: Mapping[str, Any]) -> str:
        value = proposal["value"]
        if not isinstance(value, str):
            raise ArgumentError(
                f"layer must be the name of a layer, not {value!r}; lens.layers lists them."
            )
        try:
            return self.layers[value].key
        except errors.UnknownLayerError as error:
            raise UnknownLayerError(str(error)) from None

    @T.validate("channel")
    def _valid_channel(self, proposal: Mapping[str, Any]) -> int | None:
        value, outputs = proposal["value"], self._outputs()
        if value is None:
            return None
        if not _is(value, numbers.Integral) or not 0 <= value < outputs:
            raise ArgumentError(
                f"channel must be None or a whole number from 0 to {outputs - 1}, "
                f"an output of {self.layer}, not {value!r}."
            )
        return int(value)

    @T.validate("eps")
    def _valid_eps(self, proposal: Mapping[str, Any]) -> float:
        value, _ = proposal["value"], self.layers
        if not _is(value, numbers.Real) or not 0 < value < 1:
            raise ArgumentError(
                f"eps must be a number between 0 and 1, such as 0.01, not {value!r}."
            )
        return float(value)

    @T.default("measure_settings")
    def _usual_measure_settings(self) -> dict[str, Any]:
        return {}

    @T.validate("measure_settings")
    def _valid_measure_settings(self, proposal: Mapping[str, Any]) -> dict[str, Any]:
        value, _ = proposal["value"], self.layers
        if not isinstance(value, Mapping):
            raise ArgumentError(
                "measure_settings must map parameters of the measure to values, such as "
                f"{{'t': 0.5}} of 'cka_rbf', not {value!r}."
            )
        if self.measure not in MEASURES:
            return {}  # which is refused by its own validator
        try:
            return changed_settings(self.measure, cast(Mapping[str, Any], value))
        except errors.ArgumentError as error:
            raise ArgumentError(str(error)) from None

    @T.observe("measure")
    def _keep_measure_settings(self, _: Mapping[str, Any]) -> None:
        """Let go of settings that the measure does not have."""
        try:
            changed_settings(self.measure, self.measure_settings)
        except errors.ArgumentError:
            self.measure_settings = {}

    @T.validate("reference_layer")
    def _valid_reference_layer(self, proposal: Mapping[str, Any]) -> str | None:
        value, _ = proposal["value"], self.layers
        if value is not None and not isinstance(value, str):
            raise ArgumentError(
                f"reference_layer must be None or the name of a layer, not {value!r}."
            )
        return value

    @T.validate("fit")
    def _valid_fit(self, proposal: Mapping[str, Any]) -> bool:
        value, _ = proposal["value"], self.layers
        if not isinstance(value, bool):
            raise ArgumentError(f"fit must be True or False, not {value!r}.")
        return value

    @T.validate("input_index")
    def _valid_input_index(self, proposal: Mapping[str, Any]) -> int:
        value, _ = proposal["value"], self.layers
        if not _is(value, numbers.Integral) or value < 0:
            raise ArgumentError(
                f"input_index must be a whole number from 0, the place of an input, not {value!r}."
            )
        try:
            self.check_input(int(value))
        except errors.ArgumentError as error:
            raise ArgumentError(str(error)) from None
        return int(value)

    def check_input(self, index: int) -> None:
        """Raise where it is known that there is no such input."""
        raise NotImplementedError

    @T.validate("target")
    def _valid_target(self, proposal: Mapping[str, Any]) -> int | str:
        value, _ = proposal["value"], self.layers
        if isinstance(value, str) and value in TARGETS:
            return value
        number: Any = value
        if not _is(value, numbers.Integral) or number < 0:
            raise ArgumentError(
                f"target must be {', '.join(map(repr, TARGETS))} or the index of a class, not "
                f"{value!r}.{nearest(value, TARGETS)}"
            )
        return int(number)

    @T.default("methods")
    def _usual_methods(self) -> list[str]:
        return [str(self.method)]

    @T.validate("methods")
    def _valid_methods(self, proposal: Mapping[str, Any]) -> list[str]:
        value, _ = proposal["value"], self.layers
        names = list(cast("list[Any]", value)) if isinstance(value, (list, tuple)) else []
        wrong = [name for name in names if name not in CHOICES["method"]]
        if not names or wrong:
            hint = nearest(wrong[0], METHODS) if wrong else ""
            raise ArgumentError(
                "methods must be a list of methods whose maps are shown side by side, such as "
                f"['saliency', 'integrated_gradients'], not {value!r}.{hint}"
            )
        return list(dict.fromkeys(names))

    @T.observe("methods")
    def _keep_method(self, _: Mapping[str, Any]) -> None:
        if self.method not in self.methods:
            self.method = self.methods[0]

    @T.observe("method")
    def _keep_methods(self, _: Mapping[str, Any]) -> None:
        if self.method not in self.methods:
            self.methods = [self.method]

    @T.default("method_settings")
    def _usual_method_settings(self) -> dict[str, Any]:
        return {}

    @T.validate("method_settings")
    def _valid_method_settings(self, proposal: Mapping[str, Any]) -> dict[str, Any]:
        value, _ = proposal["value"], self.layers
        named = cast("Mapping[Any, Any]", value if isinstance(value, Mapping) else {"": None})
        if not all(isinstance(given, Mapping) for given in named.values()):
            raise ArgumentError(
                "method_settings must map methods to values of their parameters, such as "
                f"{{'integrated_gradients': {{'steps': 100}}}}, not {value!r}."
            )
        try:
            found = {name: changed(name, given) for name, given in named.items()}
        except errors.ArgumentError as error:
            raise ArgumentError(str(error)) from None
        return {name: given for name, given in sorted(found.items()) if given}

    @T.validate("mean", "std")
    def _valid_scale(self, proposal: Mapping[str, Any]) -> list[float] | None:
        _ = self.layers
        try:
            return check_scale(proposal["trait"].name, proposal["value"])
        except errors.ArgumentError as error:
            raise ArgumentError(str(error)) from None

    @T.validate("feature_steps", "feature_seed", "feature_size")
    def _valid_feature(self, proposal: Mapping[str, Any]) -> int | None:
        name, value, _ = proposal["trait"].name, proposal["value"], self.layers
        number: Any = value
        seed = name == "feature_seed"
        if value is None and not seed:
            return None
        if not _is(value, numbers.Integral) or not (0 if seed else 1) <= number < 2**31:
            least = "from 0" if seed else "above 0, or None for what suits"
            raise ArgumentError(f"{name} must be a whole number {least}, not {value!r}.")
        return int(number)

    @T.validate("drift_against", "drift_group")
    def _valid_drift(self, proposal: Mapping[str, Any]) -> str:
        name, value, _ = proposal["trait"].name, proposal["value"], self.layers
        against, group = self.drift_against, "all"
        if name == "drift_group":
            group = value
        else:
            against = value
        if not isinstance(value, str):
            raise ArgumentError(
                f"{name} must be text, such as {getattr(self, name)!r}, not {value!r}."
            )
        try:
            self.check_drift(against, group)
        except errors.ArgumentError as error:
            raise ArgumentError(str(error)) from None
        return value

    def check_drift(self, against: str, group: str) -> None:
        """Raise where filters cannot be compared with that."""
        raise NotImplementedError

    @T.observe("drift_against")
    def _keep_drift_group(self, _: Mapping[str, Any]) -> None:
        try:
            self.check_drift(self.drift_against, self.drift_group)
        except errors.ArgumentError:
            self.drift_group = "all"

    @T.validate(*CHOICES)
    def _valid_choice(self, proposal: Mapping[str, Any]) -> str:
        name, value, _ = proposal["trait"].name, proposal["value"], self.layers
        choices = CHOICES[name]
        if value not in choices:
            raise ArgumentError(
                f"{name} must be one of {', '.join(choices)}, not {value!r}."
                f"{nearest(value, choices)}"
            )
        return value

    @T.observe("layer")
    def _keep_channel(self, _: Mapping[str, Any]) -> None:
        if self.channel is not None and self.channel >= self._outputs():
            self.channel = None

    def _outputs(self) -> int:
        shape = self.layers[str(self.layer)].shape
        return shape[0] if shape else 0


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
