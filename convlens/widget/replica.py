"""The Lens computes on a replica of the model."""

from __future__ import annotations

from convlens.replica import replica

__all__ = ["replica"]
