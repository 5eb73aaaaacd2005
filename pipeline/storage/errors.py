"""What obstore and the system raise, as errors of ours in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from haarchive.codecs.errors import (
    BucketNotFoundError,
    ObjectChangedError,
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
_KEYS = "the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
_DENIED = {
    "InvalidAccessKeyId": "AWS_ACCESS_KEY_ID: the store does not know this key",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY: it does not belong to this AWS_ACCESS_KEY_ID",
    "AccessDenied": f"what the policy of the bucket allows this user, or {_KEYS}",
    "ExpiredToken": "AWS_SESSION_TOKEN: it has expired",
    "InvalidToken": "AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "the clock of this machine",
    "Permission denied": "the permissions of the folder",
    "(os error 13)": "the permissions of the folder",
}
"""What to check, by what the store or the system says."""


@contextmanager
def storage_errors(action: str, url: str) -> Iterator[None]:
    """Translate what storage raises in the block; the message says `action` and `url`.

    Raises
    ------
    ObjectNotFoundError, ObjectExistsError, ObjectChangedError, BucketNotFoundError, StoragePermissionError,
    StorageFullError, StorageError
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
        return BucketNotFoundError(f"{what}: the bucket does not exist; create it first")
    if isinstance(error, AlreadyExistsError | FileExistsError):
        return ObjectExistsError(f"{what}: it exists already")
    if isinstance(error, PreconditionError):
        return ObjectChangedError(f"{what}: it was replaced meanwhile")
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    check = next((check for word, check in _DENIED.items() if word in text), None)
    if denied or check:
        return StoragePermissionError(f"{what}: permission denied ({_s3_code(text) or reason}); check {check or _KEYS}")
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
