"""Which shards of which sources are still being made: the bookkeeping that in-process and Ray jobs share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from haarchive.pipeline.jobs.stages import WrittenShard

__all__ = ["Failure", "Ledger", "Settled"]

_Key = TypeVar("_Key")


@dataclass(frozen=True)
class Failure:
    """A shard that could not be made, and why, in one line."""

    source: str
    task: int
    error: str


@dataclass(frozen=True)
class Settled(Generic[_Key]):
    """A source none of whose shards is still being made.

    Parameters
    ----------
    source : str
    key : object
        What `Ledger.expect` was given for the source.
    written : tuple of WrittenShard
        In the order of the plan; all of its shards where `error` is empty.
    error : str
        Why one of its shards failed; empty where none did.
    """

    source: str
    key: _Key
    written: tuple[WrittenShard, ...] = ()
    error: str = ""


@dataclass
class _Account(Generic[_Key]):
    key: _Key
    due: set[int]
    written: list[WrittenShard] = field(default_factory=list)
    error: str = ""


class Ledger(Generic[_Key]):
    """Sources with shards that are due."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account[_Key]] = {}

    def expect(self, source: str, n_tasks: int, key: _Key) -> None:
        """Open an account of shards 0 to `n_tasks` (at least 1) of a source."""
        self._accounts[source] = _Account(key, set(range(n_tasks)))

    def failed(self, source: str) -> bool:
        """Whether a shard of the source failed already, so that its others need not be made."""
        account = self._accounts.get(source)
        return account is not None and bool(account.error)

    def settle(self, outcome: WrittenShard | Failure) -> Settled[_Key] | None:
        """Book one shard; the first outcome counts where a shard was made twice.

        Returns
        -------
        Settled or None
            The source, if this was the last of its shards.
        """
        account = self._accounts.get(outcome.source)
        if account is None or outcome.task not in account.due:
            return None
        account.due.remove(outcome.task)
        if isinstance(outcome, Failure):
            account.error = account.error or outcome.error
        else:
            account.written.append(outcome)
        return None if account.due else self._close(outcome.source)

    def _close(self, source: str) -> Settled[_Key]:
        account = self._accounts.pop(source)
        written = tuple(sorted(account.written, key=lambda shard: shard.task))
        return Settled(source, account.key, written, account.error)
