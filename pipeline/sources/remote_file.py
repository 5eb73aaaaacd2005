"""An object of a store as a seekable file that is read in pieces."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from haarchive.codecs.errors import (
    BucketNotFoundError,
    HaarchiveError,
    ObjectChangedError,
    ObjectNotFoundError,
    SourceChangedError,
    SourceNotFoundError,
    SourceUnreadableError,
    StorageError,
    StoragePermissionError,
)
from haarchive.pipeline.sources.ref import Version
from haarchive.pipeline.storage import ObjectStore

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["MOST_HELD", "RemoteFile", "source_errors"]

_BLOCK = 1 << 18
"""What is asked for at least, in bytes: less takes as long, as most of the time is the way to the store."""
_SMALL = 4
"""Blocks of an object that is read whole at once."""
_MOST_AHEAD = 16
"""Blocks that are asked for at once where one read follows the other: twice as many each time until then."""
_MOST_ASKED = 32
"""Blocks of the largest request; a longer read takes several."""
_MOST_KEPT = 64
MOST_HELD = (_MOST_KEPT + _MOST_ASKED) * _BLOCK
"""Bytes that an open file holds at most (24 MiB): the blocks it keeps and one answer.

What a reader is given is its own, and the client holds an answer once more while it hands it over.
"""


class RemoteFile(io.RawIOBase):
    """Reads of any size and order, made of a few ranges of an object.

    Each request is for the version that the file was opened as, so that no two reads mix two versions. A file
    that failed once fails from then on with the same error: readers of formats swallow errors, and must not
    make a source look damaged that is not.

    Parameters
    ----------
    store : ObjectStore
    key : str
    version : Version
        Its size, and its ETag as mark; a mark that is none is not asked for, and '' is learned with the first
        read.
    """

    def __init__(self, store: ObjectStore, key: str, version: Version) -> None:
        super().__init__()
        self._store, self._key = store, key
        self._size = version.size
        self._etag = version.mark if version.mark.startswith(('"', "W/")) else ""
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next = -1
        self._ahead = 1
        self.failure: HaarchiveError | None = None

    @property
    def held(self) -> int:
        """Bytes of the object that are kept."""
        return sum(map(len, self._blocks.values()))

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; nothing is asked for until something is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"a position of {base + offset} is before the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer, or as much of it as the object has bytes for.

        Raises
        ------
        SourceChangedError
            If the object was replaced since it was opened.
        SourceNotFoundError, SourceUnreadableError, StoragePermissionError
        """
        if self.failure is not None:
            raise self.failure
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._size - self._position))
        done = 0
        while done < length:
            begin = self._position % _BLOCK
            block = self._block(self._position // _BLOCK, length - done + begin)
            part = block[begin : begin + length - done]
            view[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
        return length

    def close(self) -> None:
        """Forget what was read."""
        self._blocks.clear()
        super().close()

    def _block(self, number: int, wanted: int) -> bytes:
        """A block; where it is not there, it comes with those behind it, `wanted` bytes of them at least."""
        if number not in self._blocks:
            self._ahead = min(2 * self._ahead, _MOST_AHEAD) if number == self._next else 1
            last = -(-self._size // _BLOCK)
            count = max(-(-wanted // _BLOCK), self._ahead if last > _SMALL else last)
            stop = min(number + min(count, _MOST_ASKED), last)
            stop = next((n for n in range(number + 1, stop) if n in self._blocks), stop)
            self._fetch(number, stop)
            self._next = stop
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _fetch(self, first: int, stop: int) -> None:
        start, length = first * _BLOCK, min(stop * _BLOCK, self._size) - first * _BLOCK
        while len(self._blocks) > _MOST_KEPT - (stop - first):
            self._blocks.popitem(last=False)
        url = self._store.object_url(self._key)
        try:
            with source_errors(url):
                data, info = self._store.get_unchanged(self._key, start, length, self._etag)
            if info.size != self._size:
                raise SourceChangedError(f"{url}: has {info.size} bytes where it had {self._size}; it was replaced")
            if len(data) != length:
                raise SourceUnreadableError(f"{url}: the store gave {len(data)} of {length} bytes at byte {start}")
        except HaarchiveError as error:
            self.failure = error
            raise
        self._etag = info.etag
        for number in range(first, stop):
            self._blocks[number] = data[(number - first) * _BLOCK : (number - first + 1) * _BLOCK]


@contextmanager
def source_errors(url: str) -> Iterator[None]:
    """Say of a source what its store said of an object.

    Raises
    ------
    SourceNotFoundError, SourceChangedError, SourceUnreadableError, StoragePermissionError
    """
    try:
        yield
    except ObjectNotFoundError:
        raise SourceNotFoundError(f"{url}: no such object") from None
    except BucketNotFoundError:
        raise SourceNotFoundError(f"{url}: no such bucket") from None
    except ObjectChangedError:
        raise SourceChangedError(f"{url}: was replaced since it was listed; archive it again at rest") from None
    except StoragePermissionError:
        raise
    except StorageError as error:
        raise SourceUnreadableError(str(error)) from error
