"""A pool of Ray actors that outlives them: calls whose actor dies are made again elsewhere."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["ActorPool", "Call", "Done"]

_log = logging.getLogger(__name__)

_ATTEMPTS = 3
"""How often a call may take its actor down (out of memory, a crash in a C library)."""
_EVICTIONS = 20
"""How often a call may lose its node through no fault of its own."""
_NODE_IS_GONE = ("node has died", "node was terminated", "preempted", "node is dead")
_WAIT = 1.0
_PATIENCE = 60.0
"""Seconds without a single actor after which the log says what is waited for."""


@dataclass(frozen=True)
class Call:
    """A call of an actor's method.

    Parameters
    ----------
    key : tuple
        Tells calls apart; hashable.
    method : str
    args : tuple
        References to objects are resolved for the actor.
    """

    key: tuple[Any, ...]
    method: str
    args: tuple[Any, ...]


@dataclass(frozen=True)
class Done:
    """A call that came to its end: with a value, or with an error in one line."""

    call: Call
    value: Any = None
    error: str = ""


class _Member:
    """An actor, and what it is doing."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.calls: dict[Any, Call] = {}
        self.ready: Any = actor.ready.remote()
        self.alone = False


class ActorPool:
    """Actors that take calls, the first come first.

    The pool grows while calls wait and the cluster has room, and one actor more is always asked for then, so that an
    autoscaler sees the demand. A call whose actor has died is made again by one that does nothing else meanwhile: so
    the third death is its own fault, and nobody else's.

    Parameters
    ----------
    make : callable
        Makes an actor, which has a method `ready` besides those that are called.
    min_size : int
    max_size : int, optional
        None: as many as there is room for.
    in_flight : int
        Calls that an actor is given at once.
    """

    def __init__(self, make: Callable[[], Any], *, min_size: int, max_size: int | None, in_flight: int) -> None:
        import ray

        self._ray = ray
        self._make = make
        self._min, self._max = min_size, max_size
        self._in_flight = in_flight
        self._members: list[_Member] = []
        self._waiting: deque[Call] = deque()
        self._deaths: Counter[tuple[Any, ...]] = Counter()
        self._evictions: Counter[tuple[Any, ...]] = Counter()
        self._failed: deque[Done] = deque()
        self._alive_at = time.monotonic()

    @property
    def size(self) -> int:
        """Actors that have started."""
        return sum(member.ready is None for member in self._members)

    @property
    def hungry(self) -> bool:
        """Whether actors could soon be without work."""
        return len(self._waiting) < self._in_flight * max(self._min, self.size)

    @property
    def idle(self) -> bool:
        """Whether no call is waiting or under way."""
        return not self._waiting and not self._failed and not any(member.calls for member in self._members)

    def submit(self, call: Call, *, first: bool = False) -> None:
        """Queue a call, behind the others or before them."""
        if first:
            self._waiting.appendleft(call)
        else:
            self._waiting.append(call)

    def withdraw(self, condition: Callable[[Call], bool]) -> list[Call]:
        """Take calls back that have not begun."""
        taken = [call for call in self._waiting if condition(call)]
        self._waiting = deque(call for call in self._waiting if not condition(call))
        return taken

    def results(self) -> Iterator[Done]:
        """Hand out work, and wait a moment for calls to end; those that have."""
        self._grow()
        self._hand_out()
        yield from self._take_failed()
        references: dict[Any, _Member] = {}
        for member in self._members:
            references.update(dict.fromkeys(member.calls, member))
            if member.ready is not None:
                references[member.ready] = member
        if not references:
            return
        done, _ = self._ray.wait(list(references), num_returns=1, timeout=_WAIT)
        if done:
            done, _ = self._ray.wait(list(references), num_returns=len(references), timeout=0)
        for reference in done:
            yield from self._ended(reference, references[reference])
        self._complain_if_stuck()

    def close(self) -> None:
        """End all actors at once; what they have not finished is lost."""
        for member in self._members:
            self._ray.kill(member.actor)
        self._members.clear()

    def _grow(self) -> None:
        starting = len(self._members) - self.size
        wanted = self._min if not self._waiting else max(self._min, self.size + max(1, self.size))
        most = wanted if self._max is None else min(wanted, self._max)
        # At most as many as there are already are waited for at once: an autoscaler doubles the pool in steps.
        while len(self._members) < most and starting <= max(self._min, self.size):
            self._members.append(_Member(self._make()))
            starting += 1

    def _hand_out(self) -> None:
        for depth in range(self._in_flight):
            for member in self._members:
                if not self._waiting:
                    return
                if member.ready is not None or member.alone or len(member.calls) > depth:
                    continue
                suspect = bool(self._deaths[self._waiting[0].key])
                if suspect and member.calls:
                    continue
                call = self._waiting.popleft()
                member.alone = suspect
                reference = getattr(member.actor, call.method).remote(*call.args)
                member.calls[reference] = call

    def _ended(self, reference: Any, member: _Member) -> Iterator[Done]:
        errors = self._ray.exceptions
        call = member.calls.pop(reference, None)
        if not member.calls:
            member.alone = False
        try:
            value = self._ray.get(reference)
        except errors.RayActorError as error:
            if call is not None:
                self._again(call, str(error))
            self._remove(member, str(error))
            yield from self._take_failed()
            return
        except errors.RayError as error:
            if call is None:
                # The actor cannot be made here at all: no other would fare better.
                self._remove(member, str(error))
                raise
            yield Done(call, error=_last_line(error))
            return
        self._alive_at = time.monotonic()
        if call is None:
            member.ready = None
        else:
            yield Done(call, value)

    def _remove(self, member: _Member, reason: str) -> None:
        if member in self._members:
            self._members.remove(member)
            about = {"reason": " ".join(reason.split())[:300], "calls": [call.key for call in member.calls.values()]}
            _log.info("an actor died: %s", about["reason"], extra=about)
        for call in member.calls.values():
            self._again(call, reason)
        member.calls.clear()

    def _again(self, call: Call, reason: str) -> None:
        if any(words in reason for words in _NODE_IS_GONE):
            self._evictions[call.key] += 1
        else:
            self._deaths[call.key] += 1
        if self._deaths[call.key] >= _ATTEMPTS or self._evictions[call.key] >= _EVICTIONS:
            died = f"the process died {self._deaths[call.key]} times meanwhile; is memory short?"
            gone = f"{self._evictions[call.key]} nodes went away meanwhile"
            self._failed.append(Done(call, error=died if self._deaths[call.key] >= _ATTEMPTS else gone))
        else:
            self._waiting.appendleft(call)

    def _take_failed(self) -> Iterator[Done]:
        while self._failed:
            yield self._failed.popleft()

    def _complain_if_stuck(self) -> None:
        if self.size:
            self._alive_at = time.monotonic()
        elif time.monotonic() - self._alive_at > _PATIENCE:
            self._alive_at = time.monotonic()
            _log.warning(
                "no worker has started yet; the cluster has %s free of %s",
                _amounts(self._ray.available_resources()),
                _amounts(self._ray.cluster_resources()),
            )


def _amounts(resources: dict[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0):g} {name}" for name in ("CPU", "GPU"))


def _last_line(error: Exception) -> str:
    """What the worker's exception says, without its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
