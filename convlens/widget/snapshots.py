"""Models to run over many steps, at rest while their owner trains the originals."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from torch import nn

from convlens.tensors import is_lazy
from convlens.widget.replica import replica
from convlens.widget.watch import fingerprint

__all__ = ["Snapshots", "snapshot"]


def snapshot(model: nn.Module) -> nn.Module:
    """Copy a model with its weights, so that an optimiser changes nothing in the middle of a run.

    Returns
    -------
    torch.nn.Module
        The copy; the model itself where its modules cannot be copied.
    """
    copy = replica(model)
    if copy is model:
        return model
    known: dict[int, nn.Parameter] = {}
    for module in copy.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if is_lazy(parameter):
                continue
            if id(parameter) not in known:
                # some subclasses of tensors cannot be made anew: such a one stays shared
                with suppress(RuntimeError, TypeError, NotImplementedError):
                    weight = parameter.detach().clone()
                    wanted = parameter.requires_grad
                    known[id(parameter)] = nn.Parameter(weight, requires_grad=wanted)
            if id(parameter) in known:
                setattr(module, name, known[id(parameter)])
    return copy


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
