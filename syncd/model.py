"""The words of the program: sides, fields, observations, stamps and the shadow. Frozen data, no behaviour beyond
asking it.

A canonical value is a string or None (None: empty). Money is a plain decimal string, a stage "pipelineId:stageId", an
owner the user's id. A raw value is what a side holds, as JSON (SPEC §1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeAlias

import orjson

Value: TypeAlias = str | None
Raw: TypeAlias = "str | int | float | bool | list[Raw] | None"


class Side(StrEnum):
    """One of the two sides. The engine treats both alike."""

    CRM = "crm"
    TABLE = "table"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.TABLE if self is Side.CRM else Side.CRM


class Missing(Enum):
    """The two observations that are not values (SPEC §1)."""

    ABSENT = "absent"  # a read of that one record by id said so
    UNKNOWN = "unknown"  # failed, incomplete, stale, out of scope, unreadable: never a reason to write


ABSENT: Final = Missing.ABSENT
UNKNOWN: Final = Missing.UNKNOWN
Observed: TypeAlias = Value | Missing


class Direction(StrEnum):
    """Where the edits of a field may travel."""

    BOTH = "both"
    TO_TABLE = "to_table"
    TO_CRM = "to_crm"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a value was last edited, as far as a side can tell: between `low` and `high`, in seconds of our own clock.

    HighLevel knows the instant (low == high). Airtable answers "after T or not", a sheet "between two reads".
    """

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Record:
    """One record as a side showed it. `raw` stands in the order of the pair's fields.

    `stamp` is the newest time in the record (seconds of the server's clock), None where a side has none; `clocks` are
    the fields' own edit times where the side shows them. `partner` is the other side's id that the record carries (a
    row's key cell), `message` the row's Sync cell, `outside` the pipeline's id of a deal that is in none of the synced
    pipelines, `lacks` the fields that this answer cannot tell, `formulas` those of them whose cell holds a formula.
    """

    id: str
    raw: tuple[Raw, ...]
    stamp: float | None = None
    clocks: tuple[float | None, ...] = ()
    partner: str | None = None
    message: str | None = None
    title: str = ""
    outside: str | None = None
    lacks: frozenset[int] = field(default=frozenset())
    formulas: frozenset[int] = field(default=frozenset())


def _encoded(value: object) -> str:
    """Compact JSON; what orjson does not take (a whole number beyond 64 bits) the standard library writes alike."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pack(names: Sequence[str], raw: Sequence[Raw]) -> str:
    """Raw values as one text, keyed by field; the same values give the same text."""
    return _encoded(dict(zip(names, raw, strict=True)))


def print_of_raw(names: Sequence[str], raw: Sequence[Raw]) -> bytes:
    """`print_of(pack(names, raw))`, as a pass asks it twice of every link."""
    try:
        packed = orjson.dumps(dict(zip(names, raw, strict=True)))
    except orjson.JSONEncodeError:
        return print_of(pack(names, raw))
    return blake2b(packed, digest_size=16).digest()


def print_of(packed: str) -> bytes:
    """A fingerprint of a packed text: equal for equal texts, and for no others that will ever be met (128 bits)."""
    return blake2b(packed.encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Agreed:
    """The shadow of one field (SPEC §1): ONE value, the last that both sides were known to hold; beside it what each
    side showed for it, and the name that people saw (a stage's or an owner's).
    """

    value: Value
    crm: Raw
    table: Raw
    label: str

    def raw(self, side: Side) -> Raw:
        """What `side` held when this was agreed."""
        return self.crm if side is Side.CRM else self.table


class Shadow(Protocol):
    """The shadow of a link: cheap to compare with what was observed, unpacked only where something differs."""

    @property
    def crm_raw(self) -> str:
        """What the CRM showed, as `pack` wrote it."""

    @property
    def table_raw(self) -> str:
        """Likewise what the table showed."""

    @property
    def crm_print(self) -> bytes:
        """Fingerprint of what the CRM showed, as `pack` wrote it."""

    @property
    def table_print(self) -> bytes:
        """Likewise of what the table showed."""

    def agreed(self) -> dict[str, Agreed]:
        """The shadow by field name."""


@dataclass(frozen=True, slots=True)
class PackedShadow:
    """A shadow as it is stored: three texts, keyed by field (see `packed_shadow`)."""

    crm_raw: str = "{}"
    table_raw: str = "{}"
    values: str = "{}"

    @property
    def crm_print(self) -> bytes:
        """See `Shadow`."""
        return print_of(self.crm_raw)

    @property
    def table_print(self) -> bytes:
        """See `Shadow`."""
        return print_of(self.table_raw)

    def agreed(self) -> dict[str, Agreed]:
        """See `Shadow`."""
        crm: dict[str, Any] = json.loads(self.crm_raw)
        table: dict[str, Any] = json.loads(self.table_raw)
        values: dict[str, Any] = json.loads(self.values)
        return {
            name: Agreed(value, crm.get(name), table.get(name), label[0] if label else value or "")
            for name, (value, *label) in values.items()
        }


NO_SHADOW: Final = PackedShadow()


class LinkState(StrEnum):
    """What is known of a link's two records."""

    BOTH = "both"
    DEAL_GONE = "deal_gone"  # deleted in the CRM; the row stays (SPEC §5)
    OUTSIDE = "outside"  # the deal left the synced pipelines; the row stays
    ROW_GONE = "row_gone"  # a person deleted the row, and the deal goes on without one


@dataclass(frozen=True, slots=True)
class Link:
    """One deal and one row (SPEC §1), with their shadow.

    `seen` is the newest stamp seen of the deal (its server's clock) and `seen_at` when (our clock); `own` holds the
    stamps that our own writes set, which date no person's edit, and `foreign` the newest stamp that is none of them
    (SPEC §2).
    """

    deal: str
    row: str
    state: LinkState = LinkState.BOTH
    title: str = ""
    seen: float | None = None
    seen_at: float = 0.0
    own: tuple[float, ...] = ()
    foreign: float | None = None
    shadow: Shadow = NO_SHADOW

    def agreed(self) -> dict[str, Agreed]:
        """The shadow by field name."""
        return self.shadow.agreed()


# A link as a row of the store: deal, row, state, title, seen, seen_at, own (a JSON list), foreign, and the fingerprints
# of what the CRM and the table showed. A sweep compares with these, and makes links only of what does not rest.
StoredLink: TypeAlias = tuple[str, str, str, str, float | None, float, str, float | None, bytes, bytes]


def packed_shadow(agreed: Mapping[str, Agreed], names: Sequence[str]) -> PackedShadow:
    """`agreed` as the three texts that are stored: the CRM's raw values, the table's, and values with labels.

    The order is that of `names`, so that an unchanged record's `pack` equals the stored text.
    """
    kept = [name for name in names if name in agreed]
    kept += [name for name in agreed if name not in kept]
    # The label stands there only where it is another text than the value: most are not, and there are many links.
    values = {
        name: [one.value] if one.label == (one.value or "") else [one.value, one.label]
        for name, one in ((name, agreed[name]) for name in kept)
    }
    return PackedShadow(
        pack(kept, [agreed[name].crm for name in kept]),
        pack(kept, [agreed[name].table for name in kept]),
        _encoded(values),
    )
