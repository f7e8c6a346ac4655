"""Locks by name: what must not happen side by side in one tenant, in this process and across replicas.

Microsoft has the last word on every unit and name, so a lock orders changes and spares refusals; nothing is
wrong without one. That is why Redis being away leaves the local locks, and is no error.

All take locks in one order, within a tenant first of sign-in names, then of people, then of products: the
alphabetical order of `name`, `person`, `sku`. Who takes more while holding some goes on in that order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from hashlib import sha256
from typing import Final, Protocol

from services.models import UserRef
from services.store_errors import LockTimeout

LEASE_SECONDS: Final = 30.0


def sku_lock(tenant_id: str, sku_id: str) -> str:
    """Names the lock of the units of one product in a tenant."""
    return f"{tenant_id}:sku:{sku_id}"


def user_lock(user: UserRef) -> str:
    """Names the lock of one user."""
    return f"{user.tenant_id}:person:{user.user_id}"


def sign_in_name_lock(tenant_id: str, user_principal_name: str) -> str:
    """Names the lock of a sign-in name that is about to be taken; the name cannot be read in it."""
    return f"{tenant_id}:name:{sha256(user_principal_name.lower().encode()).hexdigest()}"


class Locks(Protocol):
    """Gives locks by name. Names begin with the tenant's id and a colon, as the functions above make them."""

    def hold(self, names: Sequence[str], *, deadline_seconds: float) -> AbstractAsyncContextManager[None]:
        """Holds all the locks while the block runs; they are taken in the order of their names, so two holders
        never wait for each other. LockTimeout when they were not to be had in time; nothing is held then."""


class MemoryLocks:
    """Locks of this process, first come, first served. One that nobody wants is forgotten."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._wanted: dict[str, int] = {}

    def __len__(self) -> int:
        """Gives the number of locks that are held or waited for."""
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, names: Sequence[str], *, deadline_seconds: float) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(deadline_seconds):
                    for name in sorted(set(names)):
                        await held.enter_async_context(self._one(name))
            except TimeoutError:
                raise LockTimeout from None
            yield

    @asynccontextmanager
    async def _one(self, name: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._wanted[name] = self._wanted.get(name, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._wanted[name] -= 1
            if not self._wanted[name]:
                del self._locks[name], self._wanted[name]
