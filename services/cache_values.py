"""Values in the cache's Redis: read, written and deleted, many with one operation, with what they have in common.

What cannot be read is no value, and is deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final

import structlog

from services.cache_bodies import BODY_OVER_BYTES, BODY_SECONDS, Bodies, Body, digest_of
from services.cache_forms import COMPRESSED_OVER_BYTES, Form, Head, ReadSizes, read_form, read_value, unpack
from services.lookups import K, Lookup, V, body_key
from services.redis_guard import RedisGuard

READ_SIZE: Final = 128
"""A read of so many keys has the time of one operation, and of twice as many twice that time."""
DECODED_AT_ONCE_BYTES: Final = 512 * 1024
"""What is more keeps this process busy for so long that others wait."""
_ANSWERS: Final = {bytes, type(None)}
_log = structlog.get_logger(__name__)


Value = tuple[Head, Any, int]
"""A value that was read, with the head of its form and the bytes of its JSON."""


class Batch:
    """What is written with one operation: forms with their seconds, bodies before them, and keys that go."""

    def __init__(self) -> None:
        self.forms: list[tuple[str, bytes, float]] = []
        self.bodies: dict[str, bytes] = {}
        self.gone: list[str] = []
        self.size_bytes = 0

    def add(self, name: str, raw: bytes, seconds: float) -> None:
        self.forms.append((name, raw, seconds))
        self.size_bytes += len(raw)


class RedisValues:
    """The values of one cache. Trouble with Redis is a miss, or a write that is dropped: see `services.redis_guard`."""

    def __init__(self, guard: RedisGuard, prefix: str) -> None:
        self._guard = guard
        self._client = guard.client
        self._prefix = prefix
        self._bodies = Bodies()
        self.sizes = ReadSizes()

    def in_common(self, batch: Batch, lookup: Lookup[K, V], key: K, value: V, data: bytes, now: float) -> tuple[V, str]:
        """Gives the value that many keys have in common, and the digest of its body; of others the value itself.

        The body is put into the batch if it may not be in Redis.
        """
        if not lookup.alike or not BODY_OVER_BYTES < len(data) <= COMPRESSED_OVER_BYTES:
            return value, ""
        digest = digest_of(data)
        body = self._bodies.find(lookup.kind, digest) or self._bodies.meet(lookup.kind, digest, Body(value, len(data)))
        name = self._body_name(lookup.tenant_of(key), digest)
        if name not in batch.bodies and self._bodies.is_due(name, now):
            batch.bodies[name] = data
            batch.size_bytes += len(data)
        return body.value, digest

    async def write(self, lookup: Lookup[Any, Any], batch: Batch, now: float) -> None:
        """Writes a batch, if there is anything in it."""

        async def write() -> None:
            pipeline = self._client.pipeline(transaction=False)
            for name, data in batch.bodies.items():
                set_value(pipeline, name, data, BODY_SECONDS)
            for name, raw, seconds in batch.forms:
                set_value(pipeline, name, raw, seconds)
            for name in batch.gone:
                pipeline.execute_command("UNLINK", name)
            await pipeline.execute()
            for name in batch.bodies:
                self._bodies.stored(name, now)

        if batch.forms or batch.gone:
            await self._guard.attempt("store", write)
            self.sizes.saw(lookup, len(batch.forms), batch.size_bytes)

    async def read(
        self, lookup: Lookup[K, V], keys: Sequence[K], names: Sequence[str], raws: Mapping[str, bytes | None]
    ) -> dict[str, Value]:
        """Gives what the forms under some of the keys' names stand for, by name. What cannot be read is deleted."""
        values: dict[str, Value] = {}
        unreadable: list[str] = []
        without_body: dict[str, Form] = {}
        undecoded = DECODED_AT_ONCE_BYTES
        for name, raw in raws.items():
            if raw is None:
                continue
            undecoded -= len(raw)
            if undecoded < 0:
                undecoded = DECODED_AT_ONCE_BYTES
                await asyncio.sleep(0)  # others have their turn
            plain = raw if raw.startswith(b"{") else await unpack(raw)
            form = None if plain is None else read_form(plain)
            if form is None:
                unreadable.append(name)
                continue
            head, data, digest = form
            if digest:
                body = self._bodies.find(lookup.kind, digest)
                if body is None:
                    without_body[name] = form
                else:
                    values[name] = head, body.value, body.json_bytes
            else:
                try:
                    value = None if head.absent else read_value(lookup.value_type, data)
                    values[name] = head, value, len(data)
                except ValueError:
                    unreadable.append(name)
        if without_body:
            key_of = dict(zip(names, keys, strict=True))
            tenants = {digest: lookup.tenant_of(key_of[name]) for name, (_, _, digest) in without_body.items()}
            found = await self._bodies_of(lookup, tenants)
            for name, (head, _, digest) in without_body.items():
                if digest in found:
                    values[name] = head, found[digest].value, found[digest].json_bytes
        if unreadable:
            _log.warning("cache_value_unreadable", kind=lookup.kind, count=len(unreadable))
            await self._guard.attempt("delete", lambda: self.delete(unreadable))
        return values

    async def _bodies_of(self, lookup: Lookup[Any, Any], tenants: Mapping[str, str]) -> dict[str, Body]:
        """Gives the bodies that Redis has, by digest, and has them at hand from now on. Each is asked for with its
        tenant."""
        names = [self._body_name(tenant, digest) for digest, tenant in tenants.items()]
        raws = await self._guard.attempt("get", lambda: self._get(names), size=max(1, ceil(len(names) / READ_SIZE)))
        found: dict[str, Body] = {}
        for digest, name, data in zip(tenants, names, raws or (), strict=False):
            try:
                if data is None or digest_of(data) != digest:
                    raise ValueError("no such body")
                body = Body(read_value(lookup.value_type, data), len(data))
            except ValueError:
                self._bodies.is_gone(name)
            else:
                found[digest] = self._bodies.meet(lookup.kind, digest, body)
        return found

    async def ask(self, lookup: Lookup[K, V], names: Sequence[str], values: int) -> Sequence[bytes | None] | None:
        """Gives what stands under the names, the values last, and takes note of how that went."""
        rested = self._guard.resting
        found: Sequence[bytes | None] | None = await self._guard.attempt(
            "get", lambda: self._get(names), size=max(1, ceil(values / READ_SIZE))
        )
        if not rested and values:
            self.sizes.went(lookup, values, well=found is not None)
        sizes = [len(raw) for raw in found[len(names) - values :] if raw is not None] if found else []
        self.sizes.saw(lookup, len(sizes), sum(sizes))
        return found

    async def delete(self, names: Iterable[str | bytes]) -> None:
        # One key a command, since they may lie in several slots; and not by the pipeline's `unlink`, which on
        # a cluster is a coroutine that asks at once.
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.execute_command("UNLINK", name)
        await pipeline.execute()

    def clear(self) -> None:
        """Forgets what this process has at hand, and what it knows to be in Redis."""
        self._bodies.clear()

    async def _get(self, names: Sequence[str]) -> Sequence[bytes | None]:
        # On a cluster an MGET a slot, a round trip a node.
        read = self._client.mget_nonatomic if self._guard.on_cluster else self._client.mget
        answer = await read(names)
        if not isinstance(answer, list) or len(answer) != len(names) or not {*map(type, answer)} <= _ANSWERS:
            raise ValueError("no answer to MGET")
        return answer

    def _body_name(self, tenant_id: str, digest: str) -> str:
        return self._prefix + body_key(tenant_id, digest)


def set_value(pipeline: Any, name: str, value: bytes | str | int, seconds: float, *, if_new: bool = False) -> None:
    """Adds a SET, with `if_new` one that gives what stood there. The pipeline's own `set` costs seven times as much,
    which is a lot for the tenants of a whole portfolio."""
    options = ("NX", "GET") if if_new else ()
    pipeline.execute_command("SET", name, value, "PX", max(1, round(seconds * 1000)), *options, get=if_new)
