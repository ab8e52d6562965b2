"""When a blank cell means that its option was removed, and not that somebody cleared it (SPEC §4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from syncd.judge import option_gone
from syncd.sides import Column
from syncd.values import codec_for
from tests.memory import VOCABULARY, World

A, B = "dealAAA1", "dealBBB2"

STATUS = Column("fldStatus", "Status", "select", options={"opt1": "Won", "opt2": "Lost"})


@pytest.mark.parametrize(
    ("stored", "gone"),
    [
        ("opt1", False),  # it is still there: the cell was cleared
        ("opt9", True),
        ("Won", False),  # what was written and never read back is a label
        ("  wOn ", False),
        ("Abandoned", True),
        ("", False),
        (None, False),
        (5, False),
    ],
)
def test_an_option_is_there_by_its_id_or_by_its_label(stored: str | int | None, gone: bool) -> None:
    codec = codec_for("status", {"status": STATUS}, VOCABULARY, {})
    assert option_gone(codec, stored, None) is gone
    assert not option_gone(codec, stored, "opt2"), "the cell holds another one"


def test_a_text_column_has_no_options() -> None:
    codec = codec_for("status", {"status": Column("fldStatus", "Status", "text")}, VOCABULARY, {})
    assert not option_gone(codec, "Abandoned", None)


def without_its_option(folder: Path, column: str, *labels: str) -> World:
    """Two links, and a select of which the option that both rows had was removed; Airtable clears these cells."""
    world = World(folder)
    world.table.make_select(column, *labels)
    world.filled(A, B)
    world.table.columns[column] = replace(world.table.columns[column], options={"optZ": labels[-1]})
    for deal in (A, B):
        world.row(deal).cells[column] = None
    return world


def test_a_status_whose_option_was_removed_is_filled_again(tmp_path: Path) -> None:
    """It may not be blank, whoever made it so (SPEC §5): nobody is asked."""
    world = without_its_option(tmp_path, "status", "open", "won")
    result = world.run()
    assert (result.code, world.writes()) == (0, (0, 2, 0))
    assert [world.table.shown(world.table.row_of(deal), "status") for deal in (A, B)] == ["open", "open"]
    assert world.table.messages() == []
    world.agree(A, B)
    assert (world.run().code, world.writes()) == (0, (0, 2, 0))


def test_a_cell_whose_option_was_removed_gets_the_deals_new_value(tmp_path: Path) -> None:
    """A person is asked only while the deal holds what has no option any more."""
    world = without_its_option(tmp_path, "owner", "Ann", "Bob")
    world.crm.put(A, owner="u2")
    result = world.run()
    assert (result.code, len(world.crm.log)) == (3, 0)
    assert [world.table.shown(world.table.row_of(deal), "owner") for deal in (A, B)] == ["Bob", None]
    assert world.row(A).message == ""
    assert "“Ann” is no option of “Owner” any more" in world.row(B).message
