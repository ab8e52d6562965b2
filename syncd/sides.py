"""What the engine asks of a side: one Protocol that HighLevel, Airtable and every later table implement (DESIGN).

Two failure levels. A record that cannot be read or written is a value (`Unread`, `Refused`, `Lost`). A side that
cannot be used at all is an exception: `SideDown` ends the pass, `Misconfigured` is a person's to mend.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from syncd.at_rest import Sieve
from syncd.fields import Field
from syncd.model import ABSENT, Missing, Raw, Record, Side, Stamp


class SideDown(Exception):
    """A side cannot be used in this pass: down, refused token, quota gone. The text is a sentence for people (exit
    1).
    """


class Misconfigured(Exception):
    """Something the configuration names does not exist or belongs to another. Names it and the mend (exit 2)."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A record whose read was refused for another reason than "not found": unknown, never deleted (SPEC §1). `fault`:
    the server failed, so the pass is not complete, though other records go on (§3.7)."""

    sentence: str
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Patch:
    """New raw values for one record; `changes` maps the index of a field to what the side shall hold.

    `message` is a new text for the Sync cell and `partner` a new key, where they change; an empty text clears.
    """

    id: str
    changes: Mapping[int, Raw] = field(default_factory=dict)
    message: str | None = None
    partner: str | None = None


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be made: its partner's id (planted in it) and its raw values by field index."""

    partner: str
    values: Mapping[int, Raw]
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The server took the write; `record` is what it holds now, read back. `made` tells a new record from one found."""

    record: Record
    made: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The server refused, so nothing changed. `fields` names the columns it blames; `everyone` says that the refusal
    is no record's fault (a permission, the table, a column), so other records would be refused alike (SPEC §3.7).
    `existing` is the id of the record that stands in the way of a new one.
    """

    sentence: str
    fields: frozenset[int] = frozenset()
    everyone: bool = False
    existing: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came: the write may have happened. It is settled by reading, never by repeating (SPEC §3.5)."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing was written and nobody is to blame: the record is no longer where or what it was, or (`everyone`) the
    side cannot be written now, while it can be read. The next pass decides anew."""

    sentence: str
    everyone: bool = False


class TryAgain(SideDown):
    """Nothing was written, and nothing speaks against it but that it would have had to wait: what the write rests on is
    read again first (SPEC §3.1)."""


ReadResult: TypeAlias = Record | Missing | Unread  # Missing is ABSENT here, never UNKNOWN
WriteResult: TypeAlias = Written | Refused | Lost | Later


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a new deal is for; "" for what is not known. `phone` is an international number (E.164)."""

    name: str = ""
    email: str = ""
    phone: str = ""
    company: str = ""


@dataclass(frozen=True, slots=True)
class MadeDeal:
    """A deal with what tells whether it is the one that a lost answer was about (SPEC §3.5). `created` is in seconds of
    the server's clock, None where it does not say."""

    record: Record
    pipeline: str
    contact: str
    created: float | None


@dataclass(frozen=True, slots=True)
class Question:
    """Was this field of this record edited after `instant` (seconds of our own clock)?"""

    id: str
    index: int
    instant: float


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a pipeline."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline with its stages in order of position. `synced` is false where the configuration leaves it out."""

    id: str
    name: str
    stages: tuple[Stage, ...]
    synced: bool = True


