"""What a model says of many inputs: the strip of thumbnails, and who is wrong."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convlens.activations import Forward, untouched
from convlens.errors import ArgumentError, Cancelled
from convlens.saliency.given import checked, labels_in
from convlens.saliency.probe import Probe
from convlens.saliency.scores import Said, said_by
from convlens.saliency.work import Parts
from convlens.similarity.batches import InputsFrom, Stream
from convlens.tree import check_model, walk

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Prediction", "Predictions", "predict"]

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Predictions:
    """What a model says of some inputs.

    Attributes
    ----------
    predicted : numpy.ndarray
        The class with the highest score, (n,).
    probability : numpy.ndarray
        Of that class, (n,): the softmax of the scores, or these where they are probabilities.
    classes, probabilities : numpy.ndarray
        The most probable classes of each input, best first, and their probabilities, (n, top).
    label : numpy.ndarray or None
        The true class, where labels were given or drawn with the inputs.
    finished : bool
        False where it was stopped: then only the first inputs are here.
    """

    predicted: Integers
    probability: Floats
    classes: Integers
    probabilities: Floats
    label: Integers | None = None
    finished: bool = True

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def right(self) -> npt.NDArray[np.bool_] | None:
        """Of each input whether the predicted class is the true one; None without labels."""
        return None if self.label is None else self.predicted == self.label

    @property
    def accuracy(self) -> float | None:
        """Share of inputs that are right; None without labels."""
        return None if self.right is None else float(self.right.mean())

    def to_frame(self) -> pd.DataFrame:
        """Return one row per input."""
        import pandas as pd

        columns: dict[str, Any] = {"predicted": self.predicted, "probability": self.probability}
        if self.label is not None:
            columns |= {"label": self.label, "right": self.right}
        frame = pd.DataFrame(columns)
        frame.index.name = "input"
        return frame

    def __repr__(self) -> str:
        right = "" if self.accuracy is None else f", {self.accuracy:.1%} right"
        return f"Predictions({len(self)} inputs{right}{'' if self.finished else ', stopped'})"

    def _repr_html_(self) -> str:
        frame: Any = self.to_frame()
        return f"<p>{escape(repr(self))}</p>{frame.round(4).to_html(max_rows=10)}"


class Prediction:
    """Predictions made batch by batch; takes the arguments of :func:`convlens.predict`.

    Attributes
    ----------
    done : int
        Inputs run so far.
    total : int or None
        Inputs in all; None where they do not say.
    finished : bool
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        *,
        labels: Any = None,
        batch_size: int | None = None,
        forward: Forward | None = None,
        inputs_from: InputsFrom | None = None,
        top: int = 5,
    ) -> None:
        self._model = walk(check_model(model)).model
        self._stream = Stream(inputs, None, batch_size)
        self._inputs_from = inputs_from
        self._forward = forward
        self._probe = Probe(self._model, forward)
        self._parts = Parts(10**9)  # batches as they come, unless memory runs out
        if isinstance(top, bool) or not isinstance(top, int) or top < 1:
            raise ArgumentError(f"top is {top!r}; it must be a whole number >= 1.")
        self._top = top
        self.total = len(inputs) if isinstance(inputs, Tensor) and inputs.dim() else None
        if isinstance(inputs, Tensor):
            checked(self._model, inputs, forward, move=False)
        self._labels = None if labels is None else torch.as_tensor(labels).detach().cpu()
        if self._labels is not None and self.total not in (None, len(self._labels)):
            raise ArgumentError(
                f"labels holds {len(self._labels)} classes, and there are {self.total} inputs."
            )
        self._drawn: list[Tensor] = []
        self._said: list[Said] = []
        self._held = False
        self.done = 0
        self.finished = False

    def steps(self) -> Generator[tuple[int, int | None]]:
        """Run to the end; after each batch give (done, total). May be stopped and gone on with."""
        while not self.finished:
            with nullcontext() if self._held else untouched(self._model):
                self._step()
            yield self.done, self.total

    @contextmanager
    def held(self) -> Generator[None]:
        """Leave the model as it was found once, at the end, and not after every batch."""
        with untouched(self._model):
            self._held = True
            try:
                yield
            finally:
                self._held = False

    def result(self) -> Predictions:
        """Return the predictions made so far.

        Raises
        ------
        Cancelled
            There is none yet.
        """
        if not self._said:
            raise Cancelled("The prediction was stopped before its first batch.")
        ranked = [cast("Tensor", said.probabilities) for said in self._said]
        probabilities = torch.cat(ranked)
        best = probabilities.topk(min(self._top, probabilities.shape[1]), dim=1)
        predicted = torch.cat([cast("Tensor", said.predicted) for said in self._said])
        label = self._labels
        if label is None and self._drawn:
            label = torch.cat(self._drawn)
        return Predictions(
            predicted.numpy(),
            probabilities.gather(1, predicted[:, None])[:, 0].numpy(),
            best.indices.numpy(),
            best.values.numpy(),
            None if label is None else label[: len(predicted)].long().numpy(),
            self.finished,
        )

    def _step(self) -> None:
        batch = self._stream.next()
        if batch is None:
            self.finished = True
            self.total = self.done
            return
        x, labels = labels_in(batch.inputs, self._inputs_from, drawn=batch.drawn)
        if labels is not None:
            self._drawn.append(labels.detach().cpu())
        x = checked(self._model, x, self._forward)
        with torch.no_grad(), torch.inference_mode(mode=False):
            with suppress(NotImplementedError):  # exported programs have one mode only
                self._model.eval()
            parts: list[Said] = []
            for _ in self._parts.spread(
                len(x),
                lambda start, stop: said_by(self._probe(x[start:stop]), self.done + start),
                lambda start, stop, part: parts.append(part),
            ):
                pass
        self._take(parts)

    def _take(self, parts: list[Said]) -> None:
        said = parts[0]
        if said.classes is None:
            sizes = " x ".join(str(size) for size in said.scores.shape)
            raise ArgumentError(
                f"The outputs are {sizes}, not one score per input and class: there is no "
                "predicted class."
            )
        self._said += parts
        self.done += sum(len(part.scores) for part in parts)
        if self.done == self.total:
            self.finished = True


