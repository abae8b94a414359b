"""Attributions of a Lens: computed step by step for the front end, and kept."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import numpy as np
from torch import nn

from convlens import parameters
from convlens.errors import ArgumentError, Cancelled, UnknownLayerError, nearest
from convlens.saliency import (
    METHODS,
    Attribution,
    Saliency,
    SanityCheck,
    agreement,
    attribute,
    find_method,
    preflight,
    warm_up,
)
from convlens.saliency.baselines import KINDS as BASELINES
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Steps
from convlens.widget.pixels import SCALES
from convlens.widget.strip import Strip

__all__ = ["TARGETS", "Explaining", "changed", "describe_saliency"]

TARGETS = ("predicted", "label", "channel")
"""What is explained, where it is no class by its index."""

# Passes of one input: where there are no more, to look after the model at each step costs more.
_AT_ONCE = 4
_MOST_KEPT = 64
_MOST_VALUES = 4_000_000


@dataclass(frozen=True)
class Asked:
    """What a map is asked for with, checked; as a key, the same map is the same."""

    input: int
    target: str
    method: str
    layer: str
    channel: int
    side: str
    baseline: str
    settings: tuple[tuple[str, Any], ...]

    @classmethod
    def read(cls, params: Mapping[str, Any], sides: Mapping[str, nn.Module]) -> Asked:
        """Check the parameters of a request.

        Raises
        ------
        ArgumentError
            Naming what is wrong.
        """
        method = find_method(params["method"])
        try:
            settings = json.loads(params["settings"])
        except ValueError:
            settings = None
        if not isinstance(settings, dict):
            raise ArgumentError("settings must be a JSON object of the method's parameters.")
        values = method.values(cast("dict[str, Any]", settings))
        target, side = params["target"], params["side"]
        if target not in TARGETS and not target.isdecimal():
            raise ArgumentError(
                f"target must be {', '.join(TARGETS)} or the index of a class, not {target!r}."
                f"{nearest(target, TARGETS)}"
            )
        if side not in sides:
            raise ArgumentError(f"side must be {' or '.join(sides)}, not {side!r}.")
        about_layer = method.takes_layer or target == "channel"
        return cls(
            params["input"],
            target,
            method.name,
            params["layer"] if about_layer else "",
            params["channel"] if target == "channel" else -1,
            side,
            (params["baseline"] or BASELINES[0]) if method.takes_baseline else "",
            tuple(sorted(values.items())),
        )


@dataclass
class _Kept:
    """A map, with what the front end asked for it with."""

    params: dict[str, Any]
    saliency: Saliency
    # weak: it need not outlive the weights
    model: weakref.ref[nn.Module]


@dataclass
class Explaining:
    """The maps computed so far, and those under way.

    Attributes
    ----------
    strip
        The inputs.
    """

    kinds: ClassVar[tuple[str, ...]] = ("preflight", "saliency", "agreement", "sanity")

    strip: Strip
    kept: dict[Asked, _Kept] = field(default_factory=dict[Asked, _Kept])
    _warm: bool = False
    _replies: dict[tuple[str, str], Answer] = field(default_factory=dict[tuple[str, str], Answer])

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Answer a request of one of `kinds`."""
        answers = {
            "preflight": self._preflight,
            "saliency": self._saliency,
            "agreement": self._agreement,
            "sanity": self._sanity,
        }
        answer = yield from answers[kind](params, progress)
        if kind != "saliency":
            self._replies[kind, _text(params)] = answer
        return answer

    def warm_up(self) -> None:
        """Import, while there is nothing to do, what the first map would wait for."""
        if not self._warm and self.strip.sources.inputs is not None:
            self._warm = True
            warm_up()

    def forget(self) -> None:
        """Forget what was computed: the weights have changed."""
        self.kept.clear()
        self._replies.clear()

    def result(self, chosen: Any) -> Saliency:
        """Give the map of what is chosen in a Lens, computed now where it is not kept.

        Parameters
        ----------
        chosen
            Has the traits that say what is explained: `input_index`, `target`, `method`, ...
        """
        of_channel = chosen.target == "channel" and chosen.channel is not None
        target = "predicted" if chosen.target == "channel" and not of_channel else chosen.target
        params = {
            "input": chosen.input_index,
            "target": str(target),
            "method": chosen.method,
            "layer": chosen.layer,
            "channel": chosen.channel if of_channel else -1,
            "side": "model",
            "baseline": chosen.baseline,
            "settings": json.dumps(chosen.method_settings.get(chosen.method, {})),
        }
        asked = Asked.read(params, self.strip.sources.sides)
        model = self.strip.snapshots.of(asked.side)
        known = self.kept.get(asked)
        if known is not None and known.model() is model:
            return known.saliency
        return attribute(model, **self._arguments(asked))

    def answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give each answer that is kept: its kind, what asks for it, and itself."""
        for one in self.kept.values():
            yield "saliency", one.params, _reply(one.params, one.saliency)
        for (kind, text), answer in self._replies.items():
            yield kind, json.loads(text), answer

    # -- answers ---------------------------------------------------------------------------

    def _preflight(self, params: Mapping[str, Any], progress: Progress) -> Steps:
        sources = self.strip.sources
        yield from self._read(0)
        header: dict[str, Any] = {"layer": params["layer"]}
        for side in sources.sides:
            x, model = self.strip.held.one(0), self.strip.snapshots.of(side)
            try:
                layer = sources.layer_of(side, params["layer"])
                found = preflight(model, x, layer=layer, forward=sources.forward)
            except UnknownLayerError as error:  # a reference may have other layers
                found = preflight(model, x, forward=sources.forward)
                about = [name for name, method in METHODS.items() if method.takes_layer]
                found |= dict.fromkeys(about, str(error))
            header[side] = found
            yield
        return header, {}

    def _saliency(self, params: Mapping[str, Any], progress: Progress) -> Steps:
        asked = Asked.read(params, self.strip.sources.sides)
        yield from self._read(asked.input)
        model = self.strip.snapshots.of(asked.side)
        known = self.kept.get(asked)
        if known is None or known.model() is not model:
            run = Attribution(model, **self._arguments(asked))
            yield from _run(run, METHODS[asked.method].title, progress)
            known = _Kept(dict(params), run.result(), weakref.ref(model))
            self._keep(asked, known)
        return _reply(params, known.saliency)

    def _keep(self, asked: Asked, known: _Kept) -> None:
        self.kept.pop(asked, None)
        self.kept[asked] = known
        while len(self.kept) > _MOST_KEPT:
            del self.kept[next(iter(self.kept))]

    def _agreement(self, params: Mapping[str, Any], progress: Progress) -> Steps:
        found = [self._found(one) for one in _listed(params["saliencies"])]
        pairs: list[dict[str, Any]] = []
        for j in range(len(found)):
            for i in range(j):
                alike = agreement(found[i], found[j])
                pairs.append(
                    {
                        "first": i,
                        "second": j,
                        "rank_correlation": float(alike.rank_correlation[0]),
                        "ssim": float(alike.ssim[0]),
                        "cosine": float(alike.cosine[0]),
                    }
                )
                yield
        return {"pairs": pairs}, {}

    def _found(self, params: Mapping[str, Any]) -> Saliency:
        known = self.kept.get(Asked.read(params, self.strip.sources.sides))
        if known is None:
            raise ArgumentError("The maps to compare are not there any more: compute them again.")
        return known.saliency

    def _sanity(self, params: Mapping[str, Any], progress: Progress) -> Steps:
        asked = Asked.read(params, self.strip.sources.sides)
        yield from self._read(asked.input)
        run = SanityCheck(self.strip.snapshots.of(asked.side), **self._arguments(asked))
        steps = run.steps()
        try:
            for done, total in steps:
                told = {"done": done, "total": total, "label": "sanity check"}
                progress({**params, **told, **_so_far(run)}, {})
                yield
        finally:
            steps.close()
        found = run.result()
        verdict = found.verdict[0].upper() + found.verdict[1:] + "."
        told = {"done": run.total, "total": run.total}
        return {**params, **told, **_so_far(run), "verdict": verdict, "passes": found.passed}, {}

    # -- what a method is called with -------------------------------------------------------

    def _read(self, index: int) -> Iterator[None]:
        held = self.strip.held
        while held.given <= index and held.read():
            yield
        held.check(index)

    def _arguments(self, asked: Asked) -> dict[str, Any]:
        one = self.strip.held.one(asked.input)
        label = self.strip.held.label(asked.input)
        target: Any = int(asked.target) if asked.target.isdecimal() else asked.target
        if target == "label" and label is None:
            raise ArgumentError(
                f"The true class of input {asked.input} is not known: "
                "make the Lens with labels=, the class of each input."
            )
        found: dict[str, Any] = {
            "inputs": one,
            "target": None if target == "channel" else target,
            "method": asked.method,
            "layer": self.strip.sources.layer_of(asked.side, asked.layer) or None,
            "channel": asked.channel if asked.channel >= 0 else None,
            "labels": None if label is None else [label],
            "forward": self.strip.sources.forward,
            **dict(asked.settings),
        }
        return found | ({"baseline": asked.baseline} if asked.baseline else {})


def _run(run: Attribution, label: str, progress: Progress) -> Iterator[None]:
    """Run an attribution: a short one in one go, a long one step by step."""
    if run.total <= _AT_ONCE:
        with run.held():
            for _ in run.steps():
                pass
        yield
        return
    steps = run.steps()
    try:
        for done, total in steps:
            progress({"done": done, "total": total, "label": label}, {})
            yield
    finally:
        steps.close()


def changed(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those parameters of a method that differ from their defaults, sorted by name.

    Raises
    ------
    ArgumentError
        Where one is none of the method's, or has a value that it does not take.
    """
    declared = find_method(method)
    return parameters.changed(declared.parameters, declared.values(given))


