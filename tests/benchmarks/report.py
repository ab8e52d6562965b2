"""What was measured, compared with the targets, as Markdown tables."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import ceil
from pathlib import Path

from syncd import __version__
from tests.benchmarks.scene import Calls
from tests.benchmarks.window import Window

EXTRA_CALLS = 4  # a side, beside its pages
WALL_RATIO = 1.5
LARGE_WALL_RATIO, LARGE_CPU_RATIO = 1.25, 1.5  # of MEMORY_DEALS: the few calls beside the pages weigh little there
MEMORY_BYTES = 150 * 10**6
MEMORY_DEALS = 20_000
START_SECONDS = 0.2
LIBRARIES = ("httpx", "pyairtable", "requests", "pydantic", "sqlite-utils", "click", "apscheduler")


@dataclass(frozen=True, slots=True)
class Measured:
    """One size. Times are (wall, CPU) in seconds, medians; the peak is in bytes. `first_times` are of the first pass
    of a process, `idle_times` of later ones: they know most answers again."""

    deals: int
    fill: Calls
    fill_seconds: float
    idle: Calls
    bare_times: tuple[float, float]
    idle_times: tuple[float, float]
    first_times: tuple[float, float]
    peak: int

    @property
    def wall_ratio(self) -> float:
        """Wall time of an idle pass in bare loops."""
        return self.idle_times[0] / self.bare_times[0]

    @property
    def cpu_ratio(self) -> float:
        """CPU time likewise."""
        return self.idle_times[1] / self.bare_times[1]


@dataclass(frozen=True, slots=True)
class Startup:
    """Seconds of whole processes, and the bytes of one that only imports."""

    version: float
    status: float
    bare_python: float
    imports: int


@dataclass(frozen=True, slots=True)
class Check:
    """One measured number beside its target."""

    what: str
    deals: int | None
    measured: str
    target: str
    met: bool


def checks_of(found: Sequence[Measured], startup: Startup) -> list[Check]:
    """Every target, met or not."""
    checks = [check for one in found for check in _checks_of_size(one)]
    met = startup.version < START_SECONDS
    return [*checks, Check("start-up of `syncd --version`", None, f"{startup.version:.3f} s", "< 0.2 s", met)]


def _checks_of_size(one: Measured) -> list[Check]:
    most, writes = ceil(one.deals / 100) + EXTRA_CALLS, ceil(one.deals / 10)
    checks = [
        _at_most("first fill: reads of HighLevel", one.deals, one.fill.crm_reads, most),
        _at_most("first fill: reads of Airtable", one.deals, one.fill.table_reads, most),
        _exactly("first fill: writes to Airtable", one.deals, one.fill.table_writes, writes),
        _exactly("first fill: writes to HighLevel", one.deals, one.fill.crm_writes, 0),
        _at_most("idle pass: reads of HighLevel", one.deals, one.idle.crm_reads, most),
        _at_most("idle pass: reads of Airtable", one.deals, one.idle.table_reads, most),
        _exactly("idle pass: writes", one.deals, one.idle.crm_writes + one.idle.table_writes, 0),
    ]
    ratio, most_ratio = f"{one.wall_ratio:.2f}", LARGE_WALL_RATIO if one.deals == MEMORY_DEALS else WALL_RATIO
    checks.append(
        Check("idle pass / bare loop, wall time", one.deals, ratio, f"<= {most_ratio}", one.wall_ratio <= most_ratio)
    )
    if one.deals == MEMORY_DEALS:
        cpu = f"{one.cpu_ratio:.2f}"
        met = one.cpu_ratio <= LARGE_CPU_RATIO
        checks.append(Check("idle pass / bare loop, CPU time", one.deals, cpu, f"<= {LARGE_CPU_RATIO}", met))
    if one.deals == MEMORY_DEALS:
        met = one.peak < MEMORY_BYTES
        checks.append(Check("idle pass: peak memory", one.deals, _megabytes(one.peak), "< 150 MB", met))
    return checks


def _at_most(what: str, deals: int, measured: int, most: int) -> Check:
    return Check(what, deals, f"{measured:,}", f"<= {most:,}", measured <= most)


def _exactly(what: str, deals: int, measured: int, wanted: int) -> Check:
    return Check(what, deals, f"{measured:,}", f"{wanted:,}", measured == wanted)


def _megabytes(count: int) -> str:
    return f"{count / 10**6:.1f} MB"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned; all but the first to the right."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [("-" * (width - 1) + ":") if at else "-" * width for at, width in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def _costs(found: Sequence[Measured]) -> str:
    rows = [
        ("first fill: reads HighLevel / Airtable", *(_reads(one.fill) for one in found)),
        ("first fill: writes", *(f"{one.fill.table_writes:,}" for one in found)),
        ("first fill: wall time", *(f"{one.fill_seconds:.1f} s" for one in found)),
        ("idle pass: reads HighLevel / Airtable", *(_reads(one.idle) for one in found)),
        ("idle pass: wall (CPU) time", *(_times(one.idle_times) for one in found)),
        ("first idle pass of a process: wall (CPU)", *(_times(one.first_times) for one in found)),
        ("bare loop: wall (CPU) time", *(_times(one.bare_times) for one in found)),
        ("idle pass / bare loop: wall (CPU)", *(f"{one.wall_ratio:.2f} ({one.cpu_ratio:.2f})" for one in found)),
        ("idle pass in a fresh process: peak memory", *(_megabytes(one.peak) for one in found)),
    ]  # fmt: skip
    return table(["deals", *(f"{one.deals:,}" for one in found)], rows)


def _reads(calls: Calls) -> str:
    return f"{calls.crm_reads:,} / {calls.table_reads:,}"


def _times(times: tuple[float, float]) -> str:
    return f"{times[0]:.2f} s ({times[1]:.2f} s)"


def _machine(load: float) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    cores = os.cpu_count() or 1
    busy = (
        f"; load {load:.1f} at the start: other programs were running, times are too high" if load > cores / 2 else ""
    )
    return f"{platform.system()} {platform.machine()}, {cores} cores ({model or 'unknown processor'}){busy}"


def markdown(
    found: Sequence[Measured],
    startup: Startup,
    checks: Sequence[Check],
    windows: Sequence[Window],
    sections: Mapping[str, str],
    *,
    load: float,
    seconds: float,
) -> str:
    """The whole report."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    missed = sum(not check.met for check in checks)
    verdicts = [
        (one.what, f"{one.deals:,}" if one.deals else "", one.measured, one.target, "pass" if one.met else "FAIL")
        for one in checks
    ]
    return "\n".join(
        [
            "# What syncd costs",
            "",
            f"syncd {__version__}, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {libraries}.  ",
            f"{_machine(load)}. Measured in {seconds:.0f} s.",
            "",
            "Local servers in a process of their own, no latency, rate limits off. The bare loop pages both",
            "sides with the same clients, one after the other, and keeps nothing; the pass reads both at",
            "once, in two threads, so the wall ratio shows that gain, too, and the CPU ratio does not. They",
            "take turns; medians are shown. An idle pass is one of a process that has made passes before, as",
            "the daemon's: it knows the answers again that were at rest and takes them no more apart, as the",
            "bare loop does. The first pass of a process (`syncd --reconcile`) has a line of its own. With",
            "the real services the rate limits decide: 90 requests in 10 s to HighLevel, 5 a second to",
            "Airtable.",
            "",
            _costs(found),
            "",
            f"`syncd --version` {startup.version:.3f} s, `syncd status` {startup.status:.3f} s, an empty Python "
            f"{startup.bare_python:.3f} s; with everything imported, it takes {_megabytes(startup.imports)}.",
            "",
            "## The window between the last read of a record and its write",
            "",
            "Milliseconds between the two requests' arrivals at the servers; a real service adds its round trip.",
            "",
            table(
                ["side", "writes", "median", "longest"],
                [(w.side, f"{w.writes}", f"{w.median:.1f} ms", f"{w.longest:.1f} ms") for w in windows],
            ),
            "",
            *(f"## {title}\n\n{text}\n" for title, text in sections.items()),
            "## Targets" + (f": {missed} missed" if missed else ": all met"),
            "",
            table(["what", "deals", "measured", "target", ""], verdicts),
            "",
        ]
    )


BEGIN, END = "<!-- bench -->", "<!-- end of bench -->"


def write_readme(
    readme: Path, found: Sequence[Measured], startup: Startup, sections: Mapping[str, str], compared: str
) -> None:
    """Puts the tables into the README, between its markers."""
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    versions = f"Python {platform.python_version()}"
    parts = [
        f"Measured by `make bench` on {datetime.now(UTC):%Y-%m-%d}, {_machine(0.0)}, {versions}, against local\n"
        "servers without latency, rate limits off; [results.md](tests/benchmarks/results.md) has the whole\n"
        "report with its targets. The bare loop pages both sides with the same clients and keeps nothing.",
        _costs(found),
        f"`syncd --version` {startup.version:.3f} s, `syncd status` {startup.status:.3f} s, an empty Python "
        f"{startup.bare_python:.3f} s;\nwith everything imported, it takes {_megabytes(startup.imports)}.",
        *(f"{title}:\n\n{text}" for title, text in sections.items()),
        compared,
    ]
    readme.write_text(f"{before}{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}{after}", encoding="utf-8")


__all__ = ["Check", "Measured", "Startup", "checks_of", "markdown", "write_readme"]
