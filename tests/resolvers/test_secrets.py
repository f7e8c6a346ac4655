"""A password is in the body to Microsoft, in one mail and in the one answer: all other places are searched for it.

Canaries are chosen and generated passwords of changes that went well and of those that went wrong.
"""

from __future__ import annotations

import gc
import json
import re
from dataclasses import fields, is_dataclass
from typing import Any

import httpx
import pytest
from redis import Redis

from resolvers.user_changes import _choice
from sandbox.contoso import CONTOSO_DOMAIN, CONTOSO_ID
from sandbox.people import stable_id
from schema.change_inputs import CreateUserInput, PasswordInput, ResetUserPasswordInput
from services.change_runner import ChangeRequest
from services.errors import UpstreamError
from services.global_ids import encode_id
from services.models import NewUser, UserRef
from services.new_users import NewUserRequest
from services.outcomes import Outcome
from services.partner_center.client import PartnerCenterClient
from services.partner_center.transport import Transport
from services.password_changes import PasswordChoice
from services.secret import Secret
from tests.canaries import all_logs, error_text, find, forms, redis_dump
from tests.gateway_client import running_gateway
from tests.program import running
from tests.smtp_server import mail_server, refused_port
from tests.upstream import Upstream

TENANT = encode_id("Tenant", CONTOSO_ID)
ADELE = encode_id("User", CONTOSO_ID, stable_id("user", f"adele.vance@{CONTOSO_DOMAIN}"))
CREATE = """mutation ($input: CreateUserInput!) { createUser(input: $input) {
  user { id } temporaryPassword delivery { status message } userErrors { code message } } }"""
RESET = """mutation ($input: ResetUserPasswordInput!) { resetUserPassword(input: $input) {
  user { id } temporaryPassword delivery { status message } userErrors { code message } } }"""
AUDIT = """query ($id: ID!) { tenant(by: {id: $id}) { auditLog { nodes {
  action actor outcome changes userPrincipalName correlationId } } } }"""
CHOSEN = "Canary7#&<>\"'x%vWq"
WEAK = "canaryweak"
SCRIPTS = [
    [],
    ["lost"],
    ["lost", "lost"],
    ["reset", "reset"],
    ["refused"] * 3,
    ["cut"],
    ["garbled"],
    ["503", "503"],
    ["500 done"],
    ["429:250"],
    ["409"] * 4,
    ["400"],
    ["403"],
]


def inputs():
    """Each change with a chosen and a generated password, refused and dry ones, and with keys."""
    for number, password in enumerate([{"value": CHOSEN}, {}, {"value": WEAK}]):
        for more in ({}, {"dryRun": True}, {"idempotencyKey": f"key {number}"}, {"idempotencyKey": f"key {number}"}):
            named = {"username": f"ada{number}{len(more)}{'dry' if 'dryRun' in more else ''}"}
            yield (
                CREATE,
                {
                    "tenantId": TENANT,
                    "domain": CONTOSO_DOMAIN,
                    "displayName": "Ada Lovelace",
                    "usageLocation": "GB",
                    "password": password,
                    "sendPasswordTo": ["boss@example.com"],
                }
                | named
                | more,
            )
            yield RESET, {"id": ADELE, "password": password, "sendPasswordTo": ["boss@example.com"]} | more
            yield RESET, {"id": ADELE, "password": password} | more


async def carry_out_all(gateway):
    """The generated passwords, and all answers with them taken out: each may stand in one answer, once."""
    generated, answers = [], []
    for query, given in inputs():
        answer = await gateway.http.post("/graphql", json={"query": query, "variables": {"input": given}})
        (payload,) = answer.json()["data"].values()
        text, password = answer.text, payload["temporaryPassword"]
        if password is not None:
            generated.append(password)
            assert text.count(json.dumps(password)) == 1
            text = text.replace(json.dumps(password), "")
        answers += [text, str(answer.headers)]
    return generated, "\n".join(answers)


