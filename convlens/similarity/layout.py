"""The order in memory of what a model is given: the same values, in the order convolutions like.

On x86 oneDNN takes a fifth off the forward passes of most convolutional networks when channels are
the innermost dimension: it need not reorder every layer's input and output. The images alone decide
it, what comes after follows, and the model is not touched.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convlens.similarity.batches import mapped, tensors

__all__ = ["Layout"]

_X86 = ("x86_64", "amd64")  # where it was found to be quicker, or as quick, for every kind of layer
_WORDS = ("stride", "contiguous", "memory format", "memory_format", "channels_last")


@dataclass
class Layout:
    """How one model's inputs lie in memory; remembers when the model does not take that.

    Attributes
    ----------
    free
        Whether they may be laid out anew.
    """

    free: bool = True

    def changes(self, batch: Any, model: nn.Module) -> bool:
        """Say whether `quicker` would be."""
        return (
            self.free
            and platform.machine().lower() in _X86
            and torch.backends.mkldnn.is_available()
            and any(_images(t) for t in tensors(batch))
            and any(isinstance(module, nn.Conv2d) for module in model.modules())
        )

    def quicker(self, batch: Any) -> Any:
        """Return `batch` with the channels of its images innermost."""
        return mapped(
            batch, lambda t: t.contiguous(memory_format=torch.channels_last) if _images(t) else t
        )

    def refused(self, error: Exception) -> bool:
        """Say whether `error` comes of the order in memory; if so, it is left as it is from now on.

        ``x.view(n, -1)`` takes one order only.
        """
        said = str(error).lower()
        if not isinstance(error, RuntimeError) or not any(word in said for word in _WORDS):
            return False
        self.free = False
        return True


def _images(t: Tensor) -> bool:
    return (
        type(t) is Tensor
        and t.device.type == "cpu"
        and t.dtype == torch.float32
        and t.dim() == 4
        and t.is_contiguous()
    )
