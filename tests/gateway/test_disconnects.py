"""Who hangs up, over a real socket: a query ends with its calls at once, a change only before its first write."""

import asyncio

import httpx

from tests.changes import UPDATE, audit_log, id_of, person_of
from tests.gateway_client import Gateway, sandbox  # noqa: F401 (fixture)
from tests.served_gateway import served, until

USERS = """{ tenants(first: 5) { nodes { users(first: 5) { nodes { licenses { sku { skuId } } } } } } }"""
DIEGO = "Diego Siciliani"


async def test_a_query_ends_with_all_its_calls_when_its_caller_hangs_up(sandbox):  # noqa: F811
    async with served(sandbox) as it:
        await it.ask("{ tenants(first: 5) { nodes { name } } }")
        it.upstream.hold("GET")
        asked = it.ask(USERS)
        await until(lambda: it.upstream.waiting >= 4)
        asked.cancel()
        await until(lambda: it.upstream.waiting == 0)
        await until(lambda: it.shows("gateway_requests_running", 0))

        assert it.upstream.given_up >= 4
        seen = it.upstream.seen
        it.upstream.let_go()
        await it.ask("{ viewer { name } }")
        assert it.upstream.seen == seen
        assert await it.metric("gateway_hung_up_requests_total") >= 1


async def test_who_waits_for_the_same_answer_gets_it_though_the_other_hung_up(sandbox):  # noqa: F811
    async with served(sandbox) as it:
        it.upstream.hold("GET")
        impatient, patient = it.ask(USERS), it.ask(USERS)
        await until(lambda: it.upstream.waiting == 1)
        await until(lambda: it.shows("gateway_requests_running", 2))
        await asyncio.sleep(0.1)
        impatient.cancel()
        await until(lambda: it.shows("gateway_requests_running", 1))
        it.upstream.let_go()

        assert (await patient).json()["data"]["tenants"]["nodes"]
        assert it.upstream.given_up == 0


async def test_a_change_ends_with_its_caller_before_its_first_write(sandbox):  # noqa: F811
    async with served(sandbox) as it:
        it.upstream.hold("GET")
        asked = it.ask(UPDATE, {"input": {"id": id_of(sandbox, DIEGO), "firstName": "Iago"}})
        await until(lambda: it.upstream.waiting > 0)
        asked.cancel()
        await until(lambda: it.upstream.waiting == 0)
        await until(lambda: it.shows("gateway_requests_running", 0))
        it.upstream.let_go()
        await until(lambda: it.shows("gateway_changes_running", 0))

        assert person_of(sandbox, DIEGO).first_name == "Diego"
        assert not [call for call in sandbox.calls if call.method == "PATCH"]


async def test_a_change_is_seen_through_once_it_has_begun_to_write(sandbox):  # noqa: F811
    async with served(sandbox) as it:
        it.upstream.hold("PATCH")
        asked = it.ask(UPDATE, {"input": {"id": id_of(sandbox, DIEGO), "firstName": "Iago"}})
        await until(lambda: it.upstream.waiting == 1)
        asked.cancel()
        await until(lambda: it.shows("gateway_requests_running", 0))
        assert await it.metric("gateway_changes_running") == 1
        it.upstream.let_go()
        await until(lambda: it.shows("gateway_changes_running", 0))

        assert it.upstream.given_up == 0
        assert person_of(sandbox, DIEGO).first_name == "Iago"
        async with httpx.AsyncClient(base_url=it.url, timeout=30) as http:
            [record] = await audit_log(Gateway(http, sandbox))
        assert (record["action"], record["outcome"]) == ("updateUser", "DONE")


async def test_at_its_deadline_a_query_answers_with_what_it_has(sandbox):  # noqa: F811
    async with served(sandbox, GATEWAY_QUERY_TIMEOUT_SECONDS="4") as it:
        await it.ask("{ tenants(first: 2) { nodes { name } } }")
        it.upstream.hold("GET")
        answer = await it.ask("{ tenants(first: 2) { nodes { name users(first: 1) { nodes { id } } } } }")
        body = answer.json()

        assert answer.status_code == 200
        assert [set(node) for node in body["data"]["tenants"]["nodes"]] == [{"name", "users"}] * 2
        assert all(node["name"] and node["users"] is None for node in body["data"]["tenants"]["nodes"])
        assert [error["extensions"]["code"] for error in body["errors"]] == ["TIMEOUT"] * 2
        assert answer.elapsed.total_seconds() < 20  # calls may take as long by themselves
