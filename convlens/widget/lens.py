"""The Lens: a model in a notebook cell."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from convlens.errors import nearest
from convlens.filters import read_filters
from convlens.layers import Layers, find_layers
from convlens.quality import measure_quality
from convlens.widget import answers
from convlens.widget.analysis import Analysis, Result, while_current
from convlens.widget.bundle import module, style
from convlens.widget.code import names_of
from convlens.widget.comparing import Comparing
from convlens.widget.compressing import Compressing
from convlens.widget.drifting import Drifting, check_database
from convlens.widget.encoding import encode
from convlens.widget.explaining import Explaining
from convlens.widget.following import Following
from convlens.widget.jobs import Worker, model_lock
from convlens.widget.maximising import Maximising
from convlens.widget.pairing import Paired, Pairing
from convlens.widget.protocol import Request
from convlens.widget.recalling import Recalling
from convlens.widget.selection import SELECTION, ArgumentError, ClosedLensError
from convlens.widget.sources import (
    Sources,
    call_on_part,
    check_classes,
    check_labels,
    titles_of,
)
from convlens.widget.strip import Strip
from convlens.widget.structure import describe, first_scored, in_known_order
from convlens.widget.watch import fingerprint

if TYPE_CHECKING:
    from os import PathLike

_ARGUMENTS = (
    *("inputs", "reference", "reference_inputs", "forward", "inputs_from", "labels", "classes"),
    *("name", "reference_name", "blocking", "database"),
)


class Lens(Following, Paired):
    """Look into a model: its layers, their quality and their filters.

    Put it on the last line of a cell. Every click is readable from the next cell
    (``lens.layer``), and every figure is also a plain call (``lens.result()``).

    Parameters
    ----------
    model : torch.nn.Module
        Any `torch.nn.Module`; wrappers (DataParallel, `torch.compile`) are unwrapped and the
        header says so. It is left as found.
    inputs : optional
        A batch, or an iterable of batches: layers are listed in the order in which the first calls
        them, else in that of ``model.modules()``. The strip reads up to 2,048 inputs or 256 MB;
        Similarity and Compression read all.
    reference : torch.nn.Module, optional
        A model to compare with: every view can show both, layer by layer.
    reference_inputs : as `inputs`, optional
        Other data to compare `inputs` with, in batches of the same sizes.
    forward : callable(model, inputs), optional
        ``forward(model, inputs)``, where calling ``model(inputs)`` is not right.
    inputs_from : callable, str or int, optional
        What the model takes of a batch: a callable, a key or an index.
    labels : sequence of int, optional
        The true class of each input; by default those that a loader gives with its images.
    classes : sequence of str, optional
        Names of the classes, by index.
    mean, std : float or sequence of float, optional
        How pixels became inputs, ``(pixel - mean) / std`` with pixels from 0 to 1: inputs are
        shown in these colours. By default what fits the inputs, which the view says and lets you
        change; an attribute too.
    database : path, FilterDB or Summary, optional
        Filters of many models, to compare this one's with in the Drift view; see
        `convlens.filterdb`. Without, there is the summary that ships.
    name, reference_name : str, optional
        Titles; by default the classes of the models.
    eps : float, default 0.01
        A filter is sparse when all its weights stay below this share of the layer's largest;
        0 < eps < 1.
    layer, channel, view, sort, scale, entropy, measure, measure_settings, comparison, layer_set, \
