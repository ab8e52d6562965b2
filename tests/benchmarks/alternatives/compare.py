"""Runs each alternative through the same world: a fill, 100 edits in peace, then 100 edits and new records in a storm.

Between passes the servers' clock is moved on, so nobody waits. Rate limits are off. A pass is one process.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from syncd.sandbox.wire import Answer, Request, Service
from syncd.sandbox.world import TABLE, Sandbox
from tests.benchmarks.alternatives import install
from tests.benchmarks.alternatives.clients import STAMP
from tests.benchmarks.alternatives.ledger import Counts, Fate, Ledger, SideName
from tests.benchmarks.alternatives.schedule import (
    Author,
    calm_edits,
    crm_faults,
    storm_edits,
    table_faults,
)

REPOSITORY = Path(__file__).resolve().parents[3]
SEED = 45
LIMIT_SECONDS = 120.0
FOLDER = "tests.benchmarks.alternatives"
PASSES = 8  # at most, until the sides agree
LAG_SECONDS = 45.0  # of HighLevel's search in the storm; a pass every 30 s
PASS_EVERY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """How large the world is and how much happens in it."""

    deals: int = 300
    single: int = 60  # deals with one edit
    apart: int = 10  # with two, in different fields
    conflicts: int = 10  # with two, in the same field
    rounds: int = 3  # of that
    waves: int = 5
    before: int = 14  # edits of a wave before its pass
    amid: int = 6  # and amid it
    records: int = 6  # new deals, and new rows

    @property
    def edits(self) -> int:
        """Edits in peace."""
        return self.single + 2 * (self.apart + self.conflicts)

    @property
    def storm_edits(self) -> int:
        """Edits in the storm."""
        return self.waves * (self.before + self.amid)


@dataclass(frozen=True, slots=True)
class Alternative:
    """What is compared. `package` is what must be installed for it; `module` is one pass."""

    name: str
    module: str
    package: str = ""
    one_way: bool = False
    stamp_column: bool = False  # the recipes need a column with the time of the last change


ALTERNATIVES = (
    Alternative("syncd", "syncd_pass"),
    Alternative("script", "script", stamp_column=True),
    Alternative("item_synchronizer", "items", package="item_synchronizer", stamp_column=True),
    Alternative("dlt (one way)", "pipeline", package="dlt", one_way=True),
)


@dataclass(slots=True)
class Outcome:
    """What was measured of one alternative; `missing` says why nothing was. Times in seconds, memory in bytes.

    `calm` is the first round in peace, `seconds` and `cpu_seconds` the medians of all of them. `passes`: until both
    sides held the same (`agreed`), or until they came to rest without. `due`: the workflows that edits of rows explain
    (the fewest and the most). `storm_words`: edits that are a person's last word; of a one-way reader those in
    HighLevel.
    """

    name: str
    one_way: bool = False
    missing: str = ""
    deals_changed: int = 0
    calm_due: int = 0
    storm_due: tuple[int, int] = (0, 0)
    storm_words: int = 0
    fill: Counts = field(default_factory=Counts)
    idle: Counts = field(default_factory=Counts)
    calm: Counts = field(default_factory=Counts)
    calm_fate: Fate = field(default_factory=Fate)
    agreed: bool = False
    passes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    storm: Counts = field(default_factory=Counts)
    storm_agreed: bool = False
    storm_fate: Fate = field(default_factory=Fate)
    struck: int = 0
    peak: int = 0
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of passes."""

    wall: float
    cpu: float

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(self.wall + other.wall, self.cpu + other.cpu)


def _cpu_of_children() -> float:
    """CPU seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Clock:
    """The servers' clock: real time, moved on instead of waiting."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def move(self, seconds: float) -> None:
        """Time passes."""
        self.ahead += seconds


class Watch:
    """A service that calls `act` with each write that arrives, before it takes effect."""

    def __init__(self, side: SideName, service: Service, lock: threading.Lock) -> None:
        self._side = side
        self._service = service
        self._lock = lock
        self.act: Callable[[SideName, str], None] = lambda _side, _text: None

    def handle(self, request: Request) -> Answer:
        """Answers one request."""
        reads = request.method == "GET" or request.path.endswith(("/opportunities/search", "/listRecords"))
        if not reads:
            with self._lock:
                self.act(self._side, f"{request.path} {request.body.decode(errors='replace')}")
        return self._service.handle(request)


