"""Where Gram matrices are kept during a batch."""

from __future__ import annotations

import torch

from convlens.similarity.shelf import Shelf


def test_what_is_kept_stays_until_the_shelf_is_cleared() -> None:
    shelf = Shelf()
    given = [torch.full((n, n), float(i)) for i in range(150) for n in (4, 6)]
    given.append(torch.ones(4, 4, dtype=torch.float64))
    kept = [shelf.keep(matrix) for matrix in given]
    for matrix in given:
        matrix += 1
    for matrix, copy in zip(given, kept, strict=True):
        torch.testing.assert_close(copy, matrix - 1)


def test_the_same_room_is_used_for_every_batch() -> None:
    shelf = Shelf()
    given = [torch.rand(4, 4) for _ in range(100)]
    first = [shelf.keep(matrix).data_ptr() for matrix in given]
    shelf.clear()
    assert [shelf.keep(matrix).data_ptr() for matrix in given] == first
    assert len(set(first)) == 100
