"""Whole answers, given again to the same caller's same question while everything that they rest on is the same.

An answer is kept only where nothing but look-ups of the cache had a say in it (`loaders.traces`), all of them fresh,
and given again only while each is still there, unchanged and fresh. So it is what would be answered anew, but for its
request id. Who asks is part of the key: what one caller may see is never given to another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from loaders.traces import Basis
from services.cache import LookupCache
from services.upstream_use import UpstreamUse

LARGEST_PART = 4
"""No answer takes more than a quarter of the room."""
BYTES_A_KEY = 64
"""What a key of a look-up takes in a basis, about."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer but for its request id, and what it would count as."""

    before_id: bytes
    after_id: bytes
    basis: Basis
    use: UpstreamUse
    size_bytes: int

    def pieces(self, request_id: str) -> tuple[bytes, bytes, bytes]:
        """The answer to a request of that id, in pieces: a large one is not copied."""
        return self.before_id, request_id.encode(), self.after_id


class KeptAnswers:
    """At most `max_bytes` of answers; the one that was not asked for longest makes room."""

    def __init__(self, cache: LookupCache, max_bytes: int) -> None:
        self._cache = cache
        self._max_bytes = max_bytes if cache.remembers else 0
        self._answers: OrderedDict[Hashable, KeptAnswer] = OrderedDict()
        self.size_bytes = 0

    async def find(self, key: Hashable) -> KeptAnswer | None:
        """Gives the answer if it would be the same now."""
        answer = self._answers.get(key)
        if answer is None:
            return None
        if not await answer.basis.holds(self._cache):
            if self._answers.get(key) is answer:
                self._drop(key)
            return None
        if key in self._answers:
            self._answers.move_to_end(key)
        return answer

    def keep(self, key: Hashable, body: bytes, request_id: str, basis: Basis, use: UpstreamUse) -> None:
        """Keeps an answer that came of look-ups alone, without errors, if it is of what the cache holds and fresh."""
        if use.calls or use.cache_misses or use.stale or use.waited_seconds:
            return
        before_id, found, after_id = body.rpartition(request_id.encode())
        size_bytes = len(body) + BYTES_A_KEY * basis.keys
        if not found or size_bytes > self._max_bytes // LARGEST_PART or self._cache.clock() >= basis.fresh_until:
            return
        self._drop(key)
        self._answers[key] = KeptAnswer(before_id, after_id, basis, use, size_bytes)
        self.size_bytes += size_bytes
        while self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Hashable) -> None:
        if answer := self._answers.pop(key, None):
            self.size_bytes -= answer.size_bytes
