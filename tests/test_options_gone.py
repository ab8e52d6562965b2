"""When a blank cell means that its option was removed, and not that somebody cleared it (SPEC §4)."""

from __future__ import annotations

import pytest

from syncd.judge import option_gone
from syncd.sides import Column
from syncd.values import codec_for
from tests.memory import VOCABULARY

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
