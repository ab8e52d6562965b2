"""The comparison as a section of results.md."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from syncd import __version__
from tests.benchmarks.alternatives import install
from tests.benchmarks.alternatives.compare import LAG_SECONDS, PASS_EVERY_SECONDS, REPOSITORY, Outcome, Size
from tests.benchmarks.report import table

BEGIN, END = "<!-- alternatives -->", "<!-- end of alternatives -->"
CRM_PER_SECOND, TABLE_PER_SECOND = 10, 5  # what the services allow (reference/ghl.md §5, airtable.md §1)
NONE = "–"
Cell = Callable[[Outcome], str]


def _calls(one: Outcome) -> str:
    return f"{one.calm.calls / one.deals_changed:.1f}"


def _least(one: Outcome) -> str:
    crm, rows = one.calm.crm_reads + one.calm.crm_writes, one.calm.table_reads + one.calm.table_writes
    return f"{max(crm / CRM_PER_SECOND, rows / TABLE_PER_SECOND):.0f} s"


def _time(one: Outcome) -> str:
    return f"{one.seconds:.1f} s ({one.cpu_seconds:.1f} s)" if one.agreed else "never"


def _both(cell: Cell) -> Cell:
    """A measure that a one-way reader does not have."""
    return lambda one: NONE if one.one_way else cell(one)


def _lost(one: Outcome) -> str:
    lost = len(one.storm_fate.lost)
    if one.one_way:
        lost = 0 if one.storm_agreed else one.storm_words
    return f"{lost} of {one.storm_words}"


def _lost_in_peace(one: Outcome) -> str:
    fate = one.calm_fate
    return f"{len(fate.lost)} of {fate.carried + len(fate.one_side) + len(fate.lost)}"


def _rows(size: Size) -> list[tuple[str, Cell]]:
    return [
        ("calls per changed deal", _calls),
        ("calls of a pass with nothing to do", lambda one: str(one.idle.calls)),
        ("fields written", _both(lambda one: str(one.calm.fields_written))),
        ("of these, no-op writes (same value)", _both(lambda one: str(one.calm.fields_equal))),
        ("workflows fired (due)", _both(lambda one: f"{one.calm.fired} ({one.calm_due})")),
        (f"time to agree on {size.edits} edits: wall (CPU)", _time),
        ("  passes", lambda one: str(one.passes)),
        ("  at the services' rate limits, at least", _least),
        ("edits lost", _both(_lost_in_peace)),
        ("storm: requests that failed", lambda one: str(one.struck)),
        ("storm: edits lost", _lost),
        ("  of these, typed amid that very write", _both(lambda one: str(one.storm_fate.in_window))),
        ("storm: edits undone on the way", _both(lambda one: str(one.storm.undone))),
        ("storm: edits never carried", _both(lambda one: str(len(one.storm_fate.one_side)))),
        ("storm: deals or rows made twice", _both(lambda one: str(one.storm_fate.duplicates))),
        ("storm: deals or rows missing", _both(lambda one: str(one.storm_fate.missing))),
        ("storm: workflows fired (due)", _both(lambda one: f"{one.storm.fired} ({_range(one.storm_due)})")),
        ("storm: no-op writes (same value)", _both(lambda one: str(one.storm.fields_equal))),
        ("peak memory of a pass", lambda one: f"{one.peak / 10**6:.0f} MB"),
    ]


def _range(pair: tuple[int, int]) -> str:
    return f"{pair[0]} to {pair[1]}"


def section(found: Sequence[Outcome], size: Size | None = None) -> str:
    """The Markdown of a comparison, between its two markers."""
    size = size or Size()
    present = [one for one in found if not one.missing]
    head = ["", *(one.name for one in present)]
    rows = [(what, *(cell(one) for one in present)) for what, cell in _rows(size)]
    absent = [f"{one.name}: {one.missing}." for one in found if one.missing]
    parts = ["## Beside what one could run instead", _versions(present), _story(size), table(head, rows)]
    parts += [*absent, _notes()]
    return f"{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}"


def _versions(found: Sequence[Outcome]) -> str:
    others = [name for name in install.WANTED if any(name in one.name for one in found)]
    names = [f"{name} {install.version_of(name)}" for name in others]
    ours = [f"{name} {version(name)}" for name in ("httpx", "pyairtable")]
    known = ", ".join([f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}", *ours, *names])
    said = f"{datetime.now(UTC):%Y-%m-%d}, syncd {__version__}, {known}; {_machine()}. "
    return textwrap.fill(f"{said}An empty Python takes {_empty_python()}.", 120)


def _machine() -> str:
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 10**9
    busy = f", load {load:.1f} at the end: wall times are too high" if load > 1.5 * cores else ""
    return f"{platform.system()} {platform.machine()}, {cores} cores, {memory:.0f} GB{busy}"


def _empty_python() -> str:
    ran = subprocess.run(
        [sys.executable, "-c", "from tests.benchmarks.alternatives.meter import peak_bytes; print(peak_bytes())"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return f"{int(ran.stdout) / 10**6:.0f} MB"


def _story(size: Size) -> str:
    deals = size.single + size.apart + size.conflicts
    peace = f"""The same {size.deals} deals on the same servers, rate limits off, each pass a process of its own.
        In peace: {size.edits} edits, half on either side, of {deals} deals; {size.apart} deals are edited on both sides
        in different fields, {size.conflicts} in the same one, where the later edit must win. The sides agree when they
        hold the same, whatever was lost on the way; times are medians of {size.rounds} rounds."""
    storm = f"""In the storm: {size.storm_edits} edits in {size.waves} waves, some of them amid a pass; {size.records}
        new deals and {size.records} new rows; answers that are lost, 500, 503, 429 and cut connections at fixed places;
        a search that lags {LAG_SECONDS:.0f} s, and a pass every {PASS_EVERY_SECONDS:.0f} s."""
    count = """Everything is counted at the servers. An edit is lost when it was a person's last word on a field and
        stands on neither side in the end. One that arrives between the last read of a record and the write that is on
        its way, nobody can save (LIMITS)."""
    return "\n\n".join(textwrap.fill(" ".join(part.split()), 120) for part in (peace, storm, count))


def _notes() -> str:
    return """\
