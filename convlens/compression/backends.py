"""The libraries that quantise to real integers, each imported only when it is asked for."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from convlens.activations import untouched
from convlens.compression.running import Batches, run_batch
from convlens.errors import ArgumentError, ForwardError, MissingPackageError, ModelError
from convlens.inputs import as_call, device_of, own_copy
from convlens.similarity.batches import Batch
from convlens.tree import kind_of
from convlens.untouched import rng_keeper

__all__ = ["library"]

Convert = Callable[[nn.Module, Batches, str], nn.Module]


def library(backend: str) -> Convert:
    """Return what quantises with `backend`.

    Raises
    ------
    MissingPackageError
        If its package is not installed.
    """
    convert, package = _LIBRARIES[backend]
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(
            f"backend={backend!r} needs the package {package}: pip install 'convlens[{package}]'"
        )
    return convert


def by_torchao(model: nn.Module, calibration: Batches, scheme: str) -> nn.Module:
    """PT2E: export the network, quantise its graph for x86, fold batch norms."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    first, rest = _first(calibration)
    args = _arguments(model, first)
    quantizer: Any = x86.X86InductorQuantizer()
    quantizer.set_global(_x86_config(x86, scheme))
    with _refusal("torchao", model), _quiet():
        exported = torch.export.export(model, args, dynamic_shapes=_any_batch(args, first.n))
        prepared: Any = prepare_pt2e(exported.module(), quantizer)
        for batch in rest:
            _observe(prepared, batch, calibration)
        return convert_pt2e(prepared)


def by_torch_ao(model: nn.Module, calibration: Batches, scheme: str) -> nn.Module:
    """FX graph mode of ``torch.ao.quantization``: int8 kernels of the CPU."""
    import torch.ao.quantization as ao
    from torch.ao.quantization import quantize_fx

    first, rest = _first(calibration)
    some: Any = ao
    weights = (
        some.default_per_channel_weight_observer
        if scheme == "per_channel"
        else some.default_weight_observer
    )
    with _refusal("torch.ao", model), _quiet():
        config = some.QConfig(activation=some.HistogramObserver, weight=weights)
        fx: Any = quantize_fx
        mapping = some.QConfigMapping().set_global(config)
        prepared = fx.prepare_fx(model, mapping, _arguments(model, first))
        for batch in rest:
            _observe(prepared, batch, calibration)
        return fx.convert_fx(prepared)


def by_nncf(model: nn.Module, calibration: Batches, scheme: str) -> nn.Module:
    """``nncf.quantize``, post-training."""
    if scheme != "per_channel":
        raise ArgumentError("backend='nncf' chooses the scheme itself: leave scheme='per_channel'.")
    first, rest = _first(calibration)
    batches = [_arguments(model, batch) for batch in rest]
    # It compiles a C++ extension the first time, which can take longer than the minute it allows.
    os.environ.setdefault("NNCF_EXTENSION_LOAD_TIMEOUT", "600")
    some: Any = importlib.import_module("nncf")
    inner = _Held(model) if isinstance(model, nn.Sequential) else model
    with _refusal("nncf", model), _quiet():
        data = some.Dataset(batches, _as_nncf_takes_it)
        found = some.quantize(inner, data, subset_size=len(batches))
    del first
    return found


def _as_nncf_takes_it(args: tuple[Any, ...]) -> Any:
    return args[0] if len(args) == 1 else args


class _Held(nn.Module):
    """Around a Sequential, which would call the modules that NNCF adds to it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any) -> Any:
        return self.model(*args)


_LIBRARIES: dict[str, tuple[Convert, str]] = {
    "torchao": (by_torchao, "torchao"),
    "nncf": (by_nncf, "nncf"),
    "torch.ao": (by_torch_ao, "torch"),
}


def _first(calibration: Batches) -> tuple[Batch, Iterator[Batch]]:
    """Return the first batch, and all of them including it."""
    first = calibration.next()
    if first is None:
        raise ArgumentError("calibration is empty: it must hold at least one batch.")

    def everything() -> Iterator[Batch]:
        yield first
        yield from calibration

    return first, everything()


def _arguments(model: nn.Module, batch: Batch) -> tuple[Any, ...]:
    args, named = as_call(model, own_copy(batch.inputs, device_of(model)), drawn=batch.drawn)
    if named:
        raise ArgumentError(
            "calibration gives arguments by name, which the libraries do not take: pass a tensor "
            "or a tuple, or inputs_from=."
        )
    # That the model takes them is found out first, and told as everywhere else.
    with untouched(model):
        try:
            run_batch(model, batch)
        except ForwardError as error:
            raise ArgumentError(
                f"Batch 1 of calibration does not fit the model: {error}"
            ) from error
    return args


def _observe(prepared: nn.Module, batch: Batch, calibration: Batches) -> None:
    args, _ = as_call(prepared, own_copy(batch.inputs, device_of(prepared)), drawn=batch.drawn)
    with torch.no_grad():
        if calibration.forward is not None:
            calibration.forward(prepared, batch.inputs)
        else:
            prepared(*args)


def _any_batch(args: tuple[Any, ...], n: int) -> Any:
    """Leave the number of samples open, where there is more than one to tell it by."""
    if n < 2:
        return None
    size = torch.export.Dim.AUTO
    return tuple(
        {0: size} if isinstance(arg, Tensor) and arg.dim() and arg.shape[0] == n else None
        for arg in args
    )


def _x86_config(x86: Any, scheme: str) -> Any:
    config = x86.get_default_x86_inductor_quantization_config()
    if scheme == "per_channel":
        return config
    from dataclasses import replace

    from torchao.quantization.pt2e.observer import MinMaxObserver

    weight = replace(
        config.weight,
        qscheme=torch.per_tensor_symmetric,
        ch_axis=None,
        observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12),
    )
    return replace(config, weight=weight)


@contextlib.contextmanager
def _refusal(backend: str, model: nn.Module) -> Generator[None]:
    """Say in a sentence what a library could not do."""
    try:
        yield
    except (ArgumentError, ModelError):
        raise
    except Exception as error:
        said = str(error).strip().split("\n")[0]
        raise ModelError(
            f"backend={backend!r} cannot quantise this {kind_of(model)}: {type(error).__name__}: "
            f"{said}"
        ) from error


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep the libraries' warnings, of what they themselves call, to them; and random numbers."""
    restore = rng_keeper()  # modules that are made anew draw their first weights
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        restore()
