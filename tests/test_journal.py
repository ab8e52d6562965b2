"""The daemon's log: what is new is said once, what goes on is said each hour."""

from __future__ import annotations

import logging

import pytest

from syncd.cli.journal import STILL_SECONDS, Journal
from syncd.model import Side
from syncd.plan import Finding, Trouble
from syncd.reconcile import PassResult
from tests.memory import Clock

DOWN = "HighLevel does not answer."


def finding(name: str, sentence: str = "Status “x” does not exist.") -> Finding:
    """Something for a person."""
    return Finding(Trouble.UNREADABLE_CELL, f"id of {name}", "rec1", name, sentence, True)


def lines(caught: pytest.LogCaptureFixture, least: int = logging.INFO) -> list[str]:
    """What was logged since the last look."""
    found = [f"{record.levelname} {record.getMessage()}" for record in caught.records if record.levelno >= least]
    caught.clear()
    return found


@pytest.fixture
def caught(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, idle passes included."""
    caplog.set_level(logging.DEBUG, "syncd")
    return caplog


def test_standing_findings_are_said_once_in_one_order(caught: pytest.LogCaptureFixture) -> None:
    journal = Journal(["p"])
    findings = [finding("B"), finding("A")]
    journal.passed(PassResult("p", findings=findings))
    said = ["WARNING p: for a person: “A”: Status “x” does not exist.",
            "WARNING p: for a person: “B”: Status “x” does not exist."]  # fmt: skip
    assert lines(caught) == said
    for order in (findings, findings[::-1]):
        journal.passed(PassResult("p", findings=order))
        assert lines(caught) == []
    journal.passed(PassResult("p", findings=[finding("A"), finding("C")]))
    assert lines(caught) == [
        "WARNING p: for a person: “C”: Status “x” does not exist.",
        "INFO p: no longer for a person: “B”: Status “x” does not exist.",
    ]
    journal.passed(PassResult("p"))
    assert [line.split("“")[1][0] for line in lines(caught)] == ["A", "C"]
    journal.passed(PassResult("p", findings=findings))
    assert lines(caught) == said, "what comes back is new"


def test_many_findings_are_shortened(caught: pytest.LogCaptureFixture) -> None:
    Journal(["p"]).passed(PassResult("p", findings=[finding(f"deal {at:03d}") for at in range(40)]))
    said = lines(caught)
    assert len(said) == 13
    assert said[-1] == "WARNING p: … and 28 more: syncd status --json"


def test_passes_that_wrote_are_said_and_idle_ones_are_not(caught: pytest.LogCaptureFixture) -> None:
    journal = Journal(["p"])
    busy = PassResult("p", findings=[finding("A")])
    busy.tally.updated[Side.CRM] = 2
    for _ in range(2):
        journal.passed(busy)
    said = [line for line in lines(caught) if "2 deals changed" in line]
    assert said == ["INFO p: 2 deals changed (0 links, 0 calls, 0.0 s)"] * 2
    journal.passed(PassResult("p", notes=["The state database was lost."]))
    assert "WARNING p: The state database was lost." in lines(caught)
    journal.passed(PassResult("p"))
    assert lines(caught) == []
    journal.passed(PassResult("p", unsettled=2))
    journal.passed(PassResult("p", unsettled=2))
    assert lines(caught) == ["WARNING p: 2 writes without an answer yet; the next pass looks them up"]


def test_an_error_that_goes_on_is_said_each_hour(caught: pytest.LogCaptureFixture) -> None:
    """At once where it changes; its end is said, too; findings before it are not new afterwards."""
    clock = Clock()
    journal = Journal(["p"], clock=clock)
    standing = [finding("A")]
    journal.passed(PassResult("p", findings=standing))
    lines(caught)
    said = []
    for _ in range(130):  # two hours and some
        journal.passed(PassResult("p", error=DOWN))
        said += lines(caught)
        clock.advance(60)
    assert said == [
        f"ERROR p: not completed. {DOWN}",
        f"ERROR still: p: not completed. {DOWN}",
        f"ERROR still: p: not completed. {DOWN}",
    ]
    journal.passed(PassResult("p", error="The token was refused."))
    assert lines(caught) == ["ERROR p: not completed. The token was refused."]
    clock.advance(STILL_SECONDS - 1)
    journal.passed(PassResult("p", error="The token was refused."))
    assert lines(caught) == []
    journal.passed(PassResult("p", findings=standing))
    (line,) = lines(caught)
    assert line.startswith("INFO p: nothing to write")
    assert "completed again" in line
    journal.passed(PassResult("p", error=DOWN))
    assert lines(caught) == [f"ERROR p: not completed. {DOWN}"]


def test_pairs_are_told_apart(caught: pytest.LogCaptureFixture) -> None:
    journal = Journal(["p", "q"])
    for pair in ("p", "q", "p", "q"):
        journal.passed(PassResult(pair, error=DOWN))
    assert lines(caught) == [f"ERROR {pair}: not completed. {DOWN}" for pair in ("p", "q")]


def test_a_stopped_pass_says_nothing(caught: pytest.LogCaptureFixture) -> None:
    journal = Journal(["p"])
    journal.passed(PassResult("p", findings=[finding("A")]))
    lines(caught)
    journal.passed(PassResult("p", stopped=True))
    assert lines(caught) == []
    journal.passed(PassResult("p", findings=[finding("A")]))
    assert lines(caught) == []


@pytest.mark.parametrize(
    ("passes", "hopeless"),
    [
        ("p! q!", True), ("q! p! p!", True), ("p! p! p!", False), ("p! q", False), ("p q!", False), ("p p! q!", False),
        ("p! q q! p!", False),
    ],
)  # fmt: skip
def test_only_where_every_first_pass_is_misconfigured_there_is_no_hope(passes: str, hopeless: bool) -> None:
    called = []
    journal = Journal(["p", "q"], lambda: called.append(1))
    for one in passes.split():
        wrong = one.endswith("!")
        journal.passed(PassResult(one[0], error="There is no such table." if wrong else "", misconfigured=wrong))
    assert (journal.is_hopeless, len(called)) == (hopeless, int(hopeless))
