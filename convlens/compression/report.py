"""What compression did to a network, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from convlens.compression.assessment import Assessment
from convlens.compression.result import CompressionReport
from convlens.errors import Cancelled
from convlens.similarity.batches import InputsFrom
from convlens.similarity.capture import Forward

__all__ = ["report"]


def report(
    model: nn.Module,
    reference: nn.Module,
    inputs: Any,
    labels: Any = None,
    *,
    batch_size: int | None = None,
    isolated: int = 128,
    eps: float = 0.01,
    forward: Forward | None = None,
    reference_forward: Forward | None = None,
    inputs_from: InputsFrom | None = None,
    titles: tuple[str, str] | None = None,
    progress: Callable[[int, int | None, str], bool | None] | None = None,
) -> CompressionReport:
    """Compare a compressed network with the one that it was made from.

    Both run in eval mode without gradients and are left as they were found. Layers are matched by
    name, by name without what a library put around it, and by shape in order; a batch norm and a
    ReLU that were fused into a layer are taken into account. What has no counterpart is listed.

    Parameters
    ----------
    model : torch.nn.Module
        Pruned, quantised (by convlens, torchao, torch.ao, NNCF, ...), fine-tuned.
    reference : torch.nn.Module
        What it was before.
    inputs : Tensor, tuple, mapping, DataLoader, Dataset or other iterable
        As for :func:`convlens.compare`.
    labels : Tensor or sequence of int, optional
        The class of each input; of a loader that gives them they are taken by themselves.
    batch_size : int, optional
        Of inputs that have to be split; default 32.
    isolated : int, default 128
        On how many of the inputs each layer is compressed alone: one run of the reference per layer
        that changed. 0 leaves that out, and with it `cost`.
    eps : float, default 0.01
        Of `sparsity`, as for :func:`convlens.measure_quality`.
    forward, reference_forward : callable(model, batch), optional
        Run the models where calling them on a batch would not. The reference's default is the same.
    inputs_from : callable, str or int, optional
        Takes what the models want out of each batch.
    titles : (str, str), optional
        What to call the two; default: their classes.
    progress : callable, optional
        Called as ``progress(done, total, label)`` after each step; False as its answer stops.

    Returns
    -------
    CompressionReport

    Raises
    ------
    ModelError
        If one of the two is no module, or has no layers with weights.
    ArgumentError
        If an argument cannot be used, `inputs` is empty, or `labels` does not fit it.
    ForwardError
        If a model raises.
    Cancelled
        If `progress` returned False.

    Examples
    --------
    >>> import convlens as cl
    >>> digits = cl.demo.load()
    >>> pruned = cl.compression.prune(digits.model, 0.9)
    >>> images, labels = digits.images[:96], digits.labels[:96]
    >>> report = cl.compression.report(pruned, digits.model, images, labels, isolated=32)
    >>> report.overall.accuracy < report.overall.reference_accuracy
    True
    >>> len(report.ranking("cka"))
    16
    """
    assessment = Assessment(
        model,
        reference,
        inputs,
        labels,
        batch_size=batch_size,
        isolated=isolated,
        eps=eps,
        forward=forward,
        reference_forward=reference_forward,
        inputs_from=inputs_from,
        titles=titles,
    )
    for _ in assessment:
        if progress is None:
            continue
        if progress(assessment.done, assessment.total, assessment.label) is False:
            raise Cancelled(f"The report was stopped after {assessment.done} steps.")
    return assessment.result()
