"""Notice that weights have changed, without reading them all."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

_SAMPLES = 64


def fingerprint(modules: Iterable[nn.Module]) -> tuple[object, ...]:
    """Sum up the parameters and buffers of modules in a value that changes when they do.

    An optimiser's step bumps a tensor's version counter. Writing through ``.data`` does not, so
    up to 64 evenly spaced values of each dense tensor are part of the fingerprint too, read in
    one transfer per device.

    Parameters
    ----------
    modules
        Modules to watch; of one seen twice the second time is ignored.

    Returns
    -------
    tuple
        Comparable with ``==``; holds no tensor.
    """
    marks: list[object] = []
    samples: dict[torch.device, list[Tensor]] = {}
    with torch.no_grad():
        for module in dict.fromkeys(modules):
            for name, tensor in _tensors(module):
                marks.append((name, *_identity(tensor)))
                if (sample := _sample(tensor)) is not None:
                    samples.setdefault(tensor.device, []).append(sample)
        for parts in samples.values():
            # bytes, so that NaN equals itself
            marks += [torch.cat(parts).cpu().numpy().tobytes()]
    return tuple(marks)


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _identity(tensor: Tensor) -> tuple[object, ...]:
    if type(tensor) not in (Tensor, nn.Parameter) or tensor.is_inference():
        return (id(tensor),)  # a subclass may have no version, an inference tensor has none
    return (id(tensor), tensor._version, str(tensor.device), str(tensor.dtype))


def _sample(tensor: Tensor) -> Tensor | None:
    if (
        type(tensor) not in (Tensor, nn.Parameter)
        or tensor.layout is not torch.strided
        or tensor.is_meta
        or tensor.is_quantized
        or tensor.numel() == 0
        or not tensor.dtype.is_floating_point
    ):
        return None
    if tensor.dim() == 0:
        return tensor.detach().reshape(1).float()
    size = tensor.numel()
    count = min(size, _SAMPLES)
    index = torch.linspace(0, size - 1, count).long()
    # numpy's: torch's imports sympy, which takes half a second, in the first Lens
    flat = np.unravel_index(index.numpy(), tensor.shape)
    return tensor.detach()[tuple(torch.from_numpy(i).to(tensor.device) for i in flat)].float()
