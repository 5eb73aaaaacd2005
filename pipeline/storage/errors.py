"""What obstore and the system raise, as errors of ours in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

from haarchive.codecs.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
    StorageFullError,
    StoragePermissionError,
)

__all__ = ["storage_errors"]

_FULL = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "QuotaExceeded",
    "XMinioStorageFull",
)
_DENIED = (
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "AccessDenied",
    "Permission denied",
    "(os error 13)",
)


@contextmanager
def storage_errors(action: str, url: str) -> Iterator[None]:
    """Translate what storage raises in the block; the message says `action` and `url`.

    Raises
    ------
    ObjectNotFoundError, ObjectExistsError, StoragePermissionError, StorageFullError, StorageError
    """
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise _translated(error, f"cannot {action} {url}") from error


def _translated(error: Exception, what: str) -> StorageError:
    if isinstance(error, StorageError):
        return error
    text = str(error)
    reason = _first_line(text)
    if "NoSuchBucket" in text:
        return StorageError(f"{what}: the bucket does not exist; create it first")
    if isinstance(error, AlreadyExistsError | FileExistsError):
        return ObjectExistsError(f"{what}: it exists already")
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    if denied or any(word in text for word in _DENIED):
        return StoragePermissionError(
            f"{what}: permission denied ({_s3_code(text) or reason}); check the credentials "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or the folder's permissions"
        )
    if "169.254.169.254" in text:
        return StoragePermissionError(f"{what}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if full or any(word in text for word in _FULL):
        return StorageFullError(f"{what}: no space left there")
    if isinstance(error, FileNotFoundError):
        return ObjectNotFoundError(f"{what}: there is no such object")
    return StorageError(f"{what}: {reason}")


def _first_line(text: str) -> str:
    """The message without obstore's debug dump, at most 200 characters."""
    head = text.partition("Debug source:")[0]
    line = " ".join(head.split())
    return line if len(line) <= 200 else line[:197] + "..."


def _s3_code(text: str) -> str:
    """What an S3 server says is wrong, such as 'SignatureDoesNotMatch'; '' where it does not say."""
    _, _, rest = text.partition("<Code>")
    code = rest.partition("</Code>")[0]
    return code or ("HTTP 403" if "status code: 403" in text else "")
