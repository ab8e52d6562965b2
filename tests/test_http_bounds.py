"""Two bounds of the HTTP client: for how long a read is tried again, and what the servers' clocks are taken for."""

from __future__ import annotations

import httpx
import pytest

from syncd.http import ClockOffset, NoAnswer, Retry
from tests.test_http import Script, Time, date, make


@pytest.mark.parametrize(("each", "requests"), [(0.0, 6), (8.0, 6), (9.0, 5), (30.0, 5)])
def test_a_read_is_tried_again_for_a_minute_and_four_times_in_any_case(each: float, requests: int) -> None:
    """SPEC §3.5. The pauses are 0.5, 1, 2, 4 and 8 s; `each` is what an attempt takes until it fails."""
    time = Time()

    def fails(request: httpx.Request) -> httpx.Response:
        time.now += each
        raise httpx.ReadTimeout("slow")

    script = Script(fails)
    with pytest.raises(NoAnswer):
        make(script, time).request("GET", "/x", retry=Retry.READ)
    assert len(script.seen) == requests
    assert time.slept == [0.5, 1.0, 2.0, 4.0, 8.0][: requests - 1]


@pytest.mark.parametrize("behind", [10.0, -10.0])
def test_the_offset_is_the_middle_of_what_is_possible(behind: float) -> None:
    """One answer leaves a second of the header and the way there and back; neither end of that is likelier."""
    clock, server = ClockOffset(), 1_790_000_000.0
    clock.observe(date(server), server + behind + 0.25, server + behind + 0.5)
    assert clock.interval == (behind - 0.75, behind + 0.5)
    assert clock.offset == behind - 0.125