fit : optional
        What is selected at first. Each is an attribute too, readable after a click and settable
        from a cell: `layer` is a key of ``lens.layers``; `channel` an output of that layer or None;
        `view` is "quality", "filters", "saliency", "features", "similarity", "drift" or
        "compression"; `sort` "position", "norm", "entropy" or "cluster"; `scale`, by which filters
        are normalised, "filter", "layer" or "model"; `paired`, whose filters are shown, "model",
        "reference", "side by side" or "difference"; `entropy` "normalized", "raw" or "clean".
        `measure` is one of ``convlens.similarity.MEASURES`` and `measure_settings` maps its
        parameters to values other than the defaults; `comparison` "self", "inputs" or "reference",
        by default the last that can be made; `reference_layer` is the column looked at in the
        Similarity view, or None; `layer_set` "convs" or "all"; `fit` says whether colours span the
        values instead of [0, 1]. `input_index` is the place of an input, `target` a class,
        "predicted", "label" or "channel"; `methods`, of ``convlens.saliency.METHODS``, are those
        whose maps are shown, `method` the one looked at, `method_settings` maps methods to their
        parameters, and `baseline` is as in ``attribute``. `feature_steps`, `feature_seed` and
        `feature_size` are those of ``visualize_features``. `drift_against` is "shipped", "database"
        or "reference", `drift_group` as in ``filterdb.drift``. `compression_by` ranks layers as in
        ``CompressionReport.ranking``, `compression_after` is "model", "reference" or "auto", the
        smaller. `step`, set from a cell only (there are no snapshots at first), is the step or
        label of a snapshot, whose figures the Quality view shows, or None for the weights as they
        are now.
    blocking : bool, optional
        Measure inside the click's handler instead of on a worker thread; the default is True on
        Colab, which does not show what a thread sends, and False elsewhere.

    Raises
    ------
    ModelError
        Where `model` is not a module, or has no weights.
    ArgumentError, UnknownLayerError
        Naming the argument and the nearest valid choice.

    Examples
    --------
    >>> from convlens import Lens, demo
    >>> lens = Lens(demo.load().model)
    >>> lens.view = "filters"
    >>> lens.close()
    """

    _esm = module()
    _css = style()

    # until the constructor is through: ipywidgets closes also what never came to be
    _model: nn.Module | None = None

    def __init__(
        self,
        model: nn.Module,
        inputs: object = None,
        reference: nn.Module | None = None,
        *,
        reference_inputs: object = None,
        forward: Callable[[nn.Module, Any], object] | None = None,
        inputs_from: Any = None,
        labels: Any = None,
        classes: Any = None,
        database: Any = None,
        name: str | None = None,
        reference_name: str | None = None,
        blocking: bool | None = None,
        **selection: Any,
    ) -> None:
        for given in selection:
            if given not in SELECTION:
                valid = (*_ARGUMENTS, *SELECTION)
                raise ArgumentError(f"Lens has no argument {given!r}.{nearest(given, valid)}")
        for argument, text in (("name", name), ("reference_name", reference_name)):
            if text is not None and not isinstance(text, str):
                raise ArgumentError(f"{argument} must be text, not a {type(text).__name__}.")
        self._inputs = inputs
        self._forward, self._inputs_from = forward, inputs_from
        self._call = call_on_part(forward, inputs_from)
        self._recalling = Recalling(lambda: self._recorder, lambda: self.step)
        given = (model, inputs, reference, reference_inputs, labels, database)
        self._names = names_of(*given)
        self._look_at(find_layers(model, inputs, self._call))
        titles = titles_of(self._measured.layers.model, reference, self._names)
        titles = (name or titles[0], reference_name or titles[1])
        sources = Sources(model, inputs, reference, reference_inputs, forward, inputs_from, titles)
        sources.labels, sources.classes = check_labels(labels, inputs), check_classes(classes)
        sources.database = check_database(database)
        self._strip = Strip(sources)
        self._explaining = Explaining(self._strip)
        self.pairing = Pairing(sources, self._strip, lambda: self._measured.layers, self._keep)
        sources.partner = self.pairing.key_of
        self._analyses: dict[str, Analysis] = {
            "saliency": self._explaining,
            "features": Maximising(sources, self._strip),
            "reference": self.pairing,
            "similarity": Comparing(sources, self._strip.snapshots),
            "drift": Drifting(sources, self._strip.snapshots, lambda: self._measured.layers),
            "compression": Compressing(sources, self._strip),
            "history": self._recalling,
        }
        if blocking is None:
            blocking = "google.colab" in sys.modules
        self._worker = Worker("convlens", self._notice_changes, blocking=blocking)
        self._model = model
        super().__init__(
            **{
                "layer": first_scored(self._measured.layers),
                "comparison": (sources.comparisons or ("self",))[-1],
                "drift_against": "shipped" if database is None else "database",
                **{name: value for name, value in selection.items() if value is not None},
            },
            _structure=self._described(),
        )
        self.on_msg(self._receive)

    # -- what is shown ---------------------------------------------------------------------

    @property
    def model(self) -> nn.Module:
        """The model, as it was given."""
        return self._open()

    @property
    def layers(self) -> Layers:
        """The layers as of the last `refresh`."""
        self._open()
        return self._measured.layers

    @property
    def input(self) -> Any:
        """The chosen input as the model takes it: a batch of one, also of a file dropped here."""
        with model_lock(self._open()):
            return self._strip.held.one(self.input_index)

    @property
    def database(self) -> Any:
        """The `FilterDB` or `Summary` that was given as `database`, opened; else None."""
        self._open()
        return self._strip.sources.database

    def result(self) -> Result:
        """Give the object behind the current view, as its plain call returns it.

        Returns
        -------
        Quality, Filters, Saliency, Features, Similarity, ModelDrift, CompressionReport or DataFrame
            ``measure_quality(model, eps=lens.eps)`` in the Quality view, or
            ``lens.history.at(lens.step)`` where a step is chosen;
            ``read_filters(model, lens.layer)`` in the Filters view, of the weights as they are
            now; in the Saliency view the map that is looked at; in the Features view what was
            synthesised for the chosen channel, or for all where none is; in the Similarity view
            what has been computed, or ``compare(model, inputs, ...)`` where nothing was; in the
            Drift view ``filterdb.drift(model, ...)``; in the Compression view the report.
        """
        model = self._open()
        with model_lock(model):
            if self.view in self._analyses:
                self._strip.mean, self._strip.std = self.mean, self.std
                return self._analyses[self.view].result(self)
            if self.view == "quality" and self.step is not None:
                return self._recalling.result(self)
            if self.view == "filters":
                return read_filters(model, self.layer, inputs=self._inputs, forward=self._call)
            return measure_quality(model, eps=self.eps, inputs=self._inputs, forward=self._call)

    def refresh(self) -> None:
        """Measure again: the weights, and the list of layers, as they are now."""
        model = self._open()
        with model_lock(model):
            self._renew(find_layers(model, self._inputs, self._call))

    def to_html(self, path: str | PathLike[str], *, max_mb: float = 8.0) -> Path:
        """Write one HTML file that works offline, with the same views.

        Parameters
        ----------
        path : str or path
            Where to write. A file there is replaced.
        max_mb : float, default 8
            Most megabytes of filters to put in, before compression: those of the selected layer
            first, then of the others in order while they fit. The page says which are left out.

        Returns
        -------
        Path
            The file written.
        """
        from convlens.widget.html import write_page

        self._open()
        return write_page(self, path, max_mb=max_mb)

    def close(self) -> None:
        """End the worker and let go of the model; the last picture stays."""
        if self.closed or self._model is None:
            return
        self._worker.close()
        self.set_trait("closed", True)
        self._keep_layout()
        self._model = self._inputs = self._forward = self._call = self._recorder = None
        del self._measured, self._strip, self._explaining, self.pairing, self._analyses

    def __repr__(self) -> str:
        if self._model is None:
            return "Lens(closed)"
        title = self._structure["model"]["title"]
        return f"Lens({title}, {len(self._measured.layers)} layers, layer={self.layer!r})"

    # -- work ------------------------------------------------------------------------------

    def _steps(self, request: Request) -> answers.Steps:
        measured, revision = self._measured, self.revision
        if request.kind == "refresh":
            # not on the inputs: the model may be training in a cell at this moment
            self._renew(in_known_order(find_layers(self.model), measured.layers))
            yield
            return {"revision": self.revision}, {}
        if request.kind == "quality":
            header, arrays = yield from self._quality(request, measured)
            return {**header, "revision": revision}, arrays
        for analysis in (self._strip, *self._analyses.values()):
            if request.kind in analysis.kinds:
                return (yield from self._analysed(request, analysis))
        layer = measured.layers[str(request.params["layer"])]
        if request.kind == "distribution":
            return (yield from answers.distribution(layer))
        params = {**request.params, "layer": layer}
        return (yield from answers.PAGES[request.kind](measured, **params))

    def _quality(self, request: Request, measured: answers.Measured) -> answers.Steps:
        def progress(done: int, total: int, label: str, header: dict[str, Any]) -> None:
            self._reply(
                request.id, "progress", {"done": done, "total": total, "label": label, **header}
            )

        header, arrays = yield from answers.quality(measured, request.params["eps"], progress)
        if measured is self._measured:
            rows = [{k: v for k, v in row.items() if k != "curve"} for row in header["rows"]]
            summary = {"eps": header["eps"], "revision": self.revision, "rows": rows}
            self._summary = encode(summary)[0]
        return header, arrays

    def _analysed(self, request: Request, analysis: Analysis | Strip) -> answers.Steps:
        """Have an analysis answer, with the revision of the weights."""

        def progress(header: dict[str, Any], arrays: answers.Arrays) -> None:
            self._reply(request.id, "progress", {**header, "revision": revision}, arrays)

        revision = self.revision
        self._strip.mean, self._strip.std = self.mean, self.std
        steps = analysis.answer(request.kind, request.params, progress)
        if analysis is not self._recalling:  # what was recorded stays what it was
            steps = while_current(steps, lambda: self.revision == revision)
        header, arrays = yield from steps
        return {**header, "revision": revision}, arrays

    def check_input(self, index: int) -> None:
        """Raise ArgumentError where it is known that there is no input `index`."""
        held = self._strip.held
        if held.total is not None and index:
            held.check(index)

    def check_drift(self, against: str, group: str) -> None:
        """Raise ArgumentError where there is no such thing to compare filters with."""
        cast("Drifting", self._analyses["drift"]).check(against, group)

    def computed(self) -> Iterator[tuple[str, dict[str, Any], answers.Answer]]:
        """Give each answer that is kept: the kind of request, its parameters, the answer."""
        yield from self._strip.answers({asked.input for asked in self._explaining.kept})
        for analysis in self._analyses.values():
            yield from analysis.answers()

    def _renew(self, layers: Layers) -> None:
        self._look_at(layers)
        for analysis in (self._strip, *self._analyses.values()):
            analysis.forget()
        self._structure = self._described()
        self.layer = self.layer if self.layer in layers.keys() else first_scored(layers)  # noqa: SIM118
        self.set_trait("stale", False)
        self.set_trait("revision", self.revision + 1)

    def _look_at(self, layers: Layers) -> None:
        self._mark = fingerprint(layer.module for layer in layers)
        self._measured = answers.Measured(layers)

    def _described(self) -> dict[str, Any]:
        return encode(describe(self._measured.layers, self._strip.sources, self._names))[0]

    def _notice_changes(self) -> None:
        """Tell the front end, once, that training or pruning has gone on."""
        model = self._model
        if model is None or self._context is None:
            return
        self._settle_when_calm()
        self._explaining.warm_up()
        if self.stale:
            return
        lock = model_lock(model)
        if not lock.acquire(blocking=False):
            return
        try:
            changed = fingerprint(x.module for x in self._measured.layers) != self._mark
            changed = changed or self.pairing.changed()
        except RuntimeError:  # a parameter was replaced while it was read: look again later
            return
        finally:
            lock.release()
        if changed:
            self.set_trait("stale", True)

    def _open(self) -> nn.Module:
        if self._model is None:
            raise ClosedLensError("This Lens is closed: make a new one with Lens(model).")
        return self._model
