"""Which rows may be those of deals whose ids are gone (`lost_keys.py`), by themselves."""

from __future__ import annotations

from syncd.lost_keys import twins
from syncd.model import Agreed, Link, Raw, Record, packed_shadow
from tests.memory import FIELD_NAMES
from tests.test_carry_parts import GROUND, NAME, ROW_RAW, with_raw


def link(name: str | None) -> Link:
    """A link whose row was called so."""
    return Link("d1", "r1", shadow=packed_shadow({"name": Agreed(name, name, name, name or "")}, FIELD_NAMES))


def row(name: Raw) -> Record:
    """A row without an id."""
    return Record("r9", with_raw(ROW_RAW, NAME, name))


def test_a_row_is_known_again_by_its_name() -> None:
    assert twins(GROUND, [link("Roof")], [row("roof"), Record("r8", ROW_RAW)]) == {"d1": ["r9"]}


def test_a_row_that_had_no_name_is_known_by_nothing() -> None:
    assert twins(GROUND, [link(None)], [row(None)]) == {}
    assert twins(GROUND, [Link("d1", "r1")], [row(None)]) == {}, "nothing was agreed on"
