"""The cache that all replicas share: one MGET a batch, one pipeline of SETs with expiry.

What this process read or stored lately it has at hand (`services.near_memory`), and asks for generations alone.

A value is JSON, encoded from the models and decoded straight into them (`services.cache_forms`,
`services.cache_values`). What cannot be read is a miss and is deleted. Nothing here fails a request: see
`services.redis_guard`. No scripts: MGET, GET, SET, UNLINK, SCAN and, for generations, WATCH, MULTI and EXEC. However
many tenants are asked for, the round trips are the same, until a batch is larger than may be read or written in the
time of one operation.

Beside the values stand the generations of each tenant (`services.generations`), and claims: who fetches.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any, Final, NamedTuple

import structlog
from redis.exceptions import OutOfMemoryError, ResponseError

from services.cache import Absent, CacheUnavailable, Kept, Looked, times_of
from services.cache_forms import claim_name, encode, encode_value, takes
from services.cache_values import Batch, RedisValues, set_value
from services.generations import UNCHANGING, Generation, Generations, State, TenantKind, in_order, new_generation
from services.lookups import K, Lookup, V, Volatile, generation_key, key_prefix
from services.near_memory import NearMemory
from services.redis_guard import RedisGuard

GENERATION_SECONDS: Final = 2 * 86_400
"""Longer than any value is kept; one that is lost is begun anew."""
CLAIM_SECONDS: Final = 4
"""Shorter than anything is kept: a claim that was of use does not stand in the way of the next fetch, so it need not
be given back, and who looked before the answer came finds it rather than asking again."""
CLEAR_SECONDS: Final = 30.0
DISTRUST_SECONDS: Final = 15.0
"""After Redis was away the other replicas take up to so long to say what they changed meanwhile."""
LARGE_READ_KEYS: Final = 64
"""Reads of so many keys, such as lists of many tenants, take turns."""
BEGUN_AT_ONCE: Final = 128
STORED_AT_ONCE_BYTES: Final = 256 * 1024
"""So many generations begin, and so much is stored, with one operation: what is more keeps this process busy for so
long that others wait."""
_DELETED_AT_ONCE: Final = 500
_NAMESPACE = re.compile(r"[a-z0-9:-]+")
_log = structlog.get_logger(__name__)


class _Unmarked(NamedTuple):
    """The number of the latest mark that is missing, and the changes that may still count as under way."""

    number: int
    ended: frozenset[str]


class RedisCache:
    """Keeps look-ups in Redis under a namespace."""

    shared = True

    def __init__(
        self, guard: RedisGuard, namespace: str, *, near_bytes: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        if not _NAMESPACE.fullmatch(namespace):  # braces would move the tag, a star would clear others' keys
            raise ValueError("A cache namespace has small letters, digits, colons and hyphens only.")
        self.clock = clock
        self._guard = guard
        self._client = guard.client
        self._prefix = key_prefix(namespace)
        self._near = NearMemory(near_bytes)
        self._values = RedisValues(guard, self._prefix)
        self._local = Generations(clock)
        """Names what this process reads past the cache, so that its readers can share even that."""
        self._unmarked: dict[TenantKind, _Unmarked] = {}
        """Whose change could not be marked yet: read past the cache."""
        self._marks = 0
        self._trusted_from = float("-inf")
        self._large_reads = asyncio.Semaphore()
        self.remembers = near_bytes > 0
        guard.before_return = self._return
        guard.probe_name = f"{self._prefix}{{}}:probe"

    async def look_up(self, lookup: Lookup[K, V], keys: Sequence[K]) -> Sequence[Looked[V]]:
        if len(keys) < LARGE_READ_KEYS:
            return await self._look_up(lookup, keys) if keys else []
        answers: list[Looked[V]] = []
        while len(answers) < len(keys):
            async with self._large_reads:  # side by side each would take the time of all
                some = keys[len(answers) : len(answers) + self._values.sizes.at_once(lookup)]
                answers += await self._look_up(lookup, some)
        return answers

    async def _look_up(self, lookup: Lookup[K, V], keys: Sequence[K], *, by_memory: bool = True) -> Sequence[Looked[V]]:
        kinds = self._tenant_kinds(lookup, keys)
        names = lookup.keys(keys, self._prefix)
        near = self._near.find_many(names, self.clock()) if by_memory and self._near else {}
        far = [name for name in names if name not in near]
        asked = [self._generation_name(kind) for kind in kinds] + far
        found: Sequence[bytes | None] | None = await self._values.ask(lookup, asked, len(far)) if asked else []
        if found is None:
            return [self._looked_past(lookup, key) for key in keys]
        states = await self._states(dict(zip(kinds, found, strict=False)))
        raws = dict(zip(far, found[len(kinds) :], strict=True))
        now = self.clock()
        trusted_from = self._trusted_from if now < self._trusted_from + DISTRUST_SECONDS else float("-inf")
        places = {kind[0]: self._place(kind, state, now) for kind, state in states.items()}
        read = await self._values.read(lookup, keys, names, raws)
        outdated: dict[int, K] = {}
        answers: list[Looked[V]] = []
        for key, name in zip(keys, names, strict=True):
            value = read.get(name)
            if value is None:
                known = near.get(name)
            else:
                head, it, json_bytes = value
                kept = Kept(it, head.at, head.fresh, head.renew, head.absent)
                known = self._near.keep(name, kept, head.generation, now, json_bytes)
            if lookup.volatile is None:
                answers.append(Looked(None if known is None else known.kept, UNCHANGING, True))
                continue
            place = places[lookup.tenant_of(key)]
            if place is None:
                answers.append(self._looked_past(lookup, key))
            elif known is None:
                answers.append(place)
            elif known.generation == place.generation and known.kept.fetched_at >= trusted_from:
                answers.append(Looked(known.kept, place.generation, place.storable))
            else:
                if value is None:
                    outdated[len(answers)] = key
                answers.append(place)
        if outdated:  # another process may have stored what is of now
            newer = await self._look_up(lookup, list(outdated.values()), by_memory=False)
            for index, one in zip(outdated, newer, strict=True):
                answers[index] = one
        return answers

    def _place(self, kind: TenantKind, state: State | None, now: float) -> Looked[Any] | None:
        """What is said of a tenant's keys under which nothing stands; None where nothing is known of its changes."""
        if state is None or kind in self._unmarked:
            return None
        return Looked(None, state.generation, not state.is_changing(now))

    def _looked_past(self, lookup: Lookup[K, V], key: K) -> Looked[V]:
        if lookup.volatile is None:
            return Looked(None, UNCHANGING, not self._guard.resting)
        return Looked(None, self._local.current((lookup.tenant_of(key), lookup.volatile)), False)

    async def _states(self, found: Mapping[TenantKind, bytes | None]) -> dict[TenantKind, State | None]:
        """Reads generations, and begins those of tenants that had none or lost it; None: not to be had."""
        states = {kind: None if raw is None else State.read(raw) for kind, raw in found.items()}
        unknown = [kind for kind, raw in found.items() if raw is None]
        for start in range(0, len(unknown), BEGUN_AT_ONCE):
            states |= await self._begin_generations(unknown[start : start + BEGUN_AT_ONCE])
        garbled = [self._generation_name(kind) for kind, raw in found.items() if raw and states[kind] is None]
        if garbled:
            await self._guard.attempt("delete", lambda: self._values.delete(garbled))
        return states

    async def _begin_generations(self, kinds: Sequence[TenantKind]) -> dict[TenantKind, State | None]:
        begun = {kind: State(new_generation(changed=False)) for kind in kinds}
        names = {kind: self._generation_name(kind) for kind in kinds}

        async def begin() -> dict[TenantKind, State | None]:
            pipeline = self._client.pipeline(transaction=False)
            for kind, state in begun.items():
                set_value(pipeline, names[kind], state.text(), GENERATION_SECONDS, if_new=True)
            states: dict[TenantKind, State | None] = {}
            of_another_type: list[str] = []
            for kind, older in zip(kinds, await pipeline.execute(raise_on_error=False), strict=True):
                if isinstance(older, Exception):
                    if not _is_of_another_type(older):
                        raise older
                    of_another_type.append(names[kind])
                    states[kind] = None
                else:  # another reader may be quicker
                    states[kind] = begun[kind] if older is None else State.read(older)
            if of_another_type:
                await self._values.delete(of_another_type)
            return states

        nothing = dict.fromkeys(kinds)
        states: dict[TenantKind, State | None] = await self._guard.attempt(
            "begin generations", begin, otherwise=nothing
        )
        return states

    async def store_many(
        self, lookup: Lookup[K, V], values: Mapping[K, V | Absent], generations: Mapping[K, Generation]
    ) -> None:
        now, batch = self.clock(), Batch()
        for key, value in values.items():
            generation = generations[key]
            times = times_of(lookup, value, generation, now)
            name = self._prefix + lookup.key(key)
            self._near.drop(name)
            absent = value if isinstance(value, Absent) else None
            data, digest = b"", ""
            if absent is None:
                data = encode_value(value)
                value, digest = self._values.in_common(batch, lookup, key, value, data, now)
            kept = Kept(None if absent else value, now, now + times.fresh, now + times.renew, absent)
            raw = await encode(generation, kept, data, digest) if times.kept else None
            if raw is None:  # too large, or not to be kept; what was kept before is out of date
                batch.gone += [name, claim_name(name, generation)]
                continue
            self._near.keep(name, kept, generation, now, len(data))
            batch.add(name, raw, times.kept)
            if batch.size_bytes >= STORED_AT_ONCE_BYTES:
                await self._values.write(lookup, batch, now)
                batch = Batch()
        await self._values.write(lookup, batch, now)

    @asynccontextmanager
    async def changing(self, tenant_id: str, kinds: Collection[Volatile]) -> AsyncIterator[None]:
        names, change = in_order(kinds, tenant_id), token_hex(6)
        self._local.begin(names)
        begun = asyncio.create_task(self._mark(names, begins=change))
        try:
            await asyncio.shield(begun)
            yield
        finally:
            self._local.end(names)
            await asyncio.wait([begun])  # if it was cancelled: the end comes after the beginning
            await self._mark(names, ends=change)

    async def _mark(self, names: Sequence[TenantKind], *, begins: str | None = None, ends: str | None = None) -> None:
        """Replaces generations. Until that has worked this process reads past the cache, also if nobody waits."""
        self._marks += 1
        number = self._marks
        for name in names:
            self._unmarked[name] = _Unmarked(number, self._ended(name) | ({ends} if ends else frozenset()))

        async def mark() -> bool:
            await self._replace(names, begins)
            self._marked(dict.fromkeys(names, number))
            return True

        if names and not await self._guard.attempt("mark a change", mark, insist=True):
            self._guard.recover()

    def _marked(self, numbers: Mapping[TenantKind, int]) -> None:
        for name, number in numbers.items():
            if name in self._unmarked and self._unmarked[name].number == number:
                del self._unmarked[name]

    def _ended(self, name: TenantKind) -> frozenset[str]:
        return self._unmarked[name].ended if name in self._unmarked else frozenset()

    async def _return(self) -> None:
        """Marks the changes that could not be marked when they were made, before Redis is used again."""
        for name, unmarked in list(self._unmarked.items()):
            await self._replace([name])
            self._marked({name: unmarked.number})
        if self._guard.resting:
            self._trusted_from = self.clock()

    async def _replace(self, names: Sequence[TenantKind], begins: str | None = None) -> None:
        keys = [self._generation_name(name) for name in names]
        now = self.clock()

        async def decide(pipe: Any) -> None:  # a pipeline, which redis types as what it is before MULTI or after
            states = [State.read(await pipe.get(key) or b"") or State("0.0") for key in keys]
            pipe.multi()
            for name, key, state in zip(names, keys, states, strict=True):
                fresh = new_generation(changed=True, clock=self.clock)
                text = state.changed(fresh, now, begins=begins, ended=self._ended(name)).text()
                pipe.set(key, text, ex=GENERATION_SECONDS)

        try:
            await self._client.transaction(decide, *keys)
        except OutOfMemoryError:  # a generation that is gone is as good: none can be begun before there is room
            await self._values.delete(keys)
        except ResponseError as error:
            if not _is_of_another_type(error):
                raise
            await self._values.delete(keys)
            await self._client.transaction(decide, *keys)

    async def claim(
        self, lookup: Lookup[K, V], generations: Mapping[K, Generation], of_keys: int | None = None
    ) -> set[K]:
        wanted = of_keys or len(generations)

        async def take() -> set[K]:
            pipeline = self._client.pipeline(transaction=False)
            for key, generation in generations.items():
                name = claim_name(self._prefix + lookup.key(key), generation)
                set_value(pipeline, name, wanted, CLAIM_SECONDS, if_new=True)
            older = await pipeline.execute()
            return {key for key, one in zip(generations, older, strict=True) if takes(one, wanted)}

        every = set(generations)
        taken: set[K] = await self._guard.attempt("claim", take, otherwise=every)
        return taken

    async def release(self, lookup: Lookup[K, V], generations: Mapping[K, Generation]) -> None:
        names = [claim_name(self._prefix + lookup.key(key), one) for key, one in generations.items()]
        if names:
            await self._guard.attempt("release", lambda: self._values.delete(names))

    async def clear(self) -> None:
        async def delete_all() -> None:
            names: list[bytes] = []
            # The brace ends the namespace: another one that only begins alike is left alone.
            async for name in self._client.scan_iter(match=f"{self._prefix}{{*", count=_DELETED_AT_ONCE):
                names.append(name)
                if len(names) == _DELETED_AT_ONCE:
                    await self._values.delete(names)
                    names.clear()
            await self._values.delete(names)

        self._near.clear()
        self._values.clear()
        self._local.renew_all()
        await self._guard.attempt("clear", delete_all, insist=True, whole_seconds=CLEAR_SECONDS)

    async def ping(self) -> None:
        try:
            await self._guard.ping()
        except Exception as error:
            raise CacheUnavailable(f"Redis does not answer ({type(error).__name__}).") from error

    async def close(self) -> None:
        await self._guard.close()

    def _tenant_kinds(self, lookup: Lookup[K, V], keys: Iterable[K]) -> list[TenantKind]:
        if lookup.volatile is None:
            return []
        return [(tenant, lookup.volatile) for tenant in dict.fromkeys(map(lookup.tenant_of, keys))]

    def _generation_name(self, name: TenantKind) -> str:
        return self._prefix + generation_key(*name)


def _is_of_another_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")
