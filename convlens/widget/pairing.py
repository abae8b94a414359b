"""The layers of the reference beside those of the model: which is which, and what it holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from convlens.activations import untouched
from convlens.compression.fusion import find_norms, norm_scale, sites_of
from convlens.compression.matching import Pair, match_layers
from convlens.errors import ArgumentError, ConvlensError
from convlens.filters import Filters, filters_of
from convlens.layers import Layer, Layers, find_layers
from convlens.similarity.batches import Batch
from convlens.widget import answers
from convlens.widget.analysis import Progress
from convlens.widget.answers import Answer, Measured, Steps
from convlens.widget.sources import Sources, call_on_part
from convlens.widget.strip import Strip
from convlens.widget.structure import in_known_order
from convlens.widget.watch import fingerprint

__all__ = ["Paired", "Pairing"]

_FEW = 4  # inputs to see the order of calls by
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# of a row: what only the chosen layer of the model shows
_LONG = ("verdict", "explained_variance", "orthogonality", "orthogonality_excluded", "p_random")

# and what a notebook keeps of it: bars and marks without a kernel
_SAVED = (
    *("key", "n", "eps", "sparsity", "variance_entropy", "variance_entropy_normalized"),
    *("variance_entropy_clean_normalized", "entropy_of_random", "max_abs", "reason", "omitted"),
)


@dataclass(frozen=True)
class _Partners:
    """The layers of the reference by the model's keys, in the model's terms."""

    by_key: Mapping[str, Layer]
    how: Mapping[str, str]
    folded: Mapping[str, str]
    alone: tuple[str, ...]
    measured: Measured


class Pairing:
    """Answers for the reference what the Lens answers for the model, by the model's layers.

    Layers are matched as `convlens.compression.report` matches them. Where one of the two has a
    batch norm folded into its weight and the other has not, the reference's weight is scaled so
    that both are of the same form; that takes inputs to see which norm follows which layer.

    Parameters
    ----------
    sources
        What the Lens was given.
    strip
        Its inputs, and copies of its models to run.
    layers : callable() -> Layers
        The layers of the model.
    keep : callable(dict)
        Takes what a saved notebook keeps of the rows.
    """

    kinds: ClassVar[tuple[str, ...]] = (
        "reference",
        "reference_pairs",
        "reference_distribution",
        "reference_filters",
    )

    def __init__(
        self,
        sources: Sources,
        strip: Strip,
        layers: Callable[[], Layers],
        keep: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._sources, self._strip, self._layers, self._keep = sources, strip, layers, keep
        self._partners: _Partners | None = None
        self._mark: object = None

    # -- an analysis -----------------------------------------------------------------------

    def answer(self, kind: str, params: Mapping[str, Any], progress: Progress) -> Steps:
        """Answer a request of one of `kinds`."""
        partners = yield from self._matched()
        if kind == "reference_pairs":
            return _pairs(partners), {}
        if kind == "reference":
            header, arrays = yield from self._quality(partners, params["eps"], progress)
            if partners is self._partners:
                rows = [_short(row) for row in header["rows"]]
                self._keep({**header, **_pairs(partners), "rows": rows})
            return header, arrays
        key = str(params["layer"])
        layer = self._partner(partners, key)
        if kind == "reference_distribution":
            header, arrays = yield from answers.distribution(layer)
        else:
            header, arrays = yield from answers.filters(partners.measured, layer, params["start"])
        return {**header, "layer": key}, arrays

    def answers(self) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give nothing: what a page holds of the reference is limited, see `pages`."""
        yield from ()

    def forget(self) -> None:
        """Forget what was read: weights have changed."""
        self._partners = None

    def result(self, chosen: Any) -> Filters:
        """Give the filters of the reference's layer that is matched with the chosen one."""
        return filters_of(self._partner(answers.finish(self._matched()), chosen.layer))

    # -- what else a Lens asks ---------------------------------------------------------------

    @property
    def there(self) -> bool:
        """Whether the Lens has a reference."""
        return self._sources.reference is not None

    def key_of(self, key: str) -> str | None:
        """Give the key in the reference of a layer of the model; None where there is none."""
        layer = answers.finish(self._matched()).by_key.get(key) if self.there else None
        return None if layer is None else layer.key

    def changed(self) -> bool:
        """Say whether the reference's weights are other ones than those read."""
        partners = self._partners
        return partners is not None and self._mark != _mark_of(partners)

    def weights(self, key: str) -> int:
        """Count the weights that the partner of a layer has; 0 where there is none to show."""
        layer = answers.finish(self._matched()).by_key.get(key)
        return 0 if layer is None or layer.reason else math.prod(layer.shape)

    def recorded(self, key: str, *, filters: bool) -> Iterator[tuple[str, dict[str, Any], Answer]]:
        """Give each answer on a layer's partner, for a page that works offline."""
        if self.weights(key) == 0:
            return
        yield self._recorded("reference_distribution", {"layer": key})
        start, stop = 0, 1
        while filters and start < stop:
            found = self._recorded("reference_filters", {"layer": key, "start": start})
            yield found
            start, stop = found[2][0]["stop"], found[2][0]["out"]

    def _recorded(self, kind: str, asked: dict[str, Any]) -> tuple[str, dict[str, Any], Answer]:
        return kind, asked, answers.finish(self.answer(kind, asked, _silent))

    def summary(self, eps: float) -> dict[str, Any]:
        """Give all rows, and which layer is which."""
        partners = answers.finish(self._matched())
        return {**answers.finish(self._quality(partners, eps, _silent))[0], **_pairs(partners)}

    # -- matching ----------------------------------------------------------------------------

    def _matched(self) -> Generator[None, None, _Partners]:
        if self._partners is None:
            if self._sources.reference is None:
                raise ArgumentError(
                    "This Lens has no reference: make it with Lens(model, reference=other)."
                )
            mine, theirs = self._layers(), find_layers(self._sources.reference)
            yield
            found = match_layers(mine, theirs)
            scales: dict[str, tuple[Tensor, str]] = {}
            unlike = [*found.only_model, *found.only_reference]
            unlike += [pair.layer for pair in found.pairs if pair.how == "order"]
            if self._sources.inputs is not None and (unlike or self._folded()):
                # where they cannot be run side by side, names and shapes are what there is
                with suppress(ConvlensError):
                    theirs, scales = yield from self._run(mine, theirs)
                    found = match_layers(mine, theirs)
            shown = {
                pair.layer.key: _in_terms_of(pair.reference, *scales[pair.layer.key])
                if pair.layer.key in scales
                else pair.reference
                for pair in found.pairs
            }
            layers = Layers(theirs.model, dict.fromkeys(shown.values()))
            self._partners = _Partners(
                shown,
                {pair.layer.key: pair.how for pair in found.pairs},
                {key: words for key, (_, words) in scales.items()},
                tuple(layer.key for layer in found.only_reference),
                Measured(layers),
            )
            self._mark = _mark_of(self._partners)
        return self._partners

    def _folded(self) -> bool:
        """Whether one of the two has batch norms that the other has not."""
        counts = [
            Counter(isinstance(m, _NORMS) for m in model.modules())[True]
            for model in self._sources.sides.values()
        ]
        return counts[0] != counts[1]

    def _run(
        self, mine: Layers, theirs: Layers
    ) -> Generator[None, None, tuple[Layers, dict[str, tuple[Tensor, str]]]]:
        """Run copies of both on a few inputs: the order of calls, and which norm follows what."""
        held, sources = self._strip.held, self._sources
        if not held.given:
            held.read()
            yield
        inputs, drawn = held.few(_FEW)
        both = {side: self._strip.snapshots.of(side) for side in sources.sides}
        yield
        forward = call_on_part(sources.forward, None)
        layers: dict[str, Layers] = {}
        for side, model in both.items():
            with untouched(model):
                layers[side] = find_layers(model, [inputs] if drawn else inputs, forward)
            yield
        found = match_layers(in_known_order(layers["model"], mine), layers["reference"])
        batch = Batch(inputs, inputs, _FEW, drawn)
        norms = {
            side: find_norms(model, layers[side], batch, sources.forward)
            for side, model in both.items()
        }
        yield
        turned = [Pair(pair.reference, pair.layer, pair.how) for pair in found.pairs]
        scales: dict[str, tuple[Tensor, str]] = {}
        into = sites_of(found.pairs, norms["model"], norms["reference"])
        out_of = sites_of(turned, norms["reference"], norms["model"])
        for pair, folded, unfolded in zip(found.pairs, into, out_of, strict=True):
            norm = folded.norm or unfolded.norm
            scale = None if norm is None else norm_scale(norm)
            if scale is None:
                continue
            if folded.norm is None:
                scale = torch.where(scale == 0, 0, 1 / scale)
            words = "folded in, as the model has it" if folded.norm else "taken out of it"
            scales[pair.layer.key] = scale, f"batch norm {words}"
        return in_known_order(theirs, layers["reference"]), scales

    def _partner(self, partners: _Partners, key: str) -> Layer:
        layer = partners.by_key.get(self._layers()[key].key)
        if layer is None:
            title = self._sources.titles[1]
            raise ArgumentError(f"{key} has no counterpart in {title}.")
        return layer

    # -- quality -----------------------------------------------------------------------------

    def _quality(self, partners: _Partners, eps: float, progress: Progress) -> Steps:
        owners: dict[str, list[str]] = {}
        for key, layer in partners.by_key.items():
            owners.setdefault(layer.key, []).append(key)

        def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [
                {**{k: v for k, v in row.items() if k not in _LONG}, "key": key}
                for row in found
                for key in owners[row["key"]]
            ]

        def tell(done: int, total: int, label: str, header: dict[str, Any]) -> None:
            header = {"done": done, "total": total, "label": label, **header}
            progress({**header, "rows": rows(header["rows"])}, {})

        if not partners.by_key:
            return {"eps": eps, "rows": []}, {}
        header, arrays = yield from answers.quality(partners.measured, eps, tell)
        return {"eps": eps, "rows": rows(header["rows"])}, arrays


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give of a row what a notebook keeps; the counts at each eps are for a kernel to give."""
    kept = {name: row[name] for name in _SAVED}
    rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in kept.items()}
    return {**rounded, "curve": []}


def _pairs(partners: _Partners) -> dict[str, Any]:
    """Say which layer is which."""
    pairs = [
        {
            "layer": key,
            "reference": layer.key,
            "how": partners.how[key],
            "folded": partners.folded.get(key, ""),
            "shape": list(layer.shape),
            "reason": layer.reason,
        }
        for key, layer in partners.by_key.items()
    ]
    return {"pairs": pairs, "alone": list(partners.alone)}


class Paired:
    """A widget that shows a reference beside its model.

    Attributes
    ----------
    pairing
        What is known of the reference, layer by layer.
    """

    pairing: Pairing

    def reference_filters(self) -> Filters:
        """Give the reference's filters that are shown beside those of the chosen layer.

        They are what ``read_filters(reference, layer)`` gives of the layer that is matched with the
        chosen one, scaled where only one of the two models has a batch norm folded into its weight.

        Returns
        -------
        Filters

        Raises
        ------
        ArgumentError
            Where there is no reference, or no such layer in it.

        Examples
        --------
        >>> from convlens import Lens, demo
        >>> lens = Lens(demo.load().model, reference=demo.load("redundant").model)
        >>> lens.reference_filters().weights.shape
        (12, 1, 3, 3)
        >>> lens.close()
        """
        self._open()
        return self.pairing.result(self)

    def _open(self) -> nn.Module:
        raise NotImplementedError


def _in_terms_of(layer: Layer, scale: Tensor, words: str) -> Layer:
    """Give a layer whose outputs are scaled as the other model's batch norm does it."""

    def read() -> Tensor:
        weight = layer.weight()
        weight = weight if weight.is_floating_point() else weight.float()
        by = scale.to(weight.device, torch.float32).reshape(-1, *[1] * (weight.dim() - 1))
        return (weight.float() * by).to(weight.dtype)

    return replace(layer, notes=(*layer.notes, words), _read=read)


def _mark_of(partners: _Partners) -> tuple[object, ...]:
    return fingerprint(layer.module for layer in partners.by_key.values())


def _silent(header: dict[str, Any], arrays: answers.Arrays) -> None:
    """Tell nobody about progress."""
