"""The fields that can be synced, and the default columns of CONTRACT "Default columns"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from syncd.model import Direction


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a pair: its CRM name, the columns that hold it (stage: Pipeline and Stage), and where edits may
    travel.

    `columns` are the names as configured; stage has ("Pipeline", "Stage"), the first of which a table may lack.
    """

    name: str
    columns: tuple[str, ...]
    direction: Direction


PIPELINE: Final = "pipeline"  # configured like a field, but it is one field together with the stage (SPEC §1)
KEY: Final = "id"
MESSAGE: Final = "sync"
ROW: Final = "row"  # no column: whether there is a row at all (SPEC §1: existence is a field)

# CRM name -> (default column, default direction), in the order of CONTRACT's table.
DEFAULT_COLUMNS: Final[dict[str, tuple[str, Direction]]] = {
    "name": ("Name", Direction.BOTH),
    PIPELINE: ("Pipeline", Direction.BOTH),
    "stage": ("Stage", Direction.BOTH),
    "status": ("Status", Direction.BOTH),
    "value": ("Value", Direction.BOTH),
    "owner": ("Owner", Direction.BOTH),
    "contact": ("Contact", Direction.TO_TABLE),
    "email": ("Email", Direction.TO_TABLE),
    "phone": ("Phone", Direction.TO_TABLE),
    "company": ("Company", Direction.TO_TABLE),
    "source": ("Source", Direction.TO_TABLE),
}
KEY_COLUMN: Final = "GHL ID"
MESSAGE_COLUMN: Final = "Sync"
ALL_COLUMNS: Final = (*(column for column, _ in DEFAULT_COLUMNS.values()), KEY_COLUMN, MESSAGE_COLUMN)
REQUIRED: Final = ("stage", "status")  # and the key: CONTRACT "must exist"
STATUSES: Final = ("open", "won", "lost", "abandoned")
NEVER_BLANK: Final = frozenset({"name", "stage", "status"})  # a blank cell is filled again from the CRM (SPEC §5)
OWN_CLOCK: Final = frozenset({"stage", "status"})  # HighLevel dates these by themselves, all else with the deal
OF_CONTACT: Final = frozenset({"contact", "email", "phone", "company"})
