"""The exceptions of haarchive, one tree.

Every error that haarchive raises on purpose derives from `HaarchiveError` and from the builtin that fits, so
both ``except HaarchiveError`` and, say, ``except FileNotFoundError`` catch what their reader expects::

    HaarchiveError
    ├── CodecError
    │   ├── BitstreamError          (ValueError)        bytes that no encoder of ours wrote, or damaged ones
    │   ├── UnsupportedSamplesError (TypeError)         a dtype or shape that the codec does not take
    │   └── ModelError              (ValueError)        a model file that is malformed, or fails its proof
    │       ├── ModelNotFoundError  (FileNotFoundError)
    │       └── InexactDeviceError  (RuntimeError)      a device that does not reproduce the golden vectors
    ├── SourceError
    │   ├── SourceNotFoundError     (FileNotFoundError)
    │   ├── SourceUnreadableError   (OSError)
    │   ├── SourceChangedError      (RuntimeError)      the file changed while it was read
    │   ├── TruncatedSourceError    (EOFError)          the file ends before data that its container promises
    │   └── SourceFormatError       (ValueError)        malformed; it is archived verbatim instead
    ├── ArchiveError
    │   ├── ArchiveNotFoundError    (FileNotFoundError)
    │   ├── SourceConflictError     (FileExistsError)   the name is taken by other content
    │   ├── IntegrityError          (ValueError)        a CRC, digest or length that does not match
    │   ├── SchemaVersionError      (ValueError)        written by a newer haarchive
    │   └── RegionError             (ValueError)        a region, level or span that the source does not have
    ├── StorageError                (OSError)           the object store refused or failed
    │   ├── BucketNotFoundError     (FileNotFoundError)
    │   ├── ObjectNotFoundError     (FileNotFoundError)
    │   ├── ObjectChangedError      (RuntimeError)      it was replaced while it was read
    │   ├── ObjectExistsError       (FileExistsError)   a conditional put lost
    │   ├── StoragePermissionError  (PermissionError)   wrong or missing credentials
    │   └── StorageFullError        (OSError)
    ├── JobError                    (RuntimeError)      a job of which some sources failed
    │   ├── JobNotFoundError        (FileNotFoundError)
    │   ├── JobCancelledError       (InterruptedError)
    │   └── ClusterError            (ConnectionError)   no Ray at an address, or it does not answer as it should
    └── ConfigError                 (ValueError)
"""

from __future__ import annotations

__all__ = [
    "ArchiveError",
    "ArchiveNotFoundError",
    "BitstreamError",
    "BucketNotFoundError",
    "ClusterError",
    "CodecError",
    "ConfigError",
    "HaarchiveError",
    "InexactDeviceError",
    "IntegrityError",
    "JobCancelledError",
    "JobError",
    "JobNotFoundError",
    "ModelError",
    "ModelNotFoundError",
    "ObjectChangedError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "RegionError",
    "SchemaVersionError",
    "SourceChangedError",
    "SourceConflictError",
    "SourceError",
    "SourceFormatError",
    "SourceNotFoundError",
    "SourceUnreadableError",
    "StorageError",
    "StorageFullError",
    "StoragePermissionError",
    "TruncatedSourceError",
    "UnsupportedSamplesError",
]


class HaarchiveError(Exception):
    """Base of every error that haarchive raises on purpose."""


class CodecError(HaarchiveError):
    """A codec cannot do what it was asked."""


class BitstreamError(CodecError, ValueError):
    """A bitstream is damaged or was not written by this codec."""


class UnsupportedSamplesError(CodecError, TypeError):
    """The samples have a dtype or shape that the codec does not take."""


class ModelError(CodecError, ValueError):
    """A model file is malformed or cannot be proven exact."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """A model that an archive or a configuration names is not there."""


class InexactDeviceError(ModelError, RuntimeError):
    """The device does not reproduce the model's golden vectors."""


class SourceError(HaarchiveError):
    """A source cannot be archived."""


class SourceNotFoundError(SourceError, FileNotFoundError):
    """No such source."""


class SourceUnreadableError(SourceError, OSError):
    """The source exists but cannot be read."""


class SourceChangedError(SourceError, RuntimeError):
    """The source changed while it was being archived."""


class TruncatedSourceError(SourceError, EOFError):
    """The source ends before data that its own headers promise."""


class SourceFormatError(SourceError, ValueError):
    """The source is not a well-formed file of its kind."""


class ArchiveError(HaarchiveError):
    """An archive cannot be read or written."""


class ArchiveNotFoundError(ArchiveError, FileNotFoundError):
    """No archive, or no such source in it."""


class SourceConflictError(ArchiveError, FileExistsError):
    """The archive holds other content under this name."""


class IntegrityError(ArchiveError, ValueError):
    """Stored bytes do not match their checksum."""


class SchemaVersionError(ArchiveError, ValueError):
    """The archive was written by a newer haarchive."""


class RegionError(ArchiveError, ValueError):
    """The source has no such region, level or span."""


class StorageError(HaarchiveError, OSError):
    """The object store refused a request or failed."""


class BucketNotFoundError(StorageError, FileNotFoundError):
    """No such bucket: nothing can be read from it, and nothing written."""


class ObjectChangedError(StorageError, RuntimeError):
    """The object is no longer the one that was asked for."""


class ObjectNotFoundError(StorageError, FileNotFoundError):
    """No such object."""


class ObjectExistsError(StorageError, FileExistsError):
    """A conditional put found the object there already."""


class StoragePermissionError(StorageError, PermissionError):
    """Credentials are wrong, missing or insufficient."""


class StorageFullError(StorageError):
    """No space left where the archive is written."""


class JobError(HaarchiveError, RuntimeError):
    """Some sources of a job failed; the others are archived."""


class JobNotFoundError(JobError, FileNotFoundError):
    """The archive has no such job."""


class JobCancelledError(JobError, InterruptedError):
    """Somebody cancelled the job; what is archived stays."""


class ClusterError(JobError, ConnectionError):
    """A Ray cluster cannot be reached, or refuses what it is asked."""


class ConfigError(HaarchiveError, ValueError):
    """A configuration is not valid."""
