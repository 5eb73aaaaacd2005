"""A Ray to run on: the cluster that is there, or one on this machine for as long as the job takes. Quiet."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import current_thread, main_thread
from typing import Any

from haarchive.codecs.errors import ConfigError
from haarchive.pipeline.config import ActorConfig

__all__ = ["ray_session"]

_log = logging.getLogger(__name__)

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Ray's coming default; without it every start warns that the default will change.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def ray_session(actors: ActorConfig) -> Iterator[None]:
    """Connect to Ray, and leave it as it was found.

    A Ray that this process is connected to is used; else the cluster that ``RAY_ADDRESS`` names
    (``ray job submit`` sets it); else one is started on this machine and shut down afterwards. Ray's chatter is off
    meanwhile.

    Raises
    ------
    ConfigError
        If Ray was started on this machine and it has not the GPUs that an actor asks for.
    """
    # Ray reads these when it is imported or initialised; what the user has set stays.
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    with ExitStack() as stack:
        stack.enter_context(_filtered_stdout())
        stack.enter_context(_level("ray", logging.CRITICAL))
        if not ray.is_initialized():
            stack.callback(ray.shutdown)
            with _same_sigterm():
                _start(ray, actors)
        yield


def _start(ray: Any, actors: ActorConfig) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if os.environ.get("RAY_ADDRESS"):
        with _stderr_closed():
            ray.init(**quiet)
        return
    with _stderr_closed():
        ray.init(address="local", include_dashboard=False, **quiet)
    gpus = ray.cluster_resources().get("GPU", 0)
    if gpus < actors.num_gpus:
        raise ConfigError(
            f"the configuration asks for {actors.num_gpus:g} GPU an actor, and Ray finds {gpus:g} on this"
            " machine; use '--config local', or set RAY_ADDRESS to a cluster that has them"
        )


@contextmanager
def _stderr_closed() -> Iterator[None]:
    """Drop what C++ code writes to the standard error while Ray starts: its log level, at every log level."""
    sys.stderr.flush()
    before = os.dup(2)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123 - a device, not a path of ours
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


@contextmanager
def _same_sigterm() -> Iterator[None]:
    """Keep Ray from taking over what SIGTERM does in this process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if current_thread() is main_thread() and before is not None:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _level(name: str, level: int) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _filtered_stdout() -> Iterator[None]:
    """Keep what Ray's own threads print off the standard output, which belongs to the job's results."""
    before = sys.stdout
    sys.stdout = _WithoutRay(before)
    try:
        yield
    finally:
        sys.stdout = before


class _WithoutRay:
    """A text stream that drops what threads of Ray write; ``log_to_driver=False`` does not stop all of it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if current_thread().name.startswith("ray_"):
            if text.strip():
                _log.debug("%s", text.strip())
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