CASES = [
    *((script, "there", "redis") for script in SCRIPTS),
    *(([], mail, store) for mail in ("unset", "away", "there") for store in ("memory", "redis")),
]


@pytest.mark.parametrize(
    ("script", "mail", "store"), CASES, ids=[f"{'+'.join(case[0]) or 'well'} {case[1]} {case[2]}" for case in CASES]
)
async def test_passwords_are_nowhere_else(sandbox, redis_url, script, mail, store):
    upstream = Upstream(sandbox, *script)
    settings = {"GATEWAY_REDIS_URL": redis_url} if store == "redis" else {}
    with mail_server() as mails, all_logs() as logged:
        port = mails.port if mail == "there" else refused_port()
        if mail != "unset":
            settings |= {"GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{port}", "GATEWAY_MAIL_FROM": "gateway@example.com"}
        async with running_gateway(sandbox, upstream, **settings) as gateway:
            generated, answers = await carry_out_all(gateway)
            upstream.script.clear()
            sandbox.faults.rules = []
            audit = json.dumps(await gateway.ask(AUDIT, {"id": TENANT}))
            places = {
                "answers": answers,
                "audit log": audit,
                "metrics": (await gateway.http.get("/metrics")).text,
                "readiness": (await gateway.http.get("/ready")).text,
                "logs": logged.text(),
                "kept in memory": kept_text(),
            }
            if store == "redis":
                with Redis.from_url(redis_url) as client:
                    places["redis"] = redis_dump(client)
                assert ":audit:" in places["redis"]

    assert generated or script
    sent = [write.body["passwordProfile"]["password"] for write in upstream.writes]
    assert find([CHOSEN, WEAK, *generated, *sent], places) == []
    assert WEAK not in sent


KEPT = (
    "LookupCache",
    "MemoryCache",
    "Documents",
    "MemoryIdempotency",
    "MemoryAudit",
    "ChangeRunner",
    "MemoryDeletions",
    "Transport",
    "PartnerCenterClient",
    "SharedReads",
)


def _is_ours(value: object) -> bool:
    """Whether a class of ours made it. Some libraries' classes have no text for a module."""
    return str(type(value).__module__).partition(".")[0] in ("services", "loaders", "gateway")


def kept_text():
    """Whatever long-lived parts hold on to, all the way down."""
    roots = [one for one in gc.get_objects() if _is_ours(one)]
    return "\n".join(text for root in roots if type(root).__name__ in KEPT for text in _texts(root, set(), 0))