def describe_saliency() -> dict[str, Any]:
    """Describe methods, baselines and scales of pixels for the front end's menus and forms."""
    return {
        "methods": [method.to_json() for method in METHODS.values()],
        "baselines": list(BASELINES),
        "scales": [
            {"name": name, "mean": list(mean), "std": list(std)}
            for name, (mean, std) in SCALES.items()
        ],
    }


def _reply(params: Mapping[str, Any], saliency: Saliency) -> Answer:
    values = saliency.upsampled[0]
    notes = list(saliency.notes)
    if values.ndim == 3 and values.size > _MOST_VALUES and len(values) > 1:
        values = values.sum(0, keepdims=True, dtype=np.float32)
        notes.append("the channels of this large input are summed up")
    header = {
        **params,
        "done": 1,
        "total": 1,
        "shape": list(values.shape),
        "explained": None if saliency.target is None else int(saliency.target[0]),
        "predicted": None if saliency.predicted is None else int(saliency.predicted[0]),
        "probability": None if saliency.probability is None else float(saliency.probability[0]),
        "missing": _missing(saliency),
        "notes": notes,
    }
    return header, {"values": values.astype(np.float32)}


def _missing(saliency: Saliency) -> float | None:
    """Give what a map has too much of what it should add up to, as a share of that."""
    if saliency.delta is None:
        return None
    over = float(saliency.delta[0])
    whole = float(saliency.values[0].sum(dtype=np.float64)) - over
    return over / whole if abs(whole) > 1e-6 else None


def _so_far(run: SanityCheck) -> dict[str, Any]:
    """Give what of a sanity check there is."""
    try:
        found = run.result()
    except Cancelled:
        return {"layers": [], "rank_correlation": [], "verdict": "", "passes": None}
    left = [float(one) for one in found.rank_correlation[:, 0]]
    return {"layers": list(found.layers), "rank_correlation": left, "verdict": "", "passes": None}


def _listed(text: str) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    names = {*Asked.__dataclass_fields__}
    good = isinstance(found, list) and all(
        isinstance(one, dict) and set(cast("dict[str, Any]", one)) == names
        for one in cast("list[Any]", found)
    )
    if not good:
        raise ArgumentError(
            "saliencies must be a JSON list of what maps were asked for with: "
            f"{', '.join(sorted(names))} each."
        )
    return cast("list[Mapping[str, Any]]", found)


def _text(params: Mapping[str, Any]) -> str:
    return json.dumps(params, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