class World:
    """A sandbox, its people, and one alternative that runs in it."""

    def __init__(self, alternative: Alternative, size: Size, folder: Path) -> None:
        self.alternative, self.size, self.folder = alternative, size, folder
        self.clock = Clock()
        self.sandbox = Sandbox(seed=SEED, deals=size.deals, rate_per_second=None, clock=self.clock)
        self.sandbox.highlevel.rate_limit = 10**9
        self.sandbox.highlevel.allow_duplicates = True  # as its data have them: some contacts have several deals
        if alternative.stamp_column:
            self.sandbox.airtable.add_field(TABLE, STAMP, "lastModifiedTime")
        lock = threading.Lock()
        crm, rows = self.sandbox.crm_http, self.sandbox.table_http
        self.watches = [Watch("crm", crm.service, lock), Watch("table", rows.service, lock)]
        crm.service, rows.service = self.watches
        self.ledger = Ledger(self.sandbox, self.clock)
        self.author = Author(self.ledger, SEED)
        self.peak = 0
        self.said: list[str] = []

    def close(self) -> None:
        """Stops the servers."""
        self.sandbox.close()

    # --- passes --------------------------------------------------------------------------------------------------

    def run_pass(self, amid: Callable[[], None] = lambda: None) -> Spent:
        """One pass; returns the time it took. `amid` happens at its first write, else at its end."""
        once = _Once(self.ledger, amid)
        for watch in self.watches:
            watch.act = once
        python = install.PYTHON if self.alternative.package else Path(sys.executable)
        command = [str(python), "-m", f"{FOLDER}.{self.alternative.module}"]
        began, used = time.perf_counter(), _cpu_of_children()
        ran = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        spent = Spent(time.perf_counter() - began, _cpu_of_children() - used)
        once()
        if ran.returncode:
            self.said.append((ran.stderr or ran.stdout).strip()[-2000:])
        peak = self.folder / "peak"
        if peak.exists():
            self.peak = max(self.peak, int(peak.read_text()))
        self.clock.move(PASS_EVERY_SECONDS)
        return spent

    def _environment(self) -> Mapping[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {
            **kept,
            **self.sandbox.environment(),
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(self.folder),
            "SYNCD_STATE_DIR": str(self.folder / "state"),
            "BENCH_AHEAD": str(self.clock.ahead),
            "BENCH_STATE": str(self.folder),
            "BENCH_PEAK": str(self.folder / "peak"),
            "PYTHONHASHSEED": "0",  # item_synchronizer goes through sets
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }

    def run_until_agreed(self, most: int = PASSES) -> tuple[int, Spent, bool]:
        """Passes until nothing is still to come, or until one that writes nothing: how many, their time, and which."""
        spent = Spent(0.0, 0.0)
        for number in range(1, most + 1):
            before = self.ledger.counts().writes
            spent = spent.plus(self.run_pass())
            if self.agreed():
                return number, spent, True
            if self.ledger.counts().writes == before and not self.alternative.one_way and self._shown():
                return number, spent, False
        return most, spent, False

    def _shown(self) -> bool:
        """Whether search shows everything: else a pass at rest may have more to do."""
        return self.sandbox.highlevel.lag_seconds == 0

    def agreed(self) -> bool:
        """Whether both sides hold the same and nothing is still to come; for a one-way reader, what HighLevel holds."""
        if self.alternative.one_way:
            return self.read_as_held()
        fate = self.ledger.fate()
        return not (self.sandbox.differences() or fate.one_side or fate.missing)

    def read_as_held(self) -> bool:
        """Whether dlt's SQLite file holds every deal as HighLevel does."""
        columns = "id", "name", "monetary_value", "status", "pipeline_stage_id", "assigned_to"
        names = "id", "name", "monetaryValue", "status", "pipelineStageId", "assignedTo"
        held = {tuple(_plain(deal.get(name)) for name in names) for deal in self.sandbox.highlevel.deals()}
        path = self.folder / "deals.db"
        if not path.exists():
            return False
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute(f"SELECT {', '.join(columns)} FROM deals").fetchall()  # noqa: S608
        return {tuple(_plain(value) for value in row) for row in rows} == held

    # --- the three acts ------------------------------------------------------------------------------------------

    def fill(self, found: Outcome) -> None:
        """The first passes, until both sides agree; then one that has nothing to do."""
        _, _, agreed = self.run_until_agreed()
        found.fill = self.ledger.counts()
        if not agreed:
            found.missing = f"its first passes did not bring the sides into agreement: {' '.join(self.said)[-300:]}"
        self.ledger.forget()
        self.run_pass()
        found.idle = self.ledger.counts()
        self.ledger.forget()

    def peace(self, found: Outcome) -> None:
        """Rounds of 100 edits, no faults, no lag."""
        times = []
        for number in range(self.size.rounds):
            plan = calm_edits(self.author, self.size.single, self.size.apart, self.size.conflicts)
            self.author.carry_out(plan.first)
            self.clock.move(10)
            self.author.carry_out(plan.later)
            self.clock.move(60)
            passes, spent, agreed = self.run_until_agreed()
            times.append(spent)
            if not number:
                found.passes, found.agreed = passes, agreed
                found.calm, found.calm_fate = self.ledger.counts(), self.ledger.fate()
                found.deals_changed = plan.from_crm if self.alternative.one_way else plan.deals
                found.calm_due = plan.to_crm
            self.ledger.forget()
            self.ledger.edits.clear()  # these have had their say
        found.seconds = statistics.median(spent.wall for spent in times)
        found.cpu_seconds = statistics.median(spent.cpu for spent in times)

    def storm(self, found: Outcome) -> None:
        """Edits before and amid passes, new deals and rows, while requests fail and search lags."""
        self.sandbox.highlevel.lag_seconds = LAG_SECONDS
        faults = [crm_faults(SEED), table_faults(SEED)]
        self.sandbox.crm_http.faults, self.sandbox.table_http.faults = faults
        waves = storm_edits(self.author, self.size.waves, self.size.before, self.size.amid)
        for number, wave in enumerate(waves):
            self.author.carry_out(wave.before)
            for at in range(number, self.size.records, self.size.waves):
                self.ledger.add_deal(f"Newcomer deal {at}")
                self.ledger.add_row(f"Newcomer row {at}")
            self.clock.move(10)
            self.run_pass(lambda wave=wave: self.author.carry_out(wave.amid))  # type: ignore[misc]
        found.struck = sum(fault.times == 0 for side in faults for fault in side)
        for side in (self.sandbox.crm_http, self.sandbox.table_http):
            side.faults = []
        _, _, found.storm_agreed = self.run_until_agreed()
        words = self.ledger.last_words()
        found.storm_words = sum(edit.side == "crm" or not self.alternative.one_way for edit in words)
        typed = [edit for edit in self.ledger.edits if edit.side == "table"]
        last = [edit for edit in words if edit.side == "table"]
        found.storm_due = len(last) + self.size.records, len(typed) + self.size.records
        found.storm, found.storm_fate = self.ledger.counts(), self.ledger.fate()


class _Once:
    """What happens amid a pass, at its first write. `side` and `text` are that write's."""

    def __init__(self, ledger: Ledger, act: Callable[[], None]) -> None:
        self._ledger = ledger
        self._act = act
        self._done = False

    def __call__(self, side: SideName = "crm", text: str = "") -> None:
        if not self._done:
            self._done = True
            before = len(self._ledger.edits)
            self._act()
            for edit in self._ledger.edits[before:]:
                rows = self._ledger.sandbox.airtable.find_rows(TABLE, "GHL ID", edit.deal)
                if edit.side == side and any(record in text for record in [edit.deal, *rows]):
                    self._ledger.in_window.append(edit)


def _plain(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def compare_one(alternative: Alternative, size: Size, folder: Path) -> Outcome:
    """One alternative through the three acts."""
    found = Outcome(alternative.name, alternative.one_way)
    if alternative.package and (why := install.installed(alternative.package)):
        found.missing = f"not installed: {why}"
        return found
    world = World(alternative, size, folder)
    try:
        for act in (world.fill, world.peace, world.storm):
            act(found)
            if found.missing:
                break
    finally:
        found.peak, found.said = world.peak, world.said
        world.close()
    return found


def compare(size: Size | None = None, names: tuple[str, ...] = ()) -> list[Outcome]:
    """All alternatives, or those that are named."""
    found = []
    for alternative in ALTERNATIVES:
        if names and alternative.name not in names:
            continue
        print(f"alternatives: {alternative.name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="syncd-alternative-") as folder:
            found.append(compare_one(alternative, size or Size(), Path(folder)))
    return found