def _texts(value, seen, depth):
    if id(value) in seen or depth > 12:
        return
    seen.add(id(value))
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("latin-1")
    elif isinstance(value, Secret):
        return
    elif isinstance(value, dict):
        for name, inner in list(value.items()):
            yield from _texts(name, seen, depth + 1)
            yield from _texts(inner, seen, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in list(value):
            yield from _texts(inner, seen, depth + 1)
    elif is_dataclass(value):
        for one in fields(value):
            yield from _texts(getattr(value, one.name, None), seen, depth + 1)
    elif _is_ours(value):
        yield from _texts(vars(value) if hasattr(value, "__dict__") else [], seen, depth + 1)


def test_the_program_logs_no_password_at_debug():
    """The whole program over real connections, with all that its libraries log there."""
    with (
        mail_server() as mails,
        running(
            *("serve", "--sandbox", "--port", "0", "--sandbox-port", "0"),
            lines=2,
            settings={
                "GATEWAY_LOG_LEVEL": "debug",
                "GATEWAY_SMTP_URL": f"smtp://127.0.0.1:{mails.port}",
                "GATEWAY_MAIL_FROM": "gateway@example.com",
            },
        ) as program,
    ):
        address = re.search(r"http://[\d.:]+", program.lines[0])
        assert address is not None
        with httpx.Client(base_url=address[0], timeout=30) as http:
            rules = [{"method": "PATCH", "path": "resetpassword", "lost_answer": True, "times": 2}]
            http.post("/sandbox/faults", json={"rules": rules})
            passwords = [CHOSEN, WEAK]
            for query, given in inputs():
                answer = http.post("/graphql", json={"query": query, "variables": {"input": given}}).json()
                (payload,) = answer["data"].values()
                passwords += [payload["temporaryPassword"]] if payload["temporaryPassword"] else []
            literal = 'mutation { resetUserPassword(input: {id: 1, password: {value: "%s", x: 1}}) { y } }'
            http.post("/graphql", json={"query": literal % CHOSEN.replace('"', "")})
            passwords.append(CHOSEN.replace('"', ""))
        log = program.log()

    assert len(passwords) > 4
    assert "partner_center_call" in log
    assert find(passwords, {"log": log}) == []


def test_text_forms_of_everything_that_carries_a_password_are_masked():
    any_id: Any = "x"
    location: Any = "GB"
    chosen = PasswordInput(value=CHOSEN)
    create = CreateUserInput(
        tenant_id=any_id,
        username="ada",
        domain="d",
        display_name="Ada",
        usage_location=location,
        password=chosen,
        send_password_to=[],
    )
    request = NewUserRequest(
        username="ada",
        domain="d",
        display_name="Ada",
        first_name=None,
        last_name=None,
        usage_location="GB",
        role_ids=[],
        licenses=[],
        password=_choice(chosen),
        send_to=[],
    )
    new_user = NewUser(
        user_principal_name="ada@d",
        display_name="Ada",
        usage_location="GB",
        first_name=None,
        last_name=None,
        password=CHOSEN,
    )
    carriers = [
        chosen,
        create,
        ResetUserPasswordInput(id=any_id, password=chosen),
        request,
        PasswordChoice(Secret(CHOSEN)),
        new_user,
        Outcome(temporary_password=Secret(CHOSEN)),
        [Secret(CHOSEN)],
    ]

    for carrier in carriers:
        for text in (repr(carrier), str(carrier), f"{carrier}"):
            assert find([CHOSEN], {type(carrier).__name__: text}) == []


class AnyToken:
    async def get(self):
        return "token"

    def at_hand(self):
        return "token"

    def invalidate(self, token):
        pass


@pytest.mark.parametrize("word", ["reset", "refused", "lost", "cut", "garbled", "503", "400", "409", "429:7"])
async def test_errors_of_a_write_hold_no_password_down_to_their_last_cause(sandbox, word):
    upstream = Upstream(sandbox, word)
    client = PartnerCenterClient(Transport(upstream, AnyToken()))
    with pytest.raises(UpstreamError) as caught:
        await client.reset_password(UserRef(CONTOSO_ID, stable_id("x")), CHOSEN, force_change=True)

    assert upstream.writes[0].body["passwordProfile"]["password"] == CHOSEN
    assert find([CHOSEN], {"error": error_text(caught.value)}) == []


def test_a_request_for_a_change_does_not_show_what_was_given():
    nobody: Any = None
    request = ChangeRequest(
        caller=nobody,
        action="createUser",
        tenant_id="t",
        user_id=None,
        given={"password": {"value": CHOSEN}},
        dry_run=False,
        idempotency_key=None,
        request_id="r",
    )

    assert CHOSEN not in repr(request)
    assert "given" not in repr(request)


def test_the_search_finds_what_it_looks_for():
    """In every form; else the tests above prove nothing."""
    import base64
    from urllib.parse import quote

    raw = CHOSEN.encode()
    for prefix in (b"", b"a", b"ab", b"abc"):
        assert find([CHOSEN], {"x": base64.b64encode(prefix + raw + b"tail").decode()}) == ["x"]
    for text in (CHOSEN, json.dumps({"a": CHOSEN}), quote(CHOSEN), repr(CHOSEN), raw.hex()):
        assert find([CHOSEN], {"x": text}) == ["x"]
    assert find([CHOSEN], {"x": "nothing"}) == []
    assert all(len(form) > 8 for form in forms(CHOSEN))
    assert CHOSEN in error_text(ValueError(CHOSEN))
