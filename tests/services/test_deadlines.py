"""The time of a request, as what it started sees it."""

from __future__ import annotations

import asyncio
import math

import pytest

from services.deadlines import seconds_for_call, seconds_left, start_deadline
from services.errors import Timeout


async def test_without_a_deadline_a_call_has_its_own_time():
    assert seconds_left() == math.inf
    assert seconds_for_call(20.0) == 20.0


async def test_a_call_has_what_the_request_has_left_without_a_quarter_of_a_second():
    start_deadline(100)

    assert seconds_for_call(5.0) == 5.0
    assert 80 < seconds_for_call(200.0) <= 99.75


async def test_a_task_inherits_the_deadline_and_its_own_is_none_of_the_others():
    start_deadline(100)

    async def other() -> float:
        inherited = seconds_left()
        start_deadline(1000)
        return inherited

    assert await asyncio.create_task(other()) == pytest.approx(100, abs=20)
    assert seconds_left() == pytest.approx(100, abs=20)


async def test_with_less_than_half_a_second_left_no_call_is_started():
    start_deadline(0.49)

    with pytest.raises(Timeout) as caught:
        seconds_for_call(20.0)

    assert not caught.value.sent
