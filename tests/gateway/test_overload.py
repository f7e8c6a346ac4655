"""Too much at once: who waits, who is turned away, and that what is under way is answered all the same."""

import asyncio
from collections import Counter

import pytest

from gateway.overload import TooMuch, Turns
from tests.gateway_client import sandbox  # noqa: F401 (fixture)
from tests.served_gateway import served, token_of, until

TENANTS = "{ tenants(first: 1) { nodes { name } } }"


async def test_turns_come_in_the_order_in_which_they_were_asked_for():
    turns = Turns(1, 3, 60)
    order: list[int] = []

    async def work(number: int) -> None:
        await turns.enter()
        order.append(number)
        turns.leave()

    await turns.enter()
    waiting = [asyncio.create_task(work(number)) for number in range(3)]
    await until(lambda: turns.waiting == 3)
    with pytest.raises(TooMuch):
        await turns.enter()
    turns.leave()
    await asyncio.gather(*waiting)

    assert order == [0, 1, 2]
    assert (turns.running, turns.waiting) == (0, 0)


async def test_who_waits_in_vain_is_told_so_and_who_gives_up_leaves_the_place_to_the_next():
    turns = Turns(1, 2, 0.01)
    await turns.enter()
    with pytest.raises(TooMuch):
        await turns.enter()
    patient = Turns(1, 2, 60)
    await patient.enter()
    first = asyncio.create_task(patient.enter())
    second = asyncio.create_task(patient.enter())
    await until(lambda: patient.waiting == 2)
    patient.leave()  # the first has its turn, and is cancelled before it knows
    first.cancel()
    await asyncio.wait_for(second, 30)

    assert first.cancelled()
    assert (patient.running, patient.waiting) == (1, 0)


async def test_beyond_those_that_run_and_wait_requests_are_turned_away_with_a_time_to_come_back(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_MAX_RUNNING="2", GATEWAY_MAX_WAITING="1", GATEWAY_MAX_WAIT_SECONDS="60") as it:
        it.upstream.hold("GET")
        running = [it.ask(TENANTS, fresh=True) for _ in range(2)]
        await until(lambda: it.upstream.waiting == 2)
        waiting = it.ask(TENANTS, fresh=True)
        await until(lambda: it.shows("gateway_requests_waiting", 1))
        refused = await it.ask(TENANTS)

        assert refused.status_code == 503
        seconds = int(refused.headers["retry-after"])
        assert 1 <= seconds <= 5
        [error] = refused.json()["errors"]
        assert error["extensions"] == {"code": "UNAVAILABLE", "retryAfterSeconds": seconds}
        assert await it.metric("gateway_requests_running") == 2
        for path in ("/health", "/ready", "/metrics"):
            assert (await it.http.get(path)).status_code == 200

        it.upstream.let_go()
        answers = await asyncio.gather(*running, waiting)
        assert all(answer.json()["data"]["tenants"]["nodes"] for answer in answers)


async def test_who_waits_for_too_long_is_turned_away_as_well(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_MAX_RUNNING="1", GATEWAY_MAX_WAIT_SECONDS="0.05") as it:
        it.upstream.hold("GET")
        running = it.ask(TENANTS, fresh=True)
        await until(lambda: it.upstream.waiting == 1)
        refused = await it.ask(TENANTS)

        assert refused.status_code == 503
        it.upstream.let_go()
        assert (await running).status_code == 200


async def test_a_caller_with_too_many_running_is_throttled_and_the_others_are_not(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_MAX_CALLER_RUNNING="2", GATEWAY_MAX_CALLER_WAIT_SECONDS="0.5") as it:
        await it.ask(TENANTS)
        it.upstream.hold("GET")
        running = [it.ask(TENANTS, fresh=True, authorization=token_of("busy")) for _ in range(2)]
        await until(lambda: it.upstream.waiting == 2)
        refused = await it.ask(TENANTS, authorization=token_of("busy"))
        other = await it.ask(TENANTS, authorization=token_of("other"))

        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["errors"][0]["extensions"] == {"code": "THROTTLED", "retryAfterSeconds": 1}
        assert other.status_code == 200
        it.upstream.let_go()
        assert [answer.status_code for answer in await asyncio.gather(*running)] == [200, 200]
        assert (await it.ask(TENANTS, authorization=token_of("busy"))).status_code == 200


async def test_a_callers_further_request_waits_a_moment_for_an_earlier_one(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_MAX_CALLER_RUNNING="1", GATEWAY_MAX_CALLER_WAIT_SECONDS="30") as it:
        answers = await asyncio.gather(*(it.ask(TENANTS) for _ in range(2)))

        assert [answer.status_code for answer in answers] == [200, 200]


async def test_five_hundred_callers_against_fifty_places_get_an_answer_or_a_time_to_come_back(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_MAX_RUNNING="50", GATEWAY_MAX_WAITING="50") as it:
        it.upstream.hold("GET")
        asked = [it.ask(TENANTS, fresh=True, authorization=token_of(f"caller {n}")) for n in range(500)]
        await until(lambda: sum(each.done() for each in asked) >= 400)
        it.upstream.let_go()
        statuses = Counter(answer.status_code for answer in await asyncio.gather(*asked))

        assert set(statuses) <= {200, 429, 503}
        assert statuses[200] >= 50
        assert statuses[503] >= 400
        assert await it.metric("gateway_requests_running") == 0
        assert await it.metric("gateway_requests_waiting") == 0