def predict(
    model: nn.Module,
    inputs: Any,
    *,
    labels: Any = None,
    batch_size: int | None = None,
    forward: Forward | None = None,
    inputs_from: InputsFrom | None = None,
    top: int = 5,
    progress: Callable[[int, int | None], bool | None] | None = None,
) -> Predictions:
    """Predict the class of every input, batch by batch.

    Parameters
    ----------
    model : torch.nn.Module
        Runs in eval mode and is left as it was found.
    inputs : Tensor, DataLoader, Dataset or other iterable
        A tensor (n, ...), or what gives batches, with or without labels.
    labels : sequence of int or Tensor, optional
        The true classes; default: those drawn with the inputs.
    batch_size : int, optional
        Of inputs that have to be split; default 32.
    forward : callable(model, batch), optional
        Runs the model where calling it on a batch would not.
    inputs_from : callable, str or int, optional
        Takes the tensor out of each batch.
    top : int, default 5
        How many classes to keep of each input.
    progress : callable(done, total), optional
        Called after each batch. Returning False stops, and what there is comes back.

    Returns
    -------
    Predictions

    Raises
    ------
    ArgumentError
        The inputs cannot be used, or the outputs are no classes' scores.
    ForwardError
        The model raises, or gives NaN.

    Examples
    --------
    >>> digits = convlens.demo.load()
    >>> convlens.predict(digits.model, digits.images, labels=digits.labels).accuracy > 0.9
    True
    """
    run = Prediction(
        model,
        inputs,
        labels=labels,
        batch_size=batch_size,
        forward=forward,
        inputs_from=inputs_from,
        top=top,
    )
    with run.held():
        for done, total in run.steps():
            if progress is not None and progress(done, total) is False:
                break
    return run.result()
