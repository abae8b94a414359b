"""Similarity between layers, models and data sets, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from convlens.errors import ArgumentError
from convlens.similarity import distributed as ranks
from convlens.similarity.batches import InputsFrom
from convlens.similarity.capture import Forward, unwatched
from convlens.similarity.comparison import Comparison
from convlens.similarity.measures import Measure, Reduce
from convlens.similarity.reduce import GRID
from convlens.similarity.result import Similarity
from convlens.similarity.run import ComparisonError
from convlens.similarity.selection import LayerSpec

__all__ = ["compare"]

Progress = Callable[[Comparison], bool | None]


def compare(
    model: nn.Module,
    inputs: Any,
    reference: nn.Module | None = None,
    measure: str | Measure = "cka",
    *,
    layers: LayerSpec = "convs",
    reference_layers: LayerSpec | None = None,
    reference_inputs: Any = None,
    reduce: Reduce | None = None,
    grid: int | None = GRID,
    batch_size: int | None = None,
    max_batches: int | None = None,
    forward: Forward | None = None,
    reference_forward: Forward | None = None,
    inputs_from: InputsFrom | None = None,
    tol: float | None = None,
    titles: tuple[str, str] | None = None,
    progress: Progress | None = None,
    distributed: bool | None = None,
    **parameters: Any,
) -> Similarity:
    """Compare what layers make of the same samples.

    Three comparisons in one: a model with itself, with a `reference` model on the same data, or on
    one data set with itself or the reference on another (`reference_inputs`, paired sample by
    sample). Models run in eval mode without gradients and are left as they were found. Each layer
    is measured as it emits, so that in-place operations after it change nothing, and with the
    default measure nothing of a batch outlives it.

    Parameters
    ----------
    model : torch.nn.Module
        Its layers are the rows.
    inputs : Tensor, tuple, mapping, DataLoader, Dataset or other iterable
        A tensor (n, ...), or a tuple or mapping of tensors that the model takes, is split into
        batches. A loader or another iterable gives batches: tensors, tuples (labels after what the
        model takes are left out), mappings (passed by name), ModelOutputs.
    reference : torch.nn.Module, optional
        Its layers are the columns; default: those of `model`.
    measure : str, default "cka"
        One of `convlens.similarity.MEASURES`: "cka" (minibatch, unbiased), "cka_debiased",
        "cka_biased", "cka_rbf", "mean_cca", "r2_cca", "svcca", "pwcca", "nbs", "procrustes",
        "angular", "rsa". Each is declared there with its equation, source and needs.
    layers, reference_layers : str, int, type or sequence of these
        "convs" (default), "all", a name ("layer1.0.conv1"), one call ("relu:1"), a glob
        ("layer1.*"), a module class, an index into ``find_layers(model, inputs)``. The reference's
        default is the same. A module that is called twice is two rows.
    reference_inputs : as `inputs`, optional
        Other data for the columns: as many batches, of the same sizes, in the same order.
    reduce : {"flatten", "mean", "positions"}, optional
        What a feature is: every unit; every channel, averaged over positions; or every channel,
        with each position a sample. Default: what suits the measure ("flatten", and "positions"
        for the CCA family, which needs more samples than features).
    grid : int or None, default 4
        Positions per side for "positions", to which maps of any size are averaged; None for all.
    batch_size : int, optional
        Of inputs that have to be split; default 32.
    max_batches : int, optional
        Use no more of the inputs.
    forward, reference_forward : callable(model, batch), optional
        Run the models where calling them on a batch would not. The reference's default is the same.
    inputs_from : callable, str or int, optional
        Takes what the model wants out of each batch.
    tol : float, optional
        Stop once every standard error is below it (after four batches at least).
    titles : (str, str), optional
        What to call the two sides; default: their classes.
    progress : callable(comparison), optional
        Called after each batch with the :class:`~convlens.similarity.Comparison`: its ``done``,
        ``total``, ``matrix`` and ``stderr`` so far. Returning False stops, and what there is comes
        back with ``finished`` False.
    distributed : bool, optional
        Whether to join the figures of all ranks of the ``torch.distributed`` process group, each
        of which feeds its own share of the data. Default: where there is such a group.
    **parameters : float, bool or str
        Of the measure: ``t=`` of "cka_rbf", ``variance=`` of "svcca", ...

    Returns
    -------
    Similarity

    Raises
    ------
    UnknownLayerError
        If a layer does not exist; the nearest names are given.
    ArgumentError
        If an argument cannot be used, the two data sets do not pair, samples are too few, memory is
        too small, or no pair of layers has a value.
    ComparisonError
        If a model raises; ``error.partial`` holds what the finished batches gave.

    Examples
    --------
    >>> import convlens as cl
    >>> good, redundant = cl.demo.load(), cl.demo.load("redundant")
    >>> similarity = cl.compare(good.model, good.images[:128], redundant.model)
    >>> similarity.matrix.shape
    (15, 15)
    >>> similarity.diagonal().index[0]
    'conv1'

    Notes
    -----
    The default is the minibatch estimator of T. Nguyen, M. Raghu and S. Kornblith, "Do Wide and
    Deep Networks Learn the Same Things?", ICLR 2021. It is unbiased for any batch size, may be
    slightly negative, and comes with a standard error from the batches (infinitesimal jackknife).
    """
    together = ranks.is_distributed() if distributed is None else distributed
    if together and not ranks.is_distributed():
        raise ArgumentError(
            "distributed=True needs an initialised torch.distributed process group of several "
            "ranks: call torch.distributed.init_process_group() first, or start with torchrun."
        )
    comparison: Comparison | None = None
    failed: str | None = None
    try:
        comparison = Comparison(
            model,
            inputs,
            reference,
            measure,
            layers=layers,
            reference_layers=reference_layers,
            reference_inputs=reference_inputs,
            reduce=reduce,
            grid=grid,
            batch_size=batch_size,
            max_batches=max_batches,
            forward=forward,
            reference_forward=reference_forward,
            inputs_from=inputs_from,
            tol=tol,
            titles=titles,
            **parameters,
        )
        if together:
            comparison.refuse_if_not_additive()
        if not comparison.measure.batched:
            comparison.check_memory()
        with comparison.held():
            for _ in comparison:
                if progress is not None and not _goes_on(comparison, progress):
                    break
    except BaseException as error:
        failed = f"{type(error).__name__}: {error}"
        if isinstance(error, ComparisonError) and comparison is not None and comparison.samples:
            error.partial = comparison.result()
        raise
    finally:
        if together and failed is not None:
            ranks.tell(failed)
    similarity = comparison.gathered() if together else comparison.result()
    _refuse_empty(similarity)
    return similarity


def _goes_on(comparison: Comparison, progress: Progress) -> bool:
    with unwatched():
        return progress(comparison) is not False


def _refuse_empty(similarity: Similarity) -> None:
    """Raise where no pair at all has a value: a matrix of NaN would be mistaken for a result."""
    if np.isfinite(similarity.matrix).any():
        return
    raise ArgumentError(f"No pair of layers has a value. {similarity.reason(0, 0)}.")
