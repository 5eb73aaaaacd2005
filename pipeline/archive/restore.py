"""Writing an archived source out again: to a temporary name, proven, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from haarchive.codecs.errors import (
    HaarchiveError,
    IntegrityError,
    ObjectExistsError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
)
from haarchive.pipeline.archive.keys import check_name
from haarchive.pipeline.layout import Member, SourceLayout

__all__ = ["check_members", "write_members"]

ReadRange = Callable[[int, int], Iterable[bytes]]
Advanced = Callable[[int], None]


def write_members(
    layout: SourceLayout, read_range: ReadRange, out: Path, *, overwrite: bool, advanced: Advanced
) -> None:
    """Write the members of a source to `out`: a file, or a folder where the source is one.

    Raises
    ------
    ObjectExistsError
        If `out` exists and is not to be overwritten (a folder never is).
    IntegrityError
        If a SHA-256 does not match; nothing is left behind.
    StorageFullError, StoragePermissionError, StorageError
        If the disk is full or refuses.
    """
    single = len(layout.members) == 1 and not layout.members[0].path
    if out.exists() and (not overwrite or not single or out.is_dir()):
        raise ObjectExistsError(f"{out} exists already; move it away first")
    with _local_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".haarchive-", suffix=".partial", dir=out.parent))
        try:
            start = 0
            whole = scratch / "whole"
            for member in layout.members:
                target = whole / check_name(member.path) if member.path else whole
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    for block in _checked(layout, member, read_range(start, start + member.size)):
                        file.write(block)
                        advanced(len(block))
                    file.flush()
                    os.fsync(file.fileno())
                start += member.size
            if not layout.members:
                whole.mkdir()
            whole.replace(out)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def check_members(layout: SourceLayout, read_range: ReadRange, advanced: Advanced) -> None:
    """Make all bytes of a source and compare the SHA-256 of each member that has one.

    Raises
    ------
    IntegrityError
        If one does not match.
    """
    start = 0
    for member in layout.members:
        for block in _checked(layout, member, read_range(start, start + member.size)):
            advanced(len(block))
        start += member.size


def _checked(layout: SourceLayout, member: Member, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass a member's blocks on; raise behind the last one if they were not the member."""
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        size += len(block)
        yield block
    # What was archived with loss has no SHA-256: each chunk was compared with its digest when it was decoded.
    if size != member.size or member.sha256 not in ("", digest.hexdigest()):
        name = f"{layout.name}/{member.path}".rstrip("/")
        raise IntegrityError(f"{name}: the restored bytes do not have the SHA-256 of the original")


@contextmanager
def _local_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except HaarchiveError:  # some of them are OSErrors too, and say better what is wrong
        raise
    except OSError as error:
        what = f"cannot write {out}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFullError(what) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoragePermissionError(what) from error
        raise StorageError(what) from error
