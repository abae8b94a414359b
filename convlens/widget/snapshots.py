"""Models to run over many steps, at rest while their owner trains the originals."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from convlens.errors import ModelError
from convlens.replica import duplicate
from convlens.widget.watch import fingerprint

__all__ = ["Snapshots", "snapshot"]


def snapshot(model: nn.Module) -> nn.Module:
    """Copy a model with its weights, so that an optimiser changes nothing in the middle of a run.

    Returns
    -------
    torch.nn.Module
        The copy; the model itself where it cannot be copied.
    """
    try:
        return duplicate(model)
    except ModelError:
        return model


@dataclass
class Snapshots:
    """One snapshot of each model, made anew when its weights have changed.

    Attributes
    ----------
    models
        By the name of their side.
    """

    models: dict[str, nn.Module]
    _taken: dict[str, tuple[tuple[object, ...], nn.Module]] = field(
        default_factory=dict[str, tuple[tuple[object, ...], nn.Module]]
    )

    def of(self, side: str) -> nn.Module:
        """Give the model of a side as it is now."""
        model = self.models[side]
        mark = fingerprint(model.modules())
        known = self._taken.get(side)
        if known is None or known[0] != mark:
            known = self._taken[side] = (mark, snapshot(model))
        return known[1]
