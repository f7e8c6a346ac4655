"""A look-up that asks the cache first and Partner Center for what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Generic, TypeVar

from aiodataloader import DataLoader

from loaders.flights import Fetch
from loaders.shared_reads import SharedReads
from loaders.traces import ReadTrace
from services.cache import Kept
from services.errors import UpstreamError
from services.lookups import Lookup

K = TypeVar("K")
V = TypeVar("V")


class Loader(Generic[K, V]):
    """One look-up within one request: keys asked for in the same tick go together, and each is asked once.

    graphql-core cancels the fields beside one that failed. An answer that others wait for as well outlives that,
    and a failure that nobody waits for any more is not reported as unseen.
    """

    def __init__(self, batch: Callable[[list[K]], Coroutine[Any, Any, list[V | Exception]]]) -> None:
        self._batch = batch
        self._running: set[asyncio.Task[list[V | Exception]]] = set()
        self._stopped = False
        self._known: dict[K, V | Exception] = {}
        self._asked: dict[K, asyncio.Task[None]] = {}
        # aiodataloader wants values alone, though it takes exceptions among them.
        self._loader: DataLoader[K, V] = DataLoader(self._run)  # type: ignore[arg-type]

    async def many(self, keys: Sequence[K]) -> list[V | Exception]:
        """Gives the answer for each key of a whole level, in order; a failed key's is its exception.

        Nothing is made for a key that is known already, and no future for any.
        """
        known, asked = self._known, self._asked
        new = [key for key in dict.fromkeys(keys) if key not in known and key not in asked]
        if new:
            batch = asyncio.create_task(self._fill(new))
            asked.update(dict.fromkeys(new, batch))
        if asked:
            for batch in {asked[key] for key in keys if key in asked}:
                await asyncio.shield(batch)
        return [known[key] for key in keys]

    async def _fill(self, keys: list[K]) -> None:
        answers = await self._run(keys)
        self._known.update(zip(keys, answers, strict=True))
        for key in keys:
            self._asked.pop(key, None)

    def load(self, key: K) -> asyncio.Future[V]:
        """Gives the answer for a key, or raises its error."""
        if key in self._known:
            return self._at_once(self._known[key])
        answer = self._loader.load(key)
        if answer.done():
            return answer
        own = asyncio.shield(answer)
        answer.add_done_callback(_take_note)
        own.add_done_callback(_take_note)
        return own

    def load_many(self, keys: Iterable[K]) -> asyncio.Future[list[V]]:
        """Gives the answers for all keys, in order, or raises the first error."""
        return asyncio.gather(*map(self.load, keys))

    def known(self, key: K) -> V | None:
        """The answer that `many` has given in this request already, if there was one."""
        answer = self._known.get(key)
        return None if isinstance(answer, Exception) else answer

    def clear_all(self) -> None:
        """Forgets what this request has asked so far."""
        self._loader.clear_all()
        self._known.clear()
        self._asked.clear()

    def stop(self) -> None:
        """Ends what is still asked: nobody waits for the answer any more. What was read is let go: loaders refer to
        themselves, and would keep the lists of hundreds of tenants until garbage is collected."""
        self._stopped = True
        for batch in self._running:
            batch.cancel()
        if not self._running:
            self.clear_all()

    def _at_once(self, known: V | Exception) -> asyncio.Future[V]:
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        if isinstance(known, Exception):
            answer.set_exception(known)
            answer.add_done_callback(_take_note)
        else:
            answer.set_result(known)
        return answer

    async def _run(self, keys: list[K]) -> list[V | Exception]:
        # A task of its own: aiodataloader leaves whoever waits for a cancelled batch waiting for ever.
        batch = asyncio.create_task(self._batch(keys))
        self._running.add(batch)
        try:
            if self._stopped:
                batch.cancel()
            await asyncio.wait([batch])
        finally:
            self._running.discard(batch)
            batch.cancel()
        if not batch.cancelled():
            return batch.result()
        return [UpstreamError("The request ended before Microsoft had answered.") for _ in keys]


def _take_note(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()


class Reader:
    """The cache as one request sees it: nothing older than `max_age_seconds`, everything counted, and traced."""

    def __init__(
        self, reads: SharedReads, max_age_seconds: float | None = None, trace: ReadTrace | None = None
    ) -> None:
        self._reads = reads
        self._max_age_seconds = max_age_seconds
        self._trace = trace

    async def at_hand(self, lookup: Lookup[K, V], keys: Sequence[K]) -> list[Kept[V] | None]:
        """What is kept for each key, in order. Counts nothing, and never asks Partner Center."""
        return await self._reads.at_hand(lookup, keys, self._max_age_seconds, self._trace)

    async def read_many(self, lookup: Lookup[K, V], keys: Sequence[K], fetch: Fetch[K, V]) -> list[V | Exception]:
        """One answer a key, in order: kept, else fetched and then kept. A failed key is its exception."""
        max_age_seconds = None if lookup.settled else self._max_age_seconds
        return await self._reads.read_many(lookup, keys, fetch, max_age_seconds, self._trace)


async def fetch_each(keys: Sequence[K], fetch: Callable[[K], Awaitable[V]]) -> list[V | Exception]:
    """Asks for every key side by side; the transport bounds how many calls are in flight.

    A key's exception is its answer. Cancellation is no answer: it ends the whole batch.
    """
    answers = await asyncio.gather(*(fetch(key) for key in keys), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException) or isinstance(answer, Exception)]


def read_through(reader: Reader, lookup: Lookup[K, V], fetch: Callable[[K], Awaitable[V]]) -> Loader[K, V]:
    """A loader for a look-up that Partner Center answers one key at a time: n misses cost n calls."""

    async def batch(keys: list[K]) -> list[V | Exception]:
        return await reader.read_many(lookup, keys, fetch)

    return Loader(batch)
