"""What every look-up has in common: one question a key, and answers that outlive a waiter."""

import asyncio
import gc

import pytest

from loaders.read_through import Loader, Reader, fetch_each
from loaders.shared_reads import SharedReads
from services.cache_memory import MemoryCache
from services.errors import UpstreamError
from services.lookups import DOMAINS
from services.upstream_use import start_counting


async def test_keys_of_one_tick_are_asked_together_and_each_once():
    asked = []

    async def batch(keys):
        asked.append(keys)
        return [key.upper() for key in keys]

    loader = Loader(batch)

    assert await loader.load_many(["a", "b", "a"]) == ["A", "B", "A"]
    assert await loader.load_many(["b", "c"]) == ["B", "C"]
    assert asked == [["a", "b"], ["c"]]


async def test_forgetting_asks_again():
    asked = []

    async def batch(keys):
        asked.append(keys)
        return keys

    loader = Loader(batch)
    await loader.load("a")
    loader.clear_all()
    await loader.load("a")

    assert asked == [["a"], ["a"]]


async def test_a_waiter_that_is_cancelled_does_not_take_the_answer_from_others():
    """graphql-core cancels the fields beside one that failed, and they may wait for what others wait for."""
    go_on = asyncio.Event()

    async def batch(keys):
        await go_on.wait()
        return keys

    loader = Loader(batch)

    async def wait():
        return await loader.load("a")

    given_up, patient = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    go_on.set()

    assert await patient == "a"
    assert given_up.cancelled()


async def test_a_failure_that_nobody_waits_for_any_more_is_not_complained_about():
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))

    async def batch(keys):
        await asyncio.sleep(0)
        return [UpstreamError() for _ in keys]

    async def wait(loader):
        await loader.load("a")

    waiting = asyncio.create_task(wait(Loader(batch)))
    await asyncio.sleep(0)
    waiting.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    del waiting
    gc.collect()

    assert complaints == []


async def test_the_error_of_one_key_is_not_that_of_another():
    async def batch(keys):
        return [UpstreamError("no") if key == "bad" else key for key in keys]

    loader = Loader(batch)
    answers = await asyncio.gather(loader.load("good"), loader.load("bad"), return_exceptions=True)

    assert answers[0] == "good"
    assert isinstance(answers[1], UpstreamError)


async def test_a_failed_key_is_not_kept_and_the_others_are():
    reader = Reader(SharedReads(MemoryCache()))
    failing = True

    async def fetch(key):
        if key == "b" and failing:
            raise UpstreamError("no")
        return [key]

    async def read():
        return await reader.read_many(DOMAINS, ["a", "b"], fetch)

    first = await read()
    failing = False
    use = start_counting()
    second = await read()

    assert first[0] == ["a"]
    assert isinstance(first[1], UpstreamError)
    assert second == [["a"], ["b"]]
    assert (use.cache_hits, use.cache_misses) == (1, 1)


@pytest.mark.parametrize(("max_age", "hit"), [(None, True), (60, True), (0, False)])
async def test_nothing_older_than_asked_for_is_taken_from_the_cache(max_age, hit):
    reads = SharedReads(MemoryCache())

    async def fetch(key):
        return [key]

    await Reader(reads).read_many(DOMAINS, ["a"], fetch)
    [kept] = await Reader(reads, max_age).at_hand(DOMAINS, ["a"])

    assert (kept is not None) is hit


async def test_cancellation_is_no_answer():
    async def fetch(key):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await fetch_each(["a"], fetch)
