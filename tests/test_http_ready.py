"""Waiting for places among the requests without taking them."""

from __future__ import annotations

import threading

import pytest

from syncd.http import Bucket, Stopped


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_places_are_waited_for_and_not_taken(clock: Clock) -> None:
    bucket = Bucket(3, 10.0, monotonic=clock)
    for at in (0.0, 1.0, 2.0):
        clock.now = at
        assert bucket.take(clock.sleep) == 0
    assert bucket.ready(2, clock.sleep) == 9.0  # those of 0 and 1 are over
    assert bucket.ready(2, clock.sleep) == 0
    assert bucket.take(clock.sleep) + bucket.take(clock.sleep) == 0
    assert bucket.ready(1, clock.sleep) == 1.0


def test_more_places_than_there_are_is_all_of_them(clock: Clock) -> None:
    bucket = Bucket(2, 10.0, monotonic=clock)
    bucket.take(clock.sleep)
    assert bucket.ready(5, clock.sleep) == 10.0


def test_a_rest_is_waited_for(clock: Clock) -> None:
    for bucket in (Bucket.unlimited(monotonic=clock), Bucket(2, 10.0, monotonic=clock)):
        assert bucket.ready(1, clock.sleep) == 0
        bucket.penalise(4.0)
        assert bucket.ready(1, clock.sleep) == 4.0


def test_nothing_is_waited_for_when_the_process_ends(clock: Clock) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        Bucket(1, 10.0, monotonic=clock).ready(1, clock.sleep, stop)