- script: pages both sides, compares hashes with the last ones, writes all fields of what changed; the later `updatedAt`
  or `Last modified` wins. It repeats what fails, as recipes do. What it needs, no service promises: that search is
  current, and that an answer which did not come means that nothing was done.
- item_synchronizer: the engine is given whole items and the clients of the script. It was made for calendars and
  to-do lists, where an item is one value, reads are current, and a needless write starts nothing. Installed without
  its pins (PyYAML 5.3 does not build on this Python). A deal that search does not show is asked for by id before it
  counts as deleted, and a failed write is tried again in the next pass.
- dlt: reads HighLevel into SQLite; it was not made to write back. Its calls are per deal that changed in HighLevel, its
  time is until SQLite holds what HighLevel holds, and of the edits only those made there count."""


def write_section(found: Sequence[Outcome], path: Path, size: Size | None = None) -> str:
    """Puts the section into a Markdown file, in the place of the last one; returns it."""
    text = section(found, size)
    old = path.read_text(encoding="utf-8") if path.exists() else "# What syncd costs\n"
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before.rstrip()}\n\n{text}\n{after.lstrip()}", encoding="utf-8")
    return text


def readme_part(section: str) -> str:
    """The table alone, for the README, with what has to be known to read it."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return "\n".join(
        [
            "What a user would run instead, on the same servers, with the same edits and the same faults (what each of",
            "them was made for, and how it is counted: [results.md](tests/benchmarks/results.md)):",
            "",
            *lines,
        ]
    )
