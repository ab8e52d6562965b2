"""What the configuration can choose: where SPEC §5 leaves a choice (the first value of each is the default), and the
limits of SPEC §4."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DealDeleted(StrEnum):
    """A deal was deleted in the CRM."""

    KEEP = "keep"  # its row stays and says so
    DELETE_ROW = "delete_row"


class RowDeleted(StrEnum):
    """A row was deleted."""

    RESTORE = "restore"  # it comes back
    IGNORE = "ignore"  # the deal goes on without one
    ABANDON = "abandon_deal"  # an open deal's status becomes abandoned
    DELETE_DEAL = "delete_deal"


class BlankCell(StrEnum):
    """A person cleared a cell whose field may be empty."""

    CLEAR = "clear"  # the deal's value is cleared
    NEVER_ERASE = "never_erase"  # the cell is filled again


class OneWay(StrEnum):
    """A person typed into a column that goes only to the table."""

    KEEP = "keep"  # it stays until the CRM's value changes
    WRITE_BACK = "write_back"  # the CRM's value is written over it


@dataclass(frozen=True, slots=True)
class Policy:
    """The choices of one pair."""

    deal_deleted: DealDeleted = DealDeleted.KEEP
    row_deleted: RowDeleted = RowDeleted.RESTORE
    blank_cell: BlankCell = BlankCell.CLEAR
    one_way: OneWay = OneWay.KEEP


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond BOTH limits of a kind a set is held; shares are of all links (SPEC §4's defaults)."""

    max_changes: int = 20
    max_share: float = 0.20
    max_crm_changes: int = 200  # towards the CRM this many are held whatever their share is
    max_deletions: int = 5
    max_deletion_share: float = 0.10
    max_missing: int = 5
    max_missing_share: float = 0.50
