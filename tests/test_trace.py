"""What processes tell each other about the calls that they have sent."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import struct
import tempfile
import time
from pathlib import Path

import pytest

from syncd import trace
from syncd.http import Bucket, shared_bucket
from syncd.trace import Trace

KEY = ("airtable", "https://api.airtable.com", "appBase")


class Time:
    """A clock that moves when it is told."""

    def __init__(self, at: float = 1_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of traces."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path / 'run'}:{tmp_path / 'other'}")
    return tmp_path / "run"


def bucket(clock: Time, key: tuple[str, ...] = KEY, *, count: int = 3, seconds: float = 10.0) -> Bucket:
    """A process of its own, for this purpose."""
    return Bucket(count, seconds, monotonic=clock, trace=Trace(key, sleep=lambda _seconds: None))


def the_file(run: Path) -> Path:
    """The one trace."""
    (found,) = run.iterdir()
    return found


def test_what_another_process_sent_counts_until_the_window_is_over(run: Path) -> None:
    clock = Time()
    one, other = bucket(clock), bucket(clock)
    assert [one.reserve(), one.reserve()] == [0, 0]
    clock.at += 4
    assert other.reserve() == 0
    assert (other.reserve(), one.reserve()) == (6, 6), "three were sent, though by two"
    clock.at += 6
    assert [one.reserve(), other.reserve()] == [0, 0]
    assert one.reserve() == 4, "the third was sent four seconds later"
    assert oct(the_file(run).stat().st_mode)[-3:] == "600"
    assert oct(run.stat().st_mode)[-3:] == "700"


def test_a_wait_is_until_enough_have_left_the_window(run: Path) -> None:
    """A bucket that allows fewer meets the trace of one that allowed more."""
    clock = Time()
    many = bucket(clock, count=5)
    for _ in range(5):
        assert many.reserve() == 0
        clock.at += 1
    assert bucket(clock, count=2).reserve() == pytest.approx(8), "until the fourth of five is out"


def test_limits_have_traces_of_their_own(run: Path) -> None:
    clock = Time()
    for key in (KEY, (*KEY[:2], "appOther"), ("highlevel", *KEY[1:])):
        assert [bucket(clock, key).reserve() for _ in range(3)] == [0, 0, 0]
    assert len(list(run.iterdir())) == 3


def test_times_of_another_boot_are_no_times(run: Path) -> None:
    """The monotonic clock begins anew: what lies in the future was sent before, and long ago."""
    clock = Time(5_000)
    assert [bucket(clock).reserve() for _ in range(3)] == [0, 0, 0]
    clock.at = 20
    assert bucket(clock).reserve() == 0


def test_broken_files_are_read_as_far_as_they_go(run: Path) -> None:
    clock = Time()
    assert bucket(clock).reserve() == 0
    for data, free in (
        (b"x" * 7, 3),
        (struct.pack("<3d", float("nan"), float("inf"), -1.0), 3),
        (struct.pack("<2d", 999.0, 998.0) + b"xyz", 1),
        (os.urandom(64), 3),
    ):
        the_file(run).write_bytes(data)
        assert [bucket(clock).reserve() for _ in range(4)].count(0) == free


def test_what_was_sent_by_itself_is_never_forgotten(run: Path) -> None:
    """Not even where the file was cut off, or removed."""
    clock = Time()
    one = bucket(clock)
    for spoil in (lambda: the_file(run).write_bytes(b""), lambda: the_file(run).unlink()):
        clock.at += 100
        assert [one.reserve(), one.reserve()] == [0, 0]
        spoil()
        assert [one.reserve(), one.reserve()] == [0, 10]


def test_without_a_trace_calls_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be made, or is somebody else's to write to, or a lock that is never given back."""
    clock = Time()

    def held() -> list[float]:
        one = bucket(clock)
        return [one.reserve() for _ in range(4)]

    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "none" / "run"))
    assert held() == [0, 0, 0, 10]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "file"))
    assert held() == [0, 0, 0, 10]
    (tmp_path / "open").mkdir(mode=0o700)
    (tmp_path / "open").chmod(0o777)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "open"))
    assert held() == [0, 0, 0, 10]
    assert list((tmp_path / "open").iterdir()) == []
    (tmp_path / "link").symlink_to(tmp_path / "open")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "link"))
    assert trace.folder() is None


def test_a_file_that_leads_elsewhere_is_left_alone(run: Path, tmp_path: Path) -> None:
    clock = Time()
    assert bucket(clock).reserve() == 0
    (tmp_path / "precious").write_text("precious")
    path = the_file(run)
    path.unlink()
    path.symlink_to(tmp_path / "precious")
    assert [bucket(clock).reserve() for _ in range(4)] == [0, 0, 0, 0], "each by itself"
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_that_nobody_gives_back_is_not_waited_for_long(run: Path) -> None:
    clock, waits = Time(), list[float]()
    assert bucket(clock).reserve() == 0
    with the_file(run).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting = Bucket(3, 10.0, monotonic=clock, trace=Trace(KEY, sleep=waits.append))
        assert waiting.reserve() == 0
    assert len(waits) == trace.TRIES


def test_the_place_is_systemds_or_with_the_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert trace.folder() == tmp_path / f"syncd-{os.geteuid()}"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "systemd"))
    assert trace.folder() == tmp_path / "systemd"


def _take(many: int) -> list[float]:
    one, got = shared_bucket(("real", "processes"), 20, 3_600.0, traced=True), []
    for _ in range(many):
        got.append(one.reserve())
        time.sleep(0.001)
    return got


def test_real_processes_share_what_a_traced_bucket_allows(run: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(_take, [15] * 4, chunksize=1)
    assert sum(seconds == 0 for got in found for seconds in got) == 20
