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


def test_what_is_made_in_its_place_is_not_copied() -> None:
    shelf = Shelf()
    other = shelf.keep(torch.zeros(3, 3))
    place = shelf.free(3)
    assert shelf.free(3) is place
    place.fill_(2.0)
    assert shelf.keep(place) is place
    assert shelf.free(3).data_ptr() not in (place.data_ptr(), other.data_ptr())
    # room that was offered and not used is the next one's
    assert shelf.keep(torch.ones(3, 3)).sum() == 9
    assert other.sum() == 0
    assert place.sum() == 18
