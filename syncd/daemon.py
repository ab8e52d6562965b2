"""The daemon: a pass of every pair each interval, until SIGTERM or SIGINT (CONTRACT).

APScheduler is the clock only (reference/stack.md §1): no misfire limit, nothing coalesced away, no work in signal
handlers. The watchdog is fed by passes that move, not by a thread that only proves it is alive.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, Final

from syncd.reconcile import PassResult

log = logging.getLogger("syncd")
END_SECONDS: Final = 6.0  # how long running steps may take to end after SIGTERM
STALL_SECONDS: Final = 300.0  # a running pass that shows no progress for so long is stuck
LONGEST_REST_SECONDS: Final = 300.0  # between two passes of a pair that fails again and again


def notify(message: str) -> None:
    """Tells systemd (sd_notify); does nothing where no service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(message.encode(), address)
    except OSError as error:
        log.debug("systemd could not be told: %s", error)


@dataclass(slots=True)
class Pulse:
    """When each running pass last moved, by the monotonic clock."""

    running: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def beat(self, pair: str) -> None:
        """The pass of this pair moved."""
        with self.lock:
            self.running[pair] = time.monotonic()

    def rest(self, pair: str) -> None:
        """The pass of this pair ended."""
        with self.lock:
            self.running.pop(pair, None)

    def stalled(self) -> list[str]:
        """Pairs whose running pass has not moved for too long."""
        now = time.monotonic()
        with self.lock:
            return [pair for pair, at in self.running.items() if now - at > STALL_SECONDS]


class Daemon:
    """Runs `passes` (a function per pair that does one pass) each interval, in threads.

    `due` says, as seconds since 1970, before when no further pass of a pair shall begin (0: whenever its time comes).
    """

    def __init__(
        self,
        passes: Mapping[str, Callable[[], PassResult]],
        interval_seconds: Mapping[str, float],
        *,
        stop: threading.Event,
        pulse: Pulse,
        report: Callable[[PassResult], None],
        due: Callable[[str], float] = lambda _name: 0.0,
        threads: int = 16,
    ) -> None:
        self.due, self.threads = due, threads
        self.failures = dict.fromkeys(passes, 0)  # passes of each pair that failed one after the other
        self.scheduler: Any = None
        self.passes, self.interval_seconds = passes, interval_seconds
        self.stop, self.pulse, self.report = stop, pulse, report
        self.last_tick = time.monotonic()
        self._busy = {name: threading.Lock() for name in passes}

    def run(self) -> bool:
        """Runs until `stop` is set; returns whether the running steps have ended within `END_SECONDS`."""
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        threads = max(1, min(self.threads, len(self.passes)))
        scheduler = self.scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(threads)},
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        begin = datetime.now(UTC)
        for name in self.passes:
            seconds = self.interval_seconds[name]
            # A fixed share of the interval spreads many pairs; the first starts at once.
            spread = (zlib.crc32(name.encode()) % 1000) / 1000 * min(seconds, 60.0) if len(self.passes) > 1 else 0.0
            scheduler.add_job(
                self._one, "interval", seconds=seconds, id=f"pair:{name}", args=[name],
                next_run_time=max(begin + timedelta(seconds=spread), datetime.fromtimestamp(self.due(name), UTC)),
            )  # fmt: skip
        scheduler.add_job(self._tick, "interval", seconds=5, id="tick")
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler.start()
        notify(f"READY=1\nSTATUS={len(self.passes)} pair(s), every {min(self.interval_seconds.values()):g} s")
        self._watch()
        notify("STOPPING=1")
        scheduler.pause()
        ended = self._all_ended()
        scheduler.shutdown(wait=False)
        return ended

    def _tick(self) -> None:
        self.last_tick = time.monotonic()

    def _watch(self) -> None:
        every = _watchdog_seconds()
        while not self.stop.wait(every):
            stalled = self.pulse.stalled()
            if stalled:
                log.error("No progress for %d s: %s", STALL_SECONDS, ", ".join(stalled))
            elif time.monotonic() - self.last_tick < STALL_SECONDS:
                notify("WATCHDOG=1")

    def _all_ended(self) -> bool:
        end = time.monotonic() + END_SECONDS
        for lock in self._busy.values():
            if not lock.acquire(timeout=max(0.0, end - time.monotonic())):
                return False
            lock.release()
        return True

    def _one(self, name: str) -> None:
        lock = self._busy[name]
        if self.stop.is_set() or not lock.acquire(blocking=False):
            return
        try:
            self.pulse.beat(name)
            result = self.passes[name]()
            self.failures[name] = self.failures[name] + 1 if result.error else 0
            self.report(result)
        except Exception as error:
            # One pair's defect must not stop the others, and a defect is never silent.
            log.error("%s: the pass ended by a defect in syncd (%s); please report it", name, type(error).__name__)
            log.debug("%s", name, exc_info=True)
        finally:
            self.pulse.rest(name)
            lock.release()
        self._put_off(name)

    def rest(self, name: str) -> float:
        """Seconds for which a pair rests that has failed more than once: a server that is down must not keep a thread
        from the others, nor get all our calls at once when it is back."""
        again = self.failures[name] - 1
        if again < 1:
            return 0.0
        seconds = self.interval_seconds[name]
        return min(seconds * 2.0 ** min(again, 20), max(seconds, LONGEST_REST_SECONDS))

    def _put_off(self, name: str) -> None:
        """Lets the next pass of this pair wait for as long as its budgets ask, or its failures; the interval itself
        stays as it is."""
        from apscheduler.jobstores.base import JobLookupError

        rest = self.rest(name)
        due = datetime.fromtimestamp(max(self.due(name), time.time() + rest if rest else 0.0), UTC)
        with suppress(JobLookupError):  # the scheduler was shut down meanwhile
            job = self.scheduler.get_job(f"pair:{name}")
            if job is not None and job.next_run_time is not None and job.next_run_time < due:
                job.modify(next_run_time=due)


def _watchdog_seconds() -> float:
    """How often to look and to feed the watchdog: a third of what systemd asks for, 10 s without it."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    return max(0.5, int(asked) / 3e6) if asked.isdigit() and int(asked) else 10.0


def stop_on_signals(stop: threading.Event) -> None:
    """SIGTERM and SIGINT set `stop`; a second signal ends the process at once. The handlers do nothing else."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
