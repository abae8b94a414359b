"""A file that is changed in whole steps: what a killed or failed writer leaves can be read.

HDF5 changes its tables of contents in place, so a writer that dies in the middle leaves a file that
nobody can open. Here what is appended goes to the file at once, beyond its committed end, and what
lies before that end stays as it is until `commit`: changed pages are first written to a journal
beside the file, in full, and only then to the file itself. A journal that is found on opening is
applied again; one that was cut short never got its name.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

from convlens.filterdb.errors import FilterDBError

__all__ = ["Transaction", "journal_of", "recover"]

PAGE = 4096
_MAGIC = b"convlens journal 1\n"
_HEAD = struct.Struct("<QQ")  # bytes of the file after the commit, number of pages


def journal_of(path: Path) -> Path:
    """Where the journal of a file stands while a commit is under way."""
    return path.with_name(path.name + ".journal")


def recover(path: Path) -> bool:
    """Finish a commit that was cut short.

    Parameters
    ----------
    path : pathlib.Path
        The database, not its journal.

    Returns
    -------
    bool
        Whether there was anything to finish.

    Raises
    ------
    FilterDBError
        If the file cannot be changed, or the journal is not whole.
    """
    journal = journal_of(path)
    if not journal.exists():
        return False
    data = journal.read_bytes()
    body, checksum = data[:-4], data[-4:]
    if not body.startswith(_MAGIC) or struct.pack("<I", zlib.crc32(body)) != checksum:
        raise FilterDBError(
            f"{str(journal)!r} is no whole journal of convlens: if the database beside it opens "
            "without it, delete it."
        )
    size, count = _HEAD.unpack_from(body, len(_MAGIC))
    place = len(_MAGIC) + _HEAD.size
    try:
        with path.open("r+b") as file:
            for _ in range(count):
                (number,) = struct.unpack_from("<Q", body, place)
                file.seek(number * PAGE)
                file.write(body[place + 8 : place + 8 + PAGE])
                place += 8 + PAGE
            file.truncate(size)
            _settle(file)
    except OSError as error:
        raise FilterDBError(
            f"A change to {str(path)!r} was cut short and has to be finished before the file can "
            f"be read, and that failed ({error.strerror}): make the file writable, or copy it and "
            f"{journal.name} to where it is."
        ) from error
    journal.unlink()
    return True


def _settle(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


class Transaction(io.RawIOBase):
    """A file object for ``h5py.File`` whose changes count from `commit` on.

    None of what h5py calls raises when the disk fails; `commit` does.

    Parameters
    ----------
    path : pathlib.Path
        An existing file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        recover(path)
        self._file = path.open("r+b", buffering=0)
        self._committed = os.fstat(self._file.fileno()).st_size
        self._size = self._committed
        self._place = 0
        self._pages: dict[int, bytearray] = {}
        self._given_up = False
        self._failed: OSError | None = None

    # What h5py calls --------------------------------------------------------------------------

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next byte is read or written."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size that the next commit gives the file."""
        self._size = self._place if size is None else size
        return self._size

    def readinto(self, buffer: Any, /) -> int:
        """Read as though all writes had been made."""
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._place))
        self._file.seek(self._place)
        found = 0
        while found < wanted:
            more = self._file.readinto(view[found:wanted])
            if not more:  # truncated to more than was ever written
                view[found:wanted] = bytes(wanted - found)
                break
            found += more
        for number in self._numbers(self._place, wanted):
            page = self._pages.get(number)
            if page is not None:
                low, high = self._within(number, self._place, wanted)
                view[low - self._place : high - self._place] = page[
                    low - number * PAGE : high - number * PAGE
                ]
        self._place += wanted
        return wanted

    def write(self, data: Any, /) -> int:
        """Write beyond the committed end at once, and before it on the next commit."""
        view = memoryview(data).cast("B")
        start, count = self._place, len(view)
        self._place += count
        self._size = max(self._size, self._place)
        if self._given_up:
            return count
        direct = max(start, -(-self._committed // PAGE) * PAGE)
        for number in self._numbers(start, min(count, direct - start)):
            low, high = self._within(number, start, count)
            page = self._pages.get(number)
            if page is None:
                page = self._pages[number] = self._original(number)
            page[low - number * PAGE : high - number * PAGE] = view[low - start : high - start]
        if start + count > direct:
            self._write_on(direct, view[direct - start :])
        return count

    def _write_on(self, place: int, data: memoryview) -> None:
        """Write beyond the committed end; where the disk fails, keep it, and say so on commit.

        HDF5 does not survive an exception in the middle of its work.
        """
        if self._failed is None:
            try:
                self._file.seek(place)
                rest = data
                while rest:
                    rest = rest[self._file.write(rest) or 0 :]
                return
            except OSError as error:
                self._failed = error
        for number in self._numbers(place, len(data)):
            low, high = self._within(number, place, len(data))
            page = self._pages.setdefault(number, bytearray(PAGE))
            page[low - number * PAGE : high - number * PAGE] = data[low - place : high - place]

    def flush(self) -> None:
        """Do nothing: h5py calls it when it likes, and `commit` is the one that counts."""

    # What the writer calls --------------------------------------------------------------------

    def commit(self) -> None:
        """Make everything written so far part of the file, or nothing of it.

        Raises
        ------
        OSError
            If the disk is full; the file is then as after the last commit.
        """
        if self._failed is not None:
            raise self._failed
        _settle(self._file)
        journal = journal_of(self.path)
        unfinished = journal.with_name(journal.name + ".unfinished")
        head = _MAGIC + _HEAD.pack(self._size, len(self._pages))
        pages = (struct.pack("<Q", number) + page for number, page in self._pages.items())
        body = b"".join((head, *pages))
        try:
            with unfinished.open("wb") as file:
                file.write(body + struct.pack("<I", zlib.crc32(body)))
                _settle(file)
            unfinished.replace(journal)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._apply()
        journal.unlink()
        self._pages.clear()
        self._committed = self._size

    def give_up(self) -> None:
        """Take back what was written since the last commit; later writes are dropped."""
        self._given_up = True
        self._pages.clear()
        self._size = self._committed
        self._file.truncate(self._committed)

    def close(self) -> None:
        """Close the file as it is after the last commit."""
        if not self._file.closed:
            if not self._given_up and self._size == self._committed:
                self._file.truncate(self._committed)
            self._file.close()
        super().close()

    def _apply(self) -> None:
        for number, page in self._pages.items():
            self._file.seek(number * PAGE)
            self._file.write(page)
        self._file.truncate(self._size)
        _settle(self._file)

    def _original(self, number: int) -> bytearray:
        self._file.seek(number * PAGE)
        found = self._file.read(PAGE) or b""
        return bytearray(found + bytes(PAGE - len(found)))

    @staticmethod
    def _numbers(start: int, count: int) -> range:
        return range(start // PAGE, -(-(start + count) // PAGE)) if count > 0 else range(0)

    @staticmethod
    def _within(number: int, start: int, count: int) -> tuple[int, int]:
        return max(start, number * PAGE), min(start + count, (number + 1) * PAGE)
