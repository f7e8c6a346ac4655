"""A small question beside a large one that wants the same, and more: it is asked for in its own turn, and once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from loaders.shared_reads import SharedReads
from services.cache_memory import MemoryCache
from services.deadlines import start_deadline
from services.errors import Timeout, UpstreamError
from services.partner_center.slots import Slots
from services.upstream_turns import ask_in_turn
from tests.loaders.bench import NUMBERS, settle

MANY = [f"key-{number}" for number in range(200)]
LAST = MANY[-1]


class Upstream:
    """Two calls at once, as the real one has its slots; each ends when a test lets it."""

    def __init__(self) -> None:
        self.reads = SharedReads(MemoryCache())
        self.slots = Slots(2, 2)
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self._under_way: list[asyncio.Event] = []

    async def fetch(self, key: str) -> int:
        slot = await self.slots.take(key)
        try:
            self.asked.append(key)
            answered = asyncio.Event()
            self._under_way.append(answered)
            await answered.wait()
        finally:
            self.slots.give_back(slot)
        if self.failure is not None:
            raise self.failure
        return int(key.partition("-")[2])

    def ask(self, who: str, *keys: str, seconds: float = 60) -> asyncio.Task[list[Any]]:
        async def read() -> list[Any]:
            ask_in_turn(who)
            start_deadline(seconds)
            return await self.reads.read_many(NUMBERS, keys, self.fetch)

        return asyncio.create_task(read())

    async def answer_one(self) -> None:
        """Ends the call that was made first, and lets the next one begin."""
        self._under_way.pop(0).set()
        await settle()

    async def answer_all(self) -> None:
        while self._under_way:
            await self.answer_one()


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


async def test_what_a_large_question_has_not_come_to_yet_is_the_next_call_and_the_only_one(upstream):
    large = upstream.ask("report", *MANY)
    await settle()
    small = upstream.ask("portal", LAST)
    await settle()
    await upstream.answer_one()

    assert upstream.asked == [MANY[0], MANY[1], LAST]
    await upstream.answer_one()
    await upstream.answer_one()
    assert await small == [199]
    assert not large.done()
    await upstream.answer_all()
    assert await large == list(range(200))
    assert sorted(upstream.asked) == sorted(MANY)


async def test_so_it_is_where_the_large_question_has_only_just_come(upstream):
    large = upstream.ask("report", *MANY)
    small = upstream.ask("portal", LAST)
    await settle()
    await upstream.answer_one()
    await upstream.answer_one()

    assert LAST in upstream.asked
    await upstream.answer_all()
    assert (await small, await large) == ([199], list(range(200)))
    assert sorted(upstream.asked) == sorted(MANY)


async def test_a_call_that_was_let_go_is_joined_and_not_made_again(upstream):
    large = upstream.ask("report", *MANY)
    await settle()
    small = upstream.ask("portal", MANY[0])
    await settle()
    await upstream.answer_one()

    assert await small == [0]
    await upstream.answer_all()
    await large
    assert sorted(upstream.asked) == sorted(MANY)


async def test_large_questions_join_each_other_and_each_key_is_asked_once_and_in_order(upstream):
    asking = [upstream.ask(f"caller {number}", *MANY) for number in range(20)]
    await settle()
    await upstream.answer_all()

    assert await asyncio.gather(*asking) == [list(range(200))] * 20
    assert upstream.asked == MANY


async def test_the_large_question_has_its_answer_although_the_small_one_was_given_up(upstream):
    large = upstream.ask("report", *MANY)
    await settle()
    small = upstream.ask("portal", LAST)
    await settle()
    small.cancel()
    await settle()
    await upstream.answer_all()

    assert await large == list(range(200))
    assert sorted(upstream.asked) == sorted(MANY)


async def test_the_small_question_has_its_answer_although_the_large_one_was_given_up(upstream):
    large = upstream.ask("report", *MANY)
    await settle()
    small = upstream.ask("portal", LAST)
    await settle()
    large.cancel()
    await settle()
    await upstream.answer_all()

    assert await small == [199]
    assert upstream.asked == [MANY[0], MANY[1], LAST]
    assert (upstream.slots.in_flight, upstream.slots.waiting) == (0, 0)


async def test_the_time_of_the_small_question_being_over_is_no_answer_for_the_large_one(upstream):
    large = upstream.ask("report", *MANY)
    await settle()
    small = upstream.ask("portal", LAST, seconds=2)
    await settle()
    await upstream.answer_one()
    assert upstream.asked[-1] == LAST
    upstream.failure = Timeout()
    await upstream.answer_one()  # of MANY[1]
    await upstream.answer_one()  # of LAST
    upstream.failure = None
    assert isinstance((await small)[0], Timeout)
    await upstream.answer_all()
    await settle()
    await upstream.answer_all()

    answers = await large
    assert answers[-1] == 199
    assert [type(answer) for answer in answers[:-1] if not isinstance(answer, int)] == [Timeout]


async def test_a_failure_is_that_of_both(upstream):
    large = upstream.ask("report", *MANY)
    await settle()
    small = upstream.ask("portal", LAST)
    await settle()
    await upstream.answer_one()
    await upstream.answer_one()
    upstream.failure = UpstreamError("no")
    await upstream.answer_one()
    upstream.failure = None
    await upstream.answer_all()

    [of_small] = await small
    assert (await large)[-1] is of_small
    assert of_small.message == "no"
