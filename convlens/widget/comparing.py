"""Comparisons of a Lens: started, stopped, resumed and switched from the front end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, cast

import numpy as np

from convlens import parameters
from convlens.errors import ArgumentError, nearest
from convlens.similarity import MEASURES, Comparison, Similarity, compare
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Steps
from convlens.widget.protocol import LAYER_SETS
from convlens.widget.snapshots import Snapshots
from convlens.widget.sources import Sources


@dataclass
class Comparing:
    """The comparisons made so far, each kept so that it can be resumed."""

    kinds: ClassVar[tuple[str, ...]] = ("similarity", "compared")

    sources: Sources
    snapshots: Snapshots
    kept: dict[tuple[str, str], Comparison] = field(
        default_factory=dict[tuple[str, str], Comparison]
    )

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Answer a request of one of `kinds`."""
        if kind == "compared":
            yield
            return self._recall(params)
        return (yield from self._compare(params, progress))

    def _compare(self, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Run a comparison to its end, one batch a step, from where it was stopped."""
        comparison = self._comparison(params)
        name = params["comparison"]
        if comparison.samples and not comparison.finished:
            progress(*_reply(comparison, params))
        if not comparison.measure.batched and not comparison.samples:
            comparison.check_memory()
            yield
        while comparison.step():
            self.kept[name, params["layer_set"]] = comparison
            progress(*_reply(comparison, params))
            yield
        return _reply(comparison, params)

    def result(self, chosen: Any) -> Similarity:
        """Give what was computed last for what is chosen in a Lens, or compute it now."""
        comparison, layer_set = chosen.comparison, chosen.layer_set
        measure, settings = chosen.measure, chosen.measure_settings
        self._check(comparison, layer_set)
        known = self._known(comparison, layer_set, measure, settings)
        if known is not None:
            return known.result()
        sources = self.sources
        arguments = sources.arguments(comparison, sources.model, sources.reference)
        return compare(**arguments, measure=measure, layers=layer_set, **settings)

    def _recall(self, params: Mapping[str, Any]) -> Answer:
        """Give what was computed so far for a request, without computing anything."""
        name, layer_set, measure = params["comparison"], params["layer_set"], params["measure"]
        known = self._known(name, layer_set, measure, _settings(params["settings"]))
        if known is None:
            return {"found": False}, {}
        header, arrays = _reply(known, params)
        return {"found": True, **header}, arrays

    def forget(self) -> None:
        """Forget what was computed: the weights have changed."""
        self.kept.clear()

    def answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give each comparison kept: its kind, what asks for it, and its answer."""
        for (name, layer_set), comparison in self.kept.items():
            params = {
                "measure": comparison.measure.name,
                "comparison": name,
                "layer_set": layer_set,
                "settings": _as_javascript_writes(
                    changed_settings(comparison.measure.name, comparison.parameters)
                ),
            }
            yield "similarity", params, _reply(comparison, params)

    def _known(
        self, comparison: str, layer_set: str, measure: str, settings: Mapping[str, Any]
    ) -> Comparison | None:
        """Find what has been computed, wholly or in part."""
        known = self.kept.get((comparison, layer_set))
        if known is None or not known.samples or known.measure.name != measure:
            return None
        return known if known.parameters == known.measure.values(settings) else None

    def _check(self, comparison: str, layer_set: str) -> None:
        possible = self.sources.comparisons
        if comparison not in possible:
            raise ArgumentError(
                f"This Lens cannot make the comparison {comparison!r}: "
                f"{_wanted(comparison, possible)}."
            )
        if layer_set not in LAYER_SETS:
            raise ArgumentError(
                f"layer_set must be one of {', '.join(LAYER_SETS)}, not {layer_set!r}."
                f"{nearest(layer_set, LAYER_SETS)}"
            )

    def _comparison(self, params: Mapping[str, Any]) -> Comparison:
        name, layer_set, measure = params["comparison"], params["layer_set"], params["measure"]
        settings = _settings(params["settings"])
        self._check(name, layer_set)
        known = self.kept.get((name, layer_set))
        if known is not None and known.why_not(measure, **settings) is None:
            known.switch(measure, **settings)
            return known
        sides = [self.snapshots.of(side) for side in self.sources.sides]
        arguments = self.sources.arguments(name, sides[0], sides[1] if sides[1:] else None)
        return Comparison(**arguments, measure=measure, layers=layer_set, **settings)


def changed_settings(measure: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those parameters of a measure that differ from their defaults, sorted by name.

    Raises
    ------
    ArgumentError
        Where one is none of the measure's, or has a value that it does not take.
    """
    declared = MEASURES[measure]
    return parameters.changed(declared.parameters, declared.values(given))


def describe_measures() -> list[dict[str, Any]]:
    """Describe every measure for the front end's menu and form."""
    return [
        {
            "name": measure.name,
            "title": measure.title,
            "equation": measure.equation,
            "source": measure.source,
            "needs": measure.needs,
            "invariant": sorted(measure.invariant),
            "identical": measure.identical,
            "parameters": [parameter.to_json() for parameter in measure.parameters],
        }
        for measure in MEASURES.values()
    ]


def _as_javascript_writes(settings: Mapping[str, Any]) -> str:
    """Write JSON with the digits that the front end gives the same numbers."""

    def text(value: Any) -> str:
        if isinstance(value, float) and 1e-6 <= abs(value) < 1e21:
            return np.format_float_positional(value, trim="-")
        return json.dumps(value)

    return "{" + ",".join(f"{json.dumps(k)}:{text(v)}" for k, v in settings.items()) + "}"


def _settings(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise ArgumentError("settings must be a JSON object of the measure's parameters.")
    return cast(dict[str, Any], settings)


def _wanted(name: str, possible: tuple[str, ...]) -> str:
    missing = {
        "self": "inputs=",
        "reference": "inputs= and reference=",
        "inputs": "inputs= and reference_inputs=",
    }
    if name in missing:
        return f"give it {missing[name]}"
    return f"it can make {', '.join(possible) or 'none without inputs='}{nearest(name, possible)}"


def _reply(comparison: Comparison, params: Mapping[str, Any]) -> Answer:
    found = comparison.result()
    header = {
        **params,
        "row_title": found.model,
        "column_title": found.reference,
        "rows": [_row(asdict(row)) for row in found.row_layers],
        "columns": [_row(asdict(row)) for row in found.column_layers],
        "done": comparison.done,
        "total": comparison.total or 0,
        "label": MEASURES[found.measure].title,
        "n": found.n,
        "batches": found.batches,
        "batch_size": found.batch_size,
        # whether it was stopped the front end knows
        "estimator": replace(found, finished=True).estimator,
        "finished": found.finished,
        "notes": list(found.notes),
        "mismatch": (
            "The two have different numbers of positions: compare with reduce='mean' in Python."
        ),
        "directed": found.reverse is not None,
    }
    arrays = {
        "matrix": found.matrix.astype(np.float32),
        "stderr": found.stderr.astype(np.float32),
    }
    if found.reverse is not None:
        arrays["reverse"] = found.reverse.astype(np.float32)
    return header, arrays


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("key", "kind", "shape", "same_as", "reason")}
