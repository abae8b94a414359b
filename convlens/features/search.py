"""Find the inputs that excite channels most, batch by batch, keeping no more than those."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens.errors import ArgumentError
from convlens.features.colour import Palette, make_palette
from convlens.features.objectives import check_channels
from convlens.features.receptive import ReceptiveField
from convlens.features.sizes import image_batch
from convlens.features.tap import Forward, Tap
from convlens.features.top import TopInputs
from convlens.inputs import own_copy
from convlens.similarity.batches import Batch, InputsFrom, Stream, tensors
from convlens.similarity.capture import is_out_of_memory, unwatched
from convlens.tree import kind_of

__all__ = ["Search", "top_inputs"]

Progress = Callable[["Search"], bool | None]
By = Literal["max", "mean"]


class Search:
    """A run of :func:`convlens.top_inputs` that is driven from outside.

    Parameters
    ----------
    model, inputs, layer, channels, k, ...
        As for :func:`convlens.top_inputs`.

    Attributes
    ----------
    channels : tuple of int
        Known after the first step.
    done : int
        Batches seen.
    samples : int
        Inputs seen.
    finished : bool

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> search = cl.Search(digits.model, digits.images, "relu", [0], k=3)
    >>> for done, total in search.steps():
    ...     if done == 2:
    ...         break
    >>> search.result().n
    64
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        layer: str | int | None,
        channels: Any = None,
        k: int = 9,
        *,
        by: By = "max",
        mean: Any = None,
        std: Any = None,
        batch_size: int | None = None,
        max_batches: int | None = None,
        inputs_from: InputsFrom | None = None,
        forward: Forward | None = None,
    ) -> None:
        for called, value in (("k", k), ("max_batches", max_batches)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and (not whole or value < 1):
                raise ArgumentError(f"{called} is {value!r}; it must be a whole number above 0.")
        if by not in ("max", "mean"):
            raise ArgumentError(f"by is {by!r}; it must be 'max' or 'mean'.")
        self.tap = Tap(model, layer, forward)
        self.layer, self.k, self.by = self.tap.key, k, by
        self._asked, self._look = channels, (mean, std)
        self._stream = Stream(inputs, batch_size=batch_size, inputs_from=inputs_from)
        self._max_batches = max_batches
        self.channels: tuple[int, ...] = ()
        self.done, self.samples, self.finished = 0, 0, False
        self.notes: list[str] = list(self.tap.notes)
        self._activation = torch.empty(0, 0)
        self._index = torch.empty(0, 0, dtype=torch.long)
        self._place = torch.empty(0, 0, dtype=torch.long)  # flat, within the map
        self._positions: tuple[int, ...] = ()
        self._images: dict[int, Tensor] = {}
        self._field: ReceptiveField | None = None
        self._palette: Palette | None = None
        self._low, self._high = torch.empty(0), torch.empty(0)
        self._fit: int | None = None
        self._held = False

    @property
    def total(self) -> int | None:
        """Batches in all; None where the inputs do not say."""
        total = self._stream.total
        if self._max_batches is None:
            return total
        return self._max_batches if total is None else min(total, self._max_batches)

    @contextmanager
    def held(self) -> Generator[None]:
        """Leave the model as it was found once, at the end, and not after every step."""
        with self.tap.held():
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def steps(self) -> Generator[tuple[int, int | None]]:
        """Look at one batch after the other; after each give (done, total).

        Leave the loop at any step, and go on later with another; :meth:`result` is there at any
        time. Between two steps the model is as it was found.
        """
        while not self.finished:
            limit = self._max_batches is not None and self.done >= self._max_batches
            batch = None if limit else self._stream.next()
            if batch is None:
                self.finished = True
                if not self.samples:
                    raise ArgumentError("inputs is empty: it must hold at least one batch.")
                return
            self._take(batch)
            self.done += 1
            if self.done == self.total:
                self.finished = True
            yield self.done, self.total

    def result(self) -> TopInputs:
        """Return the best so far, with the box that each position sees (measured now)."""
        if not self.samples:
            raise ArgumentError("Nothing has been looked at: make a step first.")
        places = self._places()
        with self._ready():
            boxes = self._boxes(places)
        palette = self._palette_now()
        kept = sorted(index for index in self._best() if index >= 0)
        return TopInputs(
            activation=_numpy(self._activation).astype(np.float32),
            index=_numpy(self._index).astype(np.int64),
            position=places,
            box=boxes,
            channels=self.channels,
            layer=self.layer,
            kind=self.tap.kind,
            by=self.by,
            n=self.samples,
            model=kind_of(self.tap.model),
            images={index: _numpy(self._images[index]) for index in kept},
            pictures={
                index: palette.pictures(self._images[index][None].float())[0] for index in kept
            }
            if palette is not None
            else {},
            finished=self.finished,
            notes=tuple(self.notes),
        )

    def _ready(self) -> Any:
        return nullcontext() if self._held else self.tap.held()

    def _take(self, batch: Batch) -> None:
        waiting = [batch]
        while waiting:
            current = waiting.pop()
            if self._fit is not None and current.n > self._fit:
                waiting.extend(reversed(current.halves()))
                continue
            try:
                with self._ready(), torch.no_grad():
                    given = own_copy(current.inputs, self.tap.device)
                    emitted = self.tap.emit(given, drawn=current.drawn)
                    with unwatched():
                        self._merge(emitted, current)
            except Exception as error:
                if not is_out_of_memory(error) or current.n < 2:
                    raise
                self._fit = (current.n + 1) // 2
                self.notes.append(f"out of memory with {current.n} inputs: batches were halved")
                waiting.append(current)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()

    def _merge(self, emitted: Tensor, batch: Batch) -> None:
        if emitted.shape[0] != batch.n:
            raise ArgumentError(
                f"{self.layer} gives {emitted.shape[0]} rows for {batch.n} inputs, so that they "
                "cannot be told apart."
            )
        if not self.channels:
            chosen = check_channels(self._asked, int(emitted.shape[1]), self.layer)
            self.channels = tuple(chosen)
            rows = len(chosen)
            self._activation = torch.full((rows, self.k), -torch.inf)
            self._index = torch.full((rows, self.k), -1, dtype=torch.long)
            self._place = torch.full((rows, self.k), -1, dtype=torch.long)
        self._positions = tuple(emitted.shape[2:])
        own = emitted[:, list(self.channels)].float()
        own = own.flatten(2) if own.dim() > 2 else own[..., None]
        own = own.nan_to_num(-torch.inf, torch.inf, -torch.inf)  # NaN excites nobody
        best, place = own.max(2)
        score = best if self.by == "max" else own.mean(2)
        score, place = score.T.cpu(), place.T.cpu()  # (channels, n)
        index = torch.arange(self.samples, self.samples + batch.n).expand(len(self.channels), -1)
        every = torch.cat([self._activation, score], 1)
        # stable, so that of equals the earlier input stays, and chunks do not matter
        order = every.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        self._activation = every.gather(1, order)
        self._index = torch.cat([self._index, index], 1).gather(1, order)
        self._place = torch.cat([self._place, place], 1).gather(1, order)
        self._index[self._activation == -torch.inf] = -1
        self._keep(batch)
        self.samples += batch.n

    def _best(self) -> set[int]:
        return set(cast("list[int]", self._index.flatten().tolist()))

    def _keep(self, batch: Batch) -> None:
        """Keep the inputs that are among the best, and forget those that were."""
        pixels = next((t for t in tensors(batch.inputs) if t.dim() > 0), None)
        if pixels is None:
            return
        wanted = self._best()
        self._images = {index: kept for index, kept in self._images.items() if index in wanted}
        for index in wanted:
            row = index - self.samples
            if 0 <= row < batch.n:
                self._images[index] = pixels[row].detach().cpu().clone()
        if pixels.dim() == 4 and pixels.is_floating_point():
            low = pixels.detach().amin((0, 2, 3)).float().cpu()
            high = pixels.detach().amax((0, 2, 3)).float().cpu()
            first = self._low.numel() == 0
            self._low = low if first else torch.minimum(self._low, low)
            self._high = high if first else torch.maximum(self._high, high)

    def _palette_now(self) -> Palette | None:
        """Return the colours to show inputs in: as said, or by the range of all that was seen."""
        if self._low.numel() == 0:
            return None
        ends = torch.stack([self._low, self._high])[..., None, None]
        return make_palette(self._low.numel(), *self._look, ends, decorrelate=False)

    def _places(self) -> npt.NDArray[np.int64]:
        """Return (channels, k, 2): row and column in the map, -1 where there is no input."""
        width = self._positions[1] if len(self._positions) == 2 else 1
        place = self._place
        found = torch.stack([place // width, place % width], 2)
        found[self._index < 0] = -1
        return _numpy(found).astype(np.int64)

    def _boxes(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return (channels, k, 4): top, left, bottom, right of what each position sees."""
        boxes = np.full((*places.shape[:2], 4), -1, dtype=np.int64)
        known = np.argwhere(places[..., 0] >= 0).tolist()
        image = next(iter(self._images.values()), None)
        if image is None or image.dim() != 3 or not known:
            return boxes
        if self._field is None:
            first = image_batch(image[None])
            if first is None or not first.is_floating_point():
                return boxes
            self._field = ReceptiveField(self.tap, first.to(self.tap.device), self._positions)
            if self._field.note:
                self.notes.append(self._field.note)
        spots = {
            (row, rank): (int(a), int(b)) for row, rank in known for a, b in [places[row, rank]]
        }
        found = self._field.boxes(spots.values())
        for (row, rank), spot in spots.items():
            boxes[row, rank] = found[spot]
        return boxes


def top_inputs(
    model: nn.Module,
    inputs: Any,
    layer: str | int | None,
    channels: Any = None,
    k: int = 9,
    *,
    by: By = "max",
    mean: Any = None,
    std: Any = None,
    batch_size: int | None = None,
    max_batches: int | None = None,
    inputs_from: InputsFrom | None = None,
    forward: Forward | None = None,
    progress: Progress | None = None,
) -> TopInputs:
    """Find the inputs that excite channels of a layer most.

    Streamed: of each batch only what is among the best is kept. The forward pass ends at the layer;
    the model runs in eval mode, without gradients, and is left as it was found.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : Tensor, tuple, mapping, DataLoader, Dataset or other iterable
        A tensor is split into batches, a loader gives them; labels after what the model takes are
        left out.
    layer : str, int or None
        Dotted name, key of one call (``"relu:1"``), or index into ``find_layers(model)``; None for
        the model's output.
    channels : int or sequence of int, optional
        Default: all.
    k : int, default 9
        Inputs per channel.
    by : {"max", "mean"}, default "max"
        Rank inputs by a channel's highest position, or by its mean over positions. The position
        given is the highest in both cases.
    mean, std : float or sequence of float, optional
        By which pixels between 0 and 1 were normalised, to show them in their own colours; default:
        the range of what was seen is shown from black to white.
    batch_size : int, optional
        Of inputs that have to be split; default 32. Halved when memory runs out.
    max_batches : int, optional
        Use no more of the inputs.
    inputs_from : callable, str or int, optional
        Takes what the model wants out of each batch.
    forward : callable(model, batch), optional
        Runs the model where calling it on a batch would not.
    progress : callable(search), optional
        Called after each batch with the :class:`~convlens.features.Search`. Returning False stops,
        and what there is comes back with ``finished`` False.

    Returns
    -------
    TopInputs

    Raises
    ------
    UnknownLayerError
        If the layer does not exist; the nearest names are given.
    ArgumentError
        If an argument cannot be used, or `inputs` is empty.
    ForwardError
        If the model raises.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> top = cl.top_inputs(digits.model, digits.images, None, [3], k=5)
    >>> digits.labels[top.index[0]].tolist()
    [3, 3, 3, 3, 3]
    """
    search = Search(
        model,
        inputs,
        layer,
        channels,
        k,
        by=by,
        mean=mean,
        std=std,
        batch_size=batch_size,
        max_batches=max_batches,
        inputs_from=inputs_from,
        forward=forward,
    )
    with search.held():
        for _ in search.steps():
            with unwatched():
                if progress is not None and progress(search) is False:
                    search.finished = False
                    break
        return search.result()


def _numpy(values: Tensor) -> npt.NDArray[Any]:
    return cast("npt.NDArray[Any]", cast("Any", values.detach()).cpu().numpy().copy())
