"""A short run of the soak; `python -m benchmarks.soak` is the minute of it."""

import pytest

from benchmarks.soak import soak

SHORT_SECONDS = 8
REQUESTS_A_SECOND = 12
MOST_CALLS = 1.6
"""In so short a run a few failures weigh much; the minute keeps to 1.2."""


@pytest.mark.timeout(400)
async def test_with_failures_and_throttling_no_answer_is_wrong_and_no_write_is_lost_or_made_twice():
    runs, problems = await soak(SHORT_SECONDS, REQUESTS_A_SECOND, most_calls=MOST_CALLS)

    assert problems == []
    assert all(run.traffic.tally.answered["change made"] > 0 for run in runs)
    assert runs[0].failed_calls == 0
