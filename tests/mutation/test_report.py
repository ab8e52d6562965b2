"""The counts and reasons that README.md and survivors.md show are those of the last run."""

from __future__ import annotations

from tests.mutation import report


def test_enough_mutants_were_killed() -> None:
    counts = report.results()["modules"].values()
    assert sum(count["killed"] for count in counts) >= report.ENOUGH * sum(count["mutants"] for count in counts)


def test_every_survivor_is_listed_with_a_reason() -> None:
    found = report.entries()
    assert [one for one in found if one["kind"] not in report.KINDS or not one["reason"]] == []
    for module, count in report.results()["modules"].items():
        assert sum(one["mutants"] for one in found if one["module"] == module) == count["mutants"] - count["killed"]


def test_what_people_read_is_what_was_found() -> None:
    assert report.TABLE.read_text("utf-8") == report.table()
    readme = report.README.read_text("utf-8")
    assert f"{report.BEGIN}\n{report.section()}\n{report.END}" in readme
