"""What compression did, in a Lens: a report that fills in, is stopped and is resumed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from torch import nn

from convlens.activations import untouched
from convlens.compression import Assessment, CompressionReport, report
from convlens.compression.scales import Scales, scales_of
from convlens.compression.sizes import packed_size
from convlens.errors import ArgumentError, ConvlensError, UnknownLayerError, nearest
from convlens.layers import find_layers
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Steps
from convlens.widget.flipped import MOST, Flipped
from convlens.widget.reporting import RANKINGS, describe_rankings, said
from convlens.widget.sources import Sources
from convlens.widget.strip import Strip

__all__ = ["AFTER", "RANKINGS", "Compressing", "describe_compression"]

AFTER = ("auto", "model", "reference")
"""Which of the two models is the compressed one; "auto": the one that takes fewer bytes."""

# the whole goes over the wire each time: seldom enough to leave the worker its time
_TELL_EVERY = 0.3


@dataclass
class _Run:
    """A report under way, and its flipped inputs."""

    assessment: Assessment
    flipped: Flipped


@dataclass
class Compressing:
    """The reports made so far, each kept so that it can be resumed."""

    kinds: ClassVar[tuple[str, ...]] = (
        "compression",
        "compression_known",
        "compression_flips",
        "compression_scales",
    )

    sources: Sources
    strip: Strip
    kept: dict[str, _Run] = field(default_factory=dict[str, _Run])
    _smaller: str | None = None
    _pages: dict[tuple[str, int], Answer] = field(default_factory=dict[tuple[str, int], Answer])
    _scales: dict[tuple[str, str], Answer] = field(default_factory=dict[tuple[str, str], Answer])

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Answer a request of one of `kinds`."""
        if kind == "compression_scales":
            yield
            return self._answer_scales(params)
        _check(self.sources, params["after"])
        after = self._after(params["after"])
        yield
        if kind == "compression_flips":
            return (yield from self._answer_flips(params, after))
        if kind == "compression_known":
            known = self.kept.get(after)
            if known is None or not known.assessment.done:
                return {**params, "found": False, "side": after}, {}
            header, arrays = self._reply(after, params)
            return {"found": True, **header}, arrays
        return (yield from self._run(params, after, progress))

    def result(self, chosen: Any) -> CompressionReport:
        """Give what was computed last for what is chosen in a Lens, or compute it now."""
        _check(self.sources, chosen.compression_after)
        after = self._after(chosen.compression_after)
        known = self.kept.get(after)
        if known is not None and known.assessment.done:
            return known.assessment.result()
        sources = self.sources
        both = sources.sides
        inputs, labels = sources.inputs, sources.labels
        return report(both[after], both[_other(after)], inputs, labels, **self._how(after))

    def answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give what is kept: reports, flipped inputs, scales."""
        for after, run in self.kept.items():
            names = [after] if self._smaller != after else [after, "auto"]
            for name in names if run.assessment.done else []:
                yield "compression", {"after": name}, self._reply(after, {"after": name})
                for (side, start), (header, arrays) in self._pages.items():
                    if side == after:
                        asked = {"after": name, "start": start}
                        yield "compression_flips", asked, ({**header, **asked}, arrays)
        for (model, reference), answer in self._scales.items():
            yield "compression_scales", {"model": model, "reference": reference}, answer

    def forget(self) -> None:
        """Forget what was computed: the weights have changed."""
        self.kept.clear()
        self._pages.clear()
        self._scales.clear()
        self._smaller = None

    # -- the report ------------------------------------------------------------------------

    def _after(self, asked: str) -> str:
        """Say which of the two is the compressed one: where it is not said, the smaller."""
        if asked != "auto":
            return asked
        if self._smaller is None:
            sizes: dict[str, float] = {}
            for side, model in self.sources.sides.items():
                layers = find_layers(model)
                sizes[side] = packed_size(layers.model, layers)
            smaller = sizes["reference"] < 0.99 * sizes["model"]
            self._smaller = "reference" if smaller else "model"
        return self._smaller

    def _how(self, after: str) -> dict[str, Any]:
        titles = dict(zip(self.sources.sides, self.sources.titles, strict=True))
        return {
            "forward": self.sources.forward,
            "inputs_from": self.sources.inputs_from,
            "titles": (titles[after], titles[_other(after)]),
        }

    def _run(self, params: Mapping[str, Any], after: str, progress: Progress) -> Steps:
        """Advance a report to its end, one step at a time, from where it was stopped."""
        run = self.kept.get(after)
        if run is None:
            flipped = Flipped(self.strip)
            of = self.strip.snapshots.of
            assessment = Assessment(
                of(after),
                of(_other(after)),
                flipped.inputs,
                self.sources.labels,
                **self._how(after),
            )
            run = self.kept[after] = _Run(assessment, flipped)
        assessment, told = run.assessment, 0.0
        try:
            while self._step(run):
                header: dict[str, Any] = {
                    "done": assessment.done,
                    "total": assessment.total,
                    "label": _doing(assessment),
                }
                arrays: Mapping[str, npt.NDArray[Any]] = {}
                if time.monotonic() - told > _TELL_EVERY:
                    header, arrays = self._reply(after, params)
                    told = time.monotonic()
                progress(header, arrays)
                yield
        except Exception:
            # what follows a batch that failed is not the report that was asked for
            self.kept.pop(after, None)
            raise
        return self._reply(after, params)

    def _step(self, run: _Run) -> bool:
        # what a loader draws from random generators is the caller's to keep
        with untouched(nn.Identity()):
            goes_on = run.assessment.step()
        if run.assessment.phase != "weights" and goes_on:
            run.flipped.see(run.assessment)
        return goes_on

    def _reply(self, after: str, params: Mapping[str, Any]) -> Answer:
        assessment = self.kept[after].assessment
        found = assessment.result()
        header = {
            **params,
            "side": after,
            "done": assessment.done,
            "total": assessment.total,
            "label": _doing(assessment),
            **said(found, after),
        }
        flips = [
            [f.index, f.before, f.after, -1 if f.label is None else f.label] for f in found.flips
        ]
        return header, {"flips": np.array(flips, dtype=np.int32).reshape(-1, 4)}

    # -- beside it -------------------------------------------------------------------------

    def _answer_flips(self, params: Mapping[str, Any], after: str) -> Steps:
        run, start = self.kept.get(after), params["start"]
        flips = run.assessment.result().flips if run is not None and run.assessment.done else ()
        if run is None or start >= len(flips):
            raise ArgumentError(f"start must be below {len(flips)}, the inputs that flipped.")
        header, arrays = yield from run.flipped.page(flips, start)
        answer = {**params, **header}, arrays
        if start < MOST:
            self._pages[after, start] = answer
        return answer

    def _answer_scales(self, params: Mapping[str, Any]) -> Answer:
        """Give the grids that a layer and its counterpart stand on."""
        header: dict[str, Any] = dict(params)
        arrays: dict[str, npt.NDArray[Any]] = {}
        for side, model in self.sources.sides.items():
            scales = None
            try:
                scales = _read(model, params[side]) if params[side] else None
                why = None if scales else "not quantised, or in a way that has no scales to read"
            except ConvlensError as error:
                why = str(error)
            header[f"{side}_grid"] = {"reason": why, **_grid(scales)}
            if scales is not None:
                flat = scales.integers.reshape(len(scales.scales), -1)
                arrays[f"{side}_scales"] = scales.scales.astype(np.float32)
                arrays[f"{side}_zeros"] = scales.zero_points.astype(np.int32)
                arrays[f"{side}_span"] = np.stack([flat.min(1), flat.max(1)], 1).astype(np.int32)
        self._scales[params["model"], params["reference"]] = header, arrays
        return header, arrays


def describe_compression(sources: Sources) -> dict[str, Any]:
    """Describe for the front end what layers can be ranked by, or what a report would need."""
    return {"missing": _missing(sources), **describe_rankings()}


def _missing(sources: Sources) -> dict[str, Any] | None:
    """Say how a Lens comes to have a report; None where it can."""
    title, lens = sources.titles[0], "cl.Lens(small, inputs=images, labels=y, reference=original)"
    if sources.reference is None:
        return {
            "title": "Compression needs a second network",
            "text": f"Give the Lens of {title} the same network before it was pruned, quantised or "
            "fine-tuned, or after, and inputs to run both on. To make one, and to look at it:",
            "code": [
                "small = cl.compression.quantize(original, images, bits=8)",
                "small = cl.compression.prune(original, 0.5)",
                lens,
            ],
        }
    if sources.inputs is None:
        return {
            "title": "Compression needs inputs",
            "text": f"What each layer of {title} costs is seen on inputs. Give the Lens a batch or "
            "a loader, with labels where there are any:",
            "code": [lens],
        }
    return None


def _check(sources: Sources, after: str) -> None:
    if sources.reference is None or sources.inputs is None:
        raise ArgumentError(
            "This Lens has nothing to report on compression: give it inputs= and reference=, "
            "the network before or after it was compressed."
        )
    if after not in AFTER:
        raise ArgumentError(
            f"compression_after must be one of {', '.join(AFTER)}, not {after!r}."
            f"{nearest(after, AFTER)}"
        )


def _other(side: str) -> str:
    return "reference" if side == "model" else "model"


def _doing(assessment: Assessment) -> str:
    label = assessment.label
    alone = assessment.phase in ("isolated", "") and not label.startswith("batch ")
    return f"{label} alone" if alone and label != "reference" else label


def _read(model: nn.Module, key: str) -> Scales | None:
    layers = find_layers(model)
    try:
        layer = layers[key]
    except UnknownLayerError:  # found without running the model, layers have no calls
        layer = layers[re.sub(r":\d+$", "", key)]
    return scales_of(layer, layers.model)


def _grid(scales: Scales | None) -> dict[str, Any]:
    if scales is None:
        return {}
    return {
        "key": scales.key,
        "bits": scales.bits,
        "per_channel": scales.per_channel,
        "input": None if scales.input_grid is None else list(scales.input_grid),
    }
