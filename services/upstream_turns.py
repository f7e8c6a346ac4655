"""Who asks Partner Center: calls that wait are taken in turn by caller, and those of jobs come last."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Final

MOST_WAITING: Final = 64
"""Calls that one request keeps waiting; a request's further ones wait for a place among these."""
MOST_WAITING_PER_TENANT: Final = 8
"""Of these, for one tenant: else calls to a tenant that does not answer would keep out those to the others."""

MUCH_LARGER: Final = 4
"""A question of so many times the keys of another one keeps that waiting, where both want the same."""


class Asker:
    """One request, or one job, and the places that its waiting calls take. `key` tells callers apart."""

    __slots__ = ("_by_tenant", "_places", "is_job", "key")

    def __init__(self, key: str, *, is_job: bool = False) -> None:
        self.key = key
        self.is_job = is_job
        self._places = asyncio.Semaphore(MOST_WAITING)
        self._by_tenant: dict[str | None, asyncio.Semaphore] = {}

    async def take_place(self, tenant_id: str | None) -> None:
        """Takes a place among the waiting, when there is one, for `leave_place`."""
        of_tenant = self._by_tenant.get(tenant_id)
        if of_tenant is None:
            of_tenant = self._by_tenant[tenant_id] = asyncio.Semaphore(MOST_WAITING_PER_TENANT)
        await of_tenant.acquire()
        try:
            await self._places.acquire()
        except BaseException:
            of_tenant.release()
            raise

    def leave_place(self, tenant_id: str | None) -> None:
        self._places.release()
        self._by_tenant[tenant_id].release()


class _Nobody(Asker):
    """Whoever did not say who asks, such as a check at start: all of them together are one caller."""

    async def take_place(self, tenant_id: str | None) -> None:
        return

    def leave_place(self, tenant_id: str | None) -> None:
        return


class Turn:
    """Whether the turn of a call has come, for who may have it asked for in another's place as long as it has not."""

    __slots__ = ("has_come",)

    def __init__(self) -> None:
        self.has_come = False


_NOBODY = _Nobody("")
_turn: ContextVar[Turn | None] = ContextVar("upstream_turn", default=None)
_asker: ContextVar[Asker] = ContextVar("upstream_asker", default=_NOBODY)


def ask_in_turn(caller_key: str, *, is_job: bool = False) -> None:
    """Says for this request, and every task it starts from here on, whose turn its calls take.

    `caller_key` is the same for all requests of one caller, and of no other.
    """
    _asker.set(Asker(caller_key, is_job=is_job))


def current_asker() -> Asker:
    """Who asks."""
    return _asker.get()


def is_much_larger(keys: int, than: int) -> bool:
    """Whether a question of so many keys is better not waited for by one of the others."""
    return keys > MUCH_LARGER * than


def watch_turn() -> Turn:
    """Gives what will say that the first call of this task was let go."""
    turn = Turn()
    _turn.set(turn)
    return turn


def turn_has_come() -> None:
    """Says that a call of this task is let go now."""
    turn = _turn.get()
    if turn is not None:
        turn.has_come = True