@dataclass(frozen=True, slots=True)
class User:
    """A user who can own deals."""

    id: str
    name: str
    email: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names behind the CRM's ids."""

    pipelines: tuple[Pipeline, ...] = ()
    users: tuple[User, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: `kind` is "text", "number", "select" or "computed"; `precision` counts decimals of a
    number; `options` maps a select's option ids to their labels.
    """

    id: str
    name: str
    kind: str
    precision: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """What the table offers: `columns` maps a field's name (as in the configuration; "pipeline" beside "stage") to
    its column; `message` is whether there is a Sync column.
    """

    identity: str
    columns: Mapping[str, Column]
    message: bool
    missing: tuple[str, ...] = ()


class RecordSide(Protocol):
    """The verbs of a side. All may raise `SideDown` or `Misconfigured`; none raises for a single record.

    A write that raises was not sent, or was refused as a whole: nothing happened. What may have happened is `Lost`.
    """

    side: Side
    label: str  # as people know it: "HighLevel", "Airtable"
    write_batch: int  # records a call to `write` can hold

    @property
    def read_batch(self) -> int:
        """How many records a call to `read` costs one request for."""

    @property
    def clock_offset(self) -> float:
        """Seconds to add to a stamp of this side's server to get our own clock."""

    @property
    def calls(self) -> int:
        """Requests sent since it was made, retries counted."""

    def sweep(self, sieve: Sieve | None = None) -> Iterator[Record]:
        """Every record in scope. Ends normally only at the end marker; raises `SideDown` otherwise (SPEC §3.6). A side
        that has to keep all of them until then may leave those out that the sieve holds."""

    def changed(self, since: float) -> list[Record] | None:
        """Records that were made or edited after `since` (seconds of our own clock), in scope or not; some may be late
        or missing. None where this server cannot be asked so, or did not tell all: then only a sweep helps. Raises
        `SideDown`."""

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Each record by its id, as it is now. Every id has an entry.

        `needed` names the fields that must be told even where that takes another call (None: all).
        """

    def make_way(self) -> None:
        """Waits until a read and the write after it can go out without a wait between them; sends nothing."""

    def write(self, patches: Sequence[Patch]) -> list[WriteResult]:
        """Writes at most `write_batch` patches in one call; results in the order given. Raises `TryAgain` where it
        would have to wait."""

    def delete(self, id: str) -> WriteResult | Missing:
        """Deletes one record; ABSENT where it was gone already. Raises `TryAgain` likewise."""

    def edited(self, questions: Sequence[Question]) -> dict[Question, Stamp]:
        """When fields were edited. A question that could not be answered is left out."""

    def use(self, fields: Sequence[Field]) -> None:
        """From now on raw values stand in the order of these fields: those that both sides have."""


class CrmSide(RecordSide, Protocol):
    """The side whose ids name stages and users."""

    @property
    def identity(self) -> str:
        """The location's id."""

    def schema(self) -> Vocabulary:
        """Pipelines and users as they are now."""

    def contact_for(self, person: Person) -> str | Refused | Lost:
        """The id of the contact with this address, else with this number, else of a new one. One that is found is never
        changed, and asking again makes no second."""

    def create_deal(self, contact: str, values: Mapping[int, Raw]) -> WriteResult:
        """Makes a deal of raw values for a contact. Every call makes one more, unless it is `Refused`: with `existing`
        where the contact has one in that pipeline and the location allows no second. Raises `TryAgain` where it would
        have to wait."""

    def made_of(self, contact: str) -> list[MadeDeal]:
        """The newest deals of a contact, as search shows them: the last minute's may be missing."""

    def made_deal(self, id: str) -> MadeDeal | None:
        """One deal as it is now; None where it cannot be read."""


class TableSide(RecordSide, Protocol):
    """The side whose records carry keys and messages.

    `rows_have_ids` is false where a row has no identity but its key, as in a sheet: then a row's id is the key it
    carries, a row without one has an id for the time being, and a write that plants a key returns the row's new id.
    """

    rows_have_ids: bool

    def schema(self) -> TableSchema:
        """Columns and options as they are now; raises `Misconfigured` for a required one that is not there. The order
        of raw values stays as it is in use."""

    def find(self, partners: Sequence[str]) -> dict[str, list[Record]]:
        """Records that carry these partner ids, read now."""

    def put_back(self) -> None:
        """Gives records that a write has hit by mistake what they held, as far as that is owed and can be done now;
        before anything is read for a plan that is carried out."""

    def made_at(self, id: str) -> float | None:
        """When a record that was read was made, in seconds of our own clock; None where the side does not say."""

    def create(self, records: Sequence[NewRecord]) -> list[WriteResult]:
        """Makes at most `write_batch` records, keyed by their partner's id so that none is made twice. Raises
        `TryAgain` where it would have to wait: for records that come back, from what was read directly before."""

    def create_each(
        self, batches: Iterator[Sequence[NewRecord]]
    ) -> Generator[list[WriteResult] | SideDown, None, None]:
        """As `create`, for batch after batch of records that were never there, outcomes in the same order. It takes a
        batch only when it can be sent at once, and may wait then; several may be under way. After a batch for which
        the side is down no other is taken."""


__all__ = [
    "ABSENT",
    "Column",
    "CrmSide",
    "Later",
    "Lost",
    "MadeDeal",
    "Misconfigured",
    "NewRecord",
    "Patch",
    "Person",
    "Pipeline",
    "Question",
    "ReadResult",
    "RecordSide",
    "Refused",
    "SideDown",
    "Stage",
    "TableSchema",
    "TableSide",
    "Unread",
    "User",
    "Vocabulary",
    "WriteResult",
    "Written",
]
