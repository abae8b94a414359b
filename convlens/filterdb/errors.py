"""What can be wrong with the file of a filter database."""

from __future__ import annotations

from convlens.errors import ConvlensError

__all__ = ["FilterDBError", "UnsafePickleError"]


class FilterDBError(ConvlensError, ValueError):
    """A file is no filter database, or a damaged one, or one cannot be written."""


class UnsafePickleError(FilterDBError):
    """Metadata asks for a function or class that the allow-list does not hold; nothing was run."""
