"""Simulated worlds: every property of SPEC §6 holds in each of them, and every kind of trouble happened in some.

1,000 seeds in `make test`, 10,000 where CI=true. `make soak SEEDS=n` runs more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulation.__main__ import told
from tests.simulation.cases import Case, cases
from tests.simulation.knobs import Knobs, draw
from tests.simulation.marks import RARE, missing
from tests.simulation.run import simulate
from tests.simulation.shrink import shrink

PARTS = 10
SEEDS = 10_000 if os.environ.get("CI") == "true" else 1_000
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def totals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the parts leave their counts, also those that other processes run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "simulation"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("part", range(PARTS))
def test_every_property_holds_in_every_world(part: int, totals: Path) -> None:
    marks: Counter[str] = Counter()
    each = SEEDS // PARTS
    for seed in range(part * each, (part + 1) * each):
        outcome = simulate(seed, draw(seed))
        marks.update(outcome.marks)
        assert not outcome.broken, told(outcome)
    gate(totals, part, marks)


def gate(totals: Path, part: int, marks: Counter[str]) -> None:
    """The part that ends last looks at all counts: what never happened was never tested."""
    lines = "".join(f"{times}\t{name}\n" for name, times in marks.items())
    written = totals / f"{part}.part"
    written.write_text(lines)
    written.rename(totals / f"{part}.counts")
    files = sorted(totals.glob("*.counts"))
    if len(files) < PARTS:
        return
    everything: Counter[str] = Counter()
    for file in files:
        for line in file.read_text().splitlines():
            times, name = line.split("\t")
            everything[name] += int(times)
    assert missing(everything, SEEDS) == []


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case.seed))
def test_what_failed_once_holds(case: Case) -> None:
    outcome = simulate(case.seed, replace(draw(case.seed), waits=0.0))  # a knob that was not there when it failed
    assert not outcome.broken, f"{case.sentence}\n{told(outcome)}"


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    """Byte for byte, whatever order sets and dictionaries have: the seed is all that a failure needs."""
    program = (
        "from tests.simulation.knobs import draw\n"
        "from tests.simulation.run import simulate\n"
        "for seed in range(40, 60):\n"
        "    outcome = simulate(seed, draw(seed))\n"
        "    print(outcome.digest, *outcome.log, sep='\\n')\n"
    )
    logs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for seed in ("1", "77")
    ]
    assert len(logs[0]) > 10_000
    assert logs[0] == logs[1]


def test_a_recorded_run_replays_from_its_events() -> None:
    for seed in range(100, 120):
        first = simulate(seed, draw(seed))
        again = simulate(seed, draw(seed), first.events)
        assert again.log == first.log
        assert again.digest == first.digest


def test_a_failing_story_is_cut_to_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule is broken on purpose: the engine takes what search shows for the truth."""
    from tests.simulation.ablations import ABLATIONS

    ablation = next(one for one in ABLATIONS if one.name == "second look")
    with ablation.applied():
        told = (simulate(seed, draw(seed)) for seed in range(2_000))
        outcome = next(one for one in told if one.broken and len(one.events) > 8)
        short = shrink(outcome)
    assert short.broken == outcome.broken
    assert 0 < len(short.events) < len(outcome.events)
    assert len(short.events) <= 12


def test_a_transition_that_never_happened_is_named() -> None:
    names = missing(Counter(), 1_000)
    assert len(names) > 80
    assert missing(Counter(dict.fromkeys(names, 1)), 9_999) == []
    assert missing(Counter(dict.fromkeys(names, 1)), 10_000) == list(RARE)
    assert missing(Counter({**dict.fromkeys(names, 1), "set key": 0}), 1_000) == ["set key"]


def test_knobs_are_off_in_many_worlds_and_on_in_many() -> None:
    usual, drawn = Knobs(), [draw(seed) for seed in range(400)]
    for name in (
        "crashes",
        "lost_before",
        "lost_after",
        "unread",
        "hidden",
        "lag",
        "keys",
        "vocabulary",
        "edits_within",
    ):
        off = sum(getattr(knobs, name) == getattr(usual, name) for knobs in drawn)
        assert 40 < off < 360, name
