"""Write a forward pass down with torch.fx while other threads run theirs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import fx, nn

__all__ = ["Tracer"]


class Tracer(fx.Tracer):
    """A torch.fx tracer that leaves the modules of other threads alone.

    While it traces, torch.fx has replaced what calling any module does, in every thread: a user's
    training step would raise, or be written down.
    """

    _thread: int | None = None

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """Write down a forward pass of the calling thread."""
        self._thread = threading.get_ident()
        return super().trace(root, concrete_args)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Write down a call; of another thread, make it."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Write down the reading of a parameter; of another thread, give it."""
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)
