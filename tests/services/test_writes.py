"""Writes are done once: the exact requests under their ids, reads and waits, for everything that can happen."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.errors import (
    AccessMissing,
    Conflict,
    GatewayError,
    Refused,
    RefusedReason,
    SignInUnavailable,
    Throttled,
    Timeout,
    UpstreamError,
)
from services.writes import Applied, NotApplied, OutcomeUnknown, WritePolicy, write_once

POLICY = WritePolicy(
    read_back_waits_seconds=(0.0, 0.001, 0.002),
    conflict_waits_seconds=(0.001, 0.002, 0.003),
    unsent_waits_seconds=(0.001, 0.002),
)
UNSENT = UpstreamError(sent=False)
LOST = UpstreamError()
LATE = Timeout()
REFUSED = Refused(status=400)
TAKEN = Conflict(status=409, reason=RefusedReason.NAME_TAKEN)
UNDER_WAY = Conflict(status=409)
FORBIDDEN = AccessMissing(status=403)
NO_TOKEN = SignInUnavailable()


def status(number: int) -> UpstreamError:
    return UpstreamError(status=number)


class Wire:
    """Answers to the requests and to the looks, in order; the last look stands for all after it."""

    def __init__(self, answers, looks=(None,)):
        self.answers, self.looks = list(answers), list(looks)
        self.story: list[str] = []

    async def send(self, request_id):
        self.story.append(request_id)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def read_back(self):
        self.story.append("look")
        look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(look, Exception):
            raise look
        return Applied(look) if look else None

    async def write(self, *, readable=True, seconds=60.0):
        return await write_once(
            self.send, self.read_back if readable else None, str, time.monotonic() + seconds, POLICY
        )


WELL = [
    ("no trouble", ["made"], [None], ["1"], "made"),
    ("not sent", [UNSENT, "made"], [None], ["1", "1"], "made"),
    ("not sent twice", [UNSENT, UNSENT, "made"], [None], ["1", "1", "1"], "made"),
    ("lost", [LOST, "made"], [None], ["1", "1"], "made"),
    ("late", [LATE, "made"], [None], ["1", "1"], "made"),
    ("lost twice, done", [LOST, LOST], ["seen"], ["1", "1", "look"], "seen"),
    ("lost twice, seen late", [LOST, LOST], [None, None, "seen"], ["1", "1", "look", "look", "look"], "seen"),
    ("lost twice, a look fails", [LOST, LOST], [LOST, "seen"], ["1", "1", "look", "look"], "seen"),
    ("503, done", [status(503)], ["seen"], ["1", "look"], "seen"),
    ("503, not done", [status(503), "made"], [None], ["1", "look", "look", "look", "2"], "made"),
    ("408, not done", [Timeout(status=408), "made"], [None], ["1", "look", "look", "look", "2"], "made"),
    ("500, done", [status(500)], ["seen"], ["1", "look"], "seen"),
    ("501, done", [status(501)], [None, "seen"], ["1", "look", "look"], "seen"),
    ("throttled", [Throttled(0), "made"], [None], ["1", "2"], "made"),
    ("throttled twice", [Throttled(0), Throttled(0), "made"], [None], ["1", "2", "3"], "made"),
    ("under way, then done", [UNDER_WAY], ["seen"], ["1", "look"], "seen"),
    ("under way, then free", [UNDER_WAY, "made"], [None], ["1", "look", "2"], "made"),
    ("lost, then not sent", [LOST, UNSENT, "made"], [None], ["1", "1", "1"], "made"),
    ("lost, then throttled: never another id", [LOST, Throttled(0), "made"], [None], ["1", "1", "1"], "made"),
    ("lost, then its echo", [LOST, TAKEN], ["seen"], ["1", "1", "look"], "seen"),
    ("lost, then its echo seen late", [LOST, TAKEN], [None, "seen"], ["1", "1", "look", "look"], "seen"),
    (
        "503, then its echo",
        [status(503), TAKEN],
        [None, None, None, "seen"],
        [*"1", *["look"] * 3, "2", "look"],
        "seen",
    ),
    ("lost, then unreachable, done", [LOST, UNSENT, UNSENT, UNSENT], ["seen"], [*"1111", "look"], "seen"),
    ("lost, then no token, done", [LOST, NO_TOKEN], ["seen"], ["1", "1", "look"], "seen"),
    ("lost, then 500, done", [LOST, status(500)], ["seen"], ["1", "1", "look"], "seen"),
]


@pytest.mark.parametrize(("answers", "looks", "story", "value"), [case[1:] for case in WELL], ids=[c[0] for c in WELL])
async def test_a_write_that_can_be_brought_to_its_end(answers, looks, story, value):
    wire = Wire(answers, looks)

    assert await wire.write() == value
    assert wire.story == story


LOOKS = ["look"] * 3
BADLY = [
    ("not sent three times", [UNSENT] * 3, [None], ["1", "1", "1"], UpstreamError),
    ("lost twice, not done", [LOST, LOST], [None], ["1", "1", *LOOKS], NotApplied),
    ("lost twice, unreadable", [LOST, LOST], [LOST], ["1", "1", *LOOKS], OutcomeUnknown),
    ("lost twice, at last unreadable", [LOST, LOST], [None, None, LOST], ["1", "1", *LOOKS], OutcomeUnknown),
    ("503 twice", [status(503)] * 2, [None], ["1", *LOOKS, "2", *LOOKS], NotApplied),
    ("503, unreadable", [status(503)], [LOST], ["1", *LOOKS], OutcomeUnknown),
    ("500", [status(500)], [None], ["1", *LOOKS], NotApplied),
    ("500, unreadable", [status(500)], [LOST], ["1", *LOOKS], OutcomeUnknown),
    ("throttled for long", [Throttled(120)], [None], ["1"], Throttled),
    ("throttled three times", [Throttled(0)] * 3, [None], ["1", "2", "3"], Throttled),
    ("under way for long", [UNDER_WAY] * 4, [None], [*"1", "look", "2", "look", "3", "look", "4"], Conflict),
    ("under way, unreadable", [UNDER_WAY], [LOST], ["1", "look"], OutcomeUnknown),
    ("refused", [REFUSED], [None], ["1"], Refused),
    ("taken", [TAKEN], [None], ["1"], Conflict),
    ("forbidden", [FORBIDDEN], [None], ["1"], AccessMissing),
    ("redirected", [status(302)], [None], ["1"], UpstreamError),
    ("no token", [NO_TOKEN], [None], ["1"], SignInUnavailable),
    ("lost, then refused", [LOST, REFUSED], [None], ["1", "1", *LOOKS], Refused),
    ("lost, then unreachable", [LOST, UNSENT, UNSENT, UNSENT], [UNSENT], [*"1111", *LOOKS], OutcomeUnknown),
    ("lost, then unreachable, not done", [LOST, *[UNSENT] * 3], [None], [*"1111", *LOOKS], UpstreamError),
    ("lost, then throttled for long", [LOST, Throttled(120)], [LOST], ["1", "1", *LOOKS], OutcomeUnknown),
    ("lost, then no token", [LOST, NO_TOKEN], [NO_TOKEN], ["1", "1", *LOOKS], OutcomeUnknown),
]


@pytest.mark.parametrize(
    ("answers", "looks", "story", "error"), [case[1:] for case in BADLY], ids=[c[0] for c in BADLY]
)
async def test_a_write_that_cannot(answers, looks, story, error):
    """What is raised says whether it may have been done: only OutcomeUnknown leaves that open."""
    wire = Wire(answers, looks)

    with pytest.raises(GatewayError) as caught:
        await wire.write()

    assert type(caught.value) is error
    assert wire.story == story


UNREADABLE = [
    ("lost", [LOST, "made"], ["1", "1"], None),
    ("lost twice", [LOST, LOST], ["1", "1"], OutcomeUnknown),
    ("503", [status(503), "made"], ["1", "1"], None),
    ("503 twice", [status(503), status(503)], ["1", "1"], OutcomeUnknown),
    ("500", [status(500)], ["1"], OutcomeUnknown),
    ("refused", [REFUSED], ["1"], Refused),
    ("lost, then refused, as used before", [LOST, REFUSED], ["1", "1"], OutcomeUnknown),
    ("lost, then unreachable", [LOST, UNSENT, UNSENT, UNSENT], ["1"] * 4, OutcomeUnknown),
    ("under way", [UNDER_WAY, "made"], ["1", "2"], None),
    ("under way for long", [UNDER_WAY] * 4, ["1", "2", "3", "4"], Conflict),
    ("throttled", [Throttled(0), "made"], ["1", "2"], None),
]


@pytest.mark.parametrize(
    ("answers", "story", "error"), [case[1:] for case in UNREADABLE], ids=[c[0] for c in UNREADABLE]
)
async def test_what_cannot_be_read_back_is_sent_again_under_the_same_id_alone(answers, story, error):
    wire = Wire(answers)

    if error is None:
        assert await wire.write(readable=False) == "made"
    else:
        with pytest.raises(error):
            await wire.write(readable=False)
    assert wire.story == story


async def test_no_request_is_started_that_has_no_time_left():
    wire = Wire(["made"])

    with pytest.raises(Timeout) as caught:
        await wire.write(seconds=0.2)

    assert not caught.value.sent
    assert wire.story == []


async def test_a_request_ends_with_the_time_of_the_change():
    """Then it may have been done, and there is no time left to see."""

    async def send(request_id):
        time_over.append(request_id)
        await asyncio.sleep(60)

    async def read_back():
        await asyncio.sleep(60)

    time_over: list[str] = []
    with pytest.raises(OutcomeUnknown):
        async with asyncio.timeout(20):
            await write_once(send, read_back, str, time.monotonic() + 1.5, POLICY)

    assert time_over == ["1"]
