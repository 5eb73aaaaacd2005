"""Logs for machines: a JSON object a line, with the source, shard and job that a record is about.

Modules log with ``logging.getLogger(__name__)`` and name what a record is about in ``extra``. Nothing is shown of it,
but warnings, until a program asks for more; the command line does so for ``--log-json`` and ``--debug``.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["JsonFormatter", "LogSettings", "about", "current", "is_json", "set_up"]

_OURS = "haarchive"
_STANDARD = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}
"""What every record has; anything else was named in ``extra``."""


@dataclass(frozen=True)
class LogSettings:
    """How a process logs.

    Parameters
    ----------
    as_json : bool
        JSON lines, from INFO on; else text.
    debug : bool
        From DEBUG on.
    fields : Mapping of str to str
        What all records are about, such as the job.
    """

    as_json: bool = False
    debug: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)


_settings: LogSettings | None = None
_fields: dict[str, str] = {}


def set_up(settings: LogSettings) -> None:
    """Log to the standard error, as `settings` say; replaces what an earlier call has set up."""
    global _settings
    _settings = settings
    _fields.clear()
    _fields.update(settings.fields)
    handler = _ToStderr()
    handler.setFormatter(JsonFormatter() if settings.as_json else logging.Formatter(logging.BASIC_FORMAT))
    root = logging.getLogger()
    for before in [one for one in root.handlers if isinstance(one, _ToStderr)]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(logging.INFO if settings.debug else logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.DEBUG if settings.debug else logging.INFO)
    # Warnings of libraries would break the lines.
    logging.captureWarnings(settings.as_json)


def current() -> LogSettings | None:
    """What another process must be given to log as this one does; None where nothing was set up."""
    return _settings and LogSettings(_settings.as_json, _settings.debug, dict(_fields))


def is_json() -> bool:
    """Whether the standard error is for JSON lines."""
    return _settings is not None and _settings.as_json


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Name what all records of this process are about meanwhile, in all of its threads: ``about(job=...)``."""
    before = dict(_fields)
    _fields.update(fields)
    try:
        yield
    finally:
        _fields.clear()
        _fields.update(before)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON in ASCII: time, level, logger, message, what it is about, other facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields,
        }
        # Ray, once it is imported, puts attributes of its own on every record.
        named = record.__dict__.items()
        line |= {name: value for name, value in named if name not in _STANDARD and not name.startswith("_")}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _ToStderr(logging.Handler):
    """Writes to what the standard error is when a record comes."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)
