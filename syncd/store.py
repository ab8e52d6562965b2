"""The state database: links with their shadow, intents, history, passes (SPEC §3.3). SQLite through sqlite-utils.

What is durable is built whole and written in one transaction. An intent is a row of `writes` in state "open"; the
same row, ended, is the history. sqlite-utils' own `with db.conn:` is no transaction (reference/stack.md §3), so
`Store.tx` says BEGIN.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlite_utils
from sqlite_utils import Migrations
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # pysqlite3 where it is installed

from syncd.fields import ROW
from syncd.folder import trouble
from syncd.guards import GuardKind, HeldSet, Member
from syncd.judge import Change
from syncd.marks import MarkFile, Marks
from syncd.model import NO_SHADOW, Agreed, Link, LinkState, Missing, PackedShadow, Raw, Shadow, Side, StoredLink, Value

FILE_NAME: Final = "syncd.db"
SCHEMA_VERSION: Final = 3
BUSY_TIMEOUT_MILLISECONDS: Final = 10_000
RESUMED_KEPT_SECONDS: Final = 2 * 3600.0
IDS_A_QUERY: Final = 500
WRITES_RECALLED: Final = 20_000  # of a week, when many cells of a sheet change at once
_write_lock = threading.RLock()  # one writer a process: SQLite would make the others wait far longer (stack.md §3)

migrations = Migrations("syncd")


@migrations()
def first_schema(db: sqlite_utils.Database) -> None:
    """Everything of version 1."""
    for statement in (
        "CREATE TABLE facts (pair TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (pair, key)) WITHOUT ROWID",
        """CREATE TABLE links (pair TEXT, deal TEXT, row_id TEXT NOT NULL, state TEXT NOT NULL, title TEXT NOT NULL,
           seen REAL, seen_at REAL NOT NULL, own TEXT NOT NULL, foreign_stamp REAL,
           crm_print BLOB NOT NULL, table_print BLOB NOT NULL, crm_raw TEXT NOT NULL, table_raw TEXT NOT NULL,
           agreed TEXT NOT NULL, PRIMARY KEY (pair, deal)) WITHOUT ROWID""",
        """CREATE TABLE writes (id INTEGER PRIMARY KEY, pair TEXT NOT NULL, pass_id INTEGER, at REAL NOT NULL,
           side TEXT NOT NULL, action TEXT NOT NULL, deal TEXT NOT NULL, row_id TEXT NOT NULL, title TEXT NOT NULL,
           changes TEXT NOT NULL, state TEXT NOT NULL, ended_at REAL, note TEXT NOT NULL, before TEXT NOT NULL)""",
        "CREATE INDEX writes_open ON writes (pair) WHERE state = 'open'",
        "CREATE INDEX writes_deal ON writes (pair, deal)",
        "CREATE TABLE messages (pair TEXT, row_id TEXT, text TEXT NOT NULL, PRIMARY KEY (pair, row_id)) WITHOUT ROWID",
        """CREATE TABLE refused (pair TEXT, deal TEXT, side TEXT, sentence TEXT NOT NULL, fingerprint TEXT NOT NULL,
           title TEXT NOT NULL, tries INTEGER NOT NULL, since REAL NOT NULL, next_try REAL NOT NULL,
           PRIMARY KEY (pair, deal, side)) WITHOUT ROWID""",
        """CREATE TABLE held (pair TEXT, digest TEXT, state TEXT NOT NULL, kind TEXT NOT NULL, side TEXT NOT NULL,
           field TEXT NOT NULL, members TEXT NOT NULL, sentence TEXT NOT NULL, since REAL NOT NULL,
           PRIMARY KEY (pair, digest)) WITHOUT ROWID""",
        """CREATE TABLE frozen (pair TEXT, deal TEXT, field TEXT, sentence TEXT NOT NULL, since REAL NOT NULL,
           PRIMARY KEY (pair, deal, field)) WITHOUT ROWID""",
        "CREATE TABLE absent (pair TEXT, key TEXT, at REAL NOT NULL, PRIMARY KEY (pair, key)) WITHOUT ROWID",
        """CREATE TABLE passes (id INTEGER PRIMARY KEY, pair TEXT NOT NULL, started REAL NOT NULL, ended REAL,
           report TEXT NOT NULL, error TEXT NOT NULL)""",
        "CREATE INDEX passes_pair ON passes (pair, id)",
        """CREATE TABLE calls (scope TEXT, period TEXT, used INTEGER NOT NULL, told_limit INTEGER, told_left INTEGER,
           PRIMARY KEY (scope, period)) WITHOUT ROWID""",
    ):
        db.execute(statement)


@migrations()
def sheets(db: sqlite_utils.Database) -> None:
    """Version 2: what the rows of a sheet held when it was read last, and when each cell changed."""
    db.execute(
        """CREATE TABLE sheet_rows (pair TEXT, row_id TEXT, place INTEGER NOT NULL, cells TEXT NOT NULL,
           windows TEXT NOT NULL, PRIMARY KEY (pair, row_id)) WITHOUT ROWID"""
    )


@migrations()
def rows_of_their_own(db: sqlite_utils.Database) -> None:
    """Version 3: links and rows of sheets as ordinary tables. WITHOUT ROWID gives each record of more than a quarter of
    a page an overflow page of its own: the file was three times as large, and a sweep's comparison slower."""
    for table in ("links", "sheet_rows"):
        [(made,)] = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchall()
        db.execute(f"ALTER TABLE {table} RENAME TO former")
        db.execute(made.removesuffix(" WITHOUT ROWID"))
        db.execute(f"INSERT INTO {table} SELECT * FROM former")  # noqa: S608
        db.execute("DROP TABLE former")


class StoreFailed(Exception):
    """The state database cannot be used; the pass must stop (SPEC §3.7). The text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One field of one write, as the history keeps it. `old` and `new` are canonical, `shown_*` for people; `sent` is
    what a cell holds if the write arrives, by the names of its time: stages may swap theirs before it is settled;
    `offset` turned the server's seconds into our own then: our clock may be set before it is settled."""

    field: str
    old: Value
    new: Value
    shown_old: str
    shown_new: str
    kind: str
    why: str
    target_raw: Raw = None
    source_raw: Raw = None
    target_clock: float | None = None
    sent: Raw = None
    offset: float | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """A write: an intent while `state` is "open", history afterwards.

    `state`: open, done, not_done (it never arrived), taken (nobody knows; taken as done, SPEC §3.3), refused.
    """

    id: int
    pass_id: int | None
    at: float
    side: Side
    action: str
    deal: str
    row: str
    title: str
    changes: tuple[ChangeLine, ...]
    state: str
    ended_at: float | None
    note: str
    before: str = "{}"


@dataclass(frozen=True, slots=True)
class RefusedWrite:
    """A record whose write was refused (quarantined), until it changes or its pause is over (SPEC §3.7)."""

    deal: str
    side: Side
    sentence: str
    fingerprint: str
    title: str
    tries: int
    since: float
    next_try: float


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A held set as the store keeps it. `state`: held, approved, refused; `digest` is the name under which a person saw
    it, which stays when members drop out."""

    digest: str
    state: str
    set: HeldSet
    since: float


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One pass as it ended, or as it stands (`ended` None)."""

    id: int
    started: float
    ended: float | None
    report: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class CallCount:
    """The calls to one scope (a location, a base) in one period, by all pairs of the state folder. `limit` and `left`
    are what the server said last, None where it says nothing."""

    used: int = 0
    limit: int | None = None
    left: int | None = None


def change_line(
    name: str,
    change: Change,
    show_old: str,
    show_new: str,
    clock: float | None = None,
    sent: Raw = None,
    offset: float | None = None,
) -> ChangeLine:
    """The history's line for a planned change; `clock` is when the target's field was last edited before it."""
    old = None if isinstance(change.old, Missing) else change.old
    return ChangeLine(
        name,
        old,
        change.new,
        show_old,
        show_new,
        change.kind.value,
        change.why,
        change.target_raw,
        change.source_raw,
        clock,
        sent,
        offset,
    )


class Store:
    """The database of one state folder, as one pair sees it. One object a thread; close it when done."""

    def __init__(self, folder: Path | None, pair: str, *, read_only: bool = False) -> None:
        """Opens the folder's database, made where it is lacking; without a folder an empty one in memory."""
        self.pair = pair
        self.path = folder / FILE_NAME if folder is not None else Path(":memory:")
        self.read_only = read_only
        self.marks: Marks | None = MarkFile(folder) if folder is not None else None
        try:
            self.connection = self._connect(folder) if folder is not None else sqlite3.connect(":memory:")
            self.db = sqlite_utils.Database(self.connection)
            self._check_version()
            if not read_only:
                self._migrate()
        except (sqlite3.Error, OSError) as error:
            raise StoreFailed(trouble(self.path.parent, error)) from error

    def _connect(self, folder: Path) -> Any:
        if self.read_only:
            # A reader must see the file's newest commits while the daemon writes, and must not create anything.
            address = f"{self.path.resolve().as_uri()}?mode=ro"
            connection = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_MILLISECONDS / 1000)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # deals are personal data
            connection = sqlite3.connect(str(self.path), timeout=BUSY_TIMEOUT_MILLISECONDS / 1000)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MILLISECONDS}")
        return connection

    def _check_version(self) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreFailed(f"{self.path} was written by a newer syncd. Install that version, or another state_dir.")

    def _migrate(self) -> None:
        with _write_lock:
            if migrations.pending(self.db):
                migrations.apply(self.db)
                self.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Closes the connection; the file stays complete without it."""
        self.connection.close()

    @contextmanager
    def tx(self) -> Iterator[None]:
        """One transaction: all of it is durable when the block ends, or nothing is. Raises `StoreFailed`."""
        with _write_lock:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self.connection.commit()
                except BaseException:
                    # After a failed commit too: a transaction left open would swallow all that follows.
                    if self.connection.in_transaction:
                        self.connection.rollback()
                    raise
            except sqlite3.Error as error:
                raise StoreFailed(
                    f"The state database {self.path} failed: {error}. Nothing more was written."
                ) from error

    @contextmanager
    def _unhurried(self) -> Iterator[None]:
        """Commits that need not reach the disk at once: a power cut may lose that a pass was there, nothing else."""
        self._rows("PRAGMA synchronous=NORMAL")
        try:
            yield
        finally:
            self._rows("PRAGMA synchronous=FULL")

    def _rows(self, sql: str, *values: object) -> list[Any]:
        try:
            return list(self.connection.execute(sql, values).fetchall())
        except sqlite3.Error as error:
            raise StoreFailed(f"The state database {self.path} failed: {error}.") from error

    # --- facts ---------------------------------------------------------------------------------------------------

    def fact(self, key: str) -> Any:
        """A small fact of the pair (None if there is none): column ids, names of options, the vocabulary."""
        found = self._rows("SELECT value FROM facts WHERE pair = ? AND key = ?", self.pair, key)
        return json.loads(found[0][0]) if found else None

    def set_fact(self, key: str, value: object) -> None:
        """Keeps a fact; writes only where it changed. Joins the open transaction."""
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        if self._rows("SELECT 1 FROM facts WHERE pair = ? AND key = ? AND value = ?", self.pair, key, text):
            return
        with self._joined():
            self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (self.pair, key, text))

    # --- links ---------------------------------------------------------------------------------------------------

    def links(self) -> dict[str, Link]:
        """Every link of the pair, by deal. There may be many: their shadows are read when they are asked for."""
        return {deal: self.unpack(mark) for deal, mark in self.stored_links().items()}

    def stored_links(self) -> dict[str, StoredLink]:
        """Every link of the pair, by deal, as the bare rows that a sweep is compared with."""
        try:
            rows = self.connection.execute(f"SELECT {_LINK} FROM links WHERE pair = ?", (self.pair,))  # noqa: S608
            return {row[0]: row for row in rows}
        except sqlite3.Error as error:
            raise StoreFailed(f"The state database {self.path} failed: {error}.") from error

    def unpack(self, stored: StoredLink) -> Link:
        """One of `stored_links` as a link; its shadow is read when it is asked for."""
        return _link(stored, _StoredShadow(self, stored[0], stored[8], stored[9]))

    def link(self, deal: str) -> Link | None:
        """One link."""
        rows = self._rows(
            f"SELECT {_LINK}, crm_raw, table_raw, agreed FROM links WHERE pair = ? AND deal = ?",  # noqa: S608
            self.pair,
            deal,
        )
        return _link(rows[0], PackedShadow(*rows[0][10:])) if rows else None

    def links_of(self, deals: Collection[str], rows: Collection[str]) -> dict[str, Link]:
        """The links of these deals and of these rows, by deal."""
        found = {}
        for column, ids in (("deal", sorted(deals)), ("row_id", sorted(rows))):
            for start in range(0, len(ids), IDS_A_QUERY):
                some = ids[start : start + IDS_A_QUERY]
                marks = ", ".join("?" * len(some))
                sql = f"SELECT {_LINK}, crm_raw, table_raw, agreed FROM links WHERE pair = ? AND {column} IN ({marks})"  # noqa: S608
                found.update({row[0]: _link(row, PackedShadow(*row[10:])) for row in self._rows(sql, self.pair, *some)})
        return found

    def shadow(self, deal: str) -> PackedShadow:
        """The shadow of one link; an empty one where there is no such link."""
        rows = self._rows("SELECT crm_raw, table_raw, agreed FROM links WHERE pair = ? AND deal = ?", self.pair, deal)
        return PackedShadow(*rows[0]) if rows else NO_SHADOW

    def count_links(self) -> int:
        """How many links the pair has."""
        return int(self._rows("SELECT COUNT(*) FROM links WHERE pair = ?", self.pair)[0][0])

    def put_links(self, links: Sequence[Link]) -> None:
        """Stores links as they are; joins the transaction that is open, if any."""
        with self._joined():
            self._many(
                "UPDATE links SET row_id = ?, state = ?, title = ?, seen = ?, seen_at = ?, own = ?, foreign_stamp = ? "
                "WHERE pair = ? AND deal = ?",
                [(*_columns(one), self.pair, one.deal) for one in links if isinstance(one.shadow, _StoredShadow)],
            )
            self._many(
                "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (self.pair, one.deal, *_columns(one), shadow.crm_print, shadow.table_print,
                     shadow.crm_raw, shadow.table_raw, shadow.values)
                    for one in links
                    if isinstance(shadow := one.shadow, PackedShadow)
                ],
            )  # fmt: skip

    def forget(self, deals: Sequence[str]) -> None:
        """Forgets links whose both records are gone."""
        self._many("DELETE FROM links WHERE pair = ? AND deal = ?", [(self.pair, deal) for deal in deals])

    @contextmanager
    def _joined(self) -> Iterator[None]:
        """The transaction that is open, or one of its own."""
        if self.connection.in_transaction:
            yield
        else:
            with self.tx():
                yield

    def _many(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            with self._joined():
                self.connection.executemany(sql, rows)

    # --- writes: intents and history -----------------------------------------------------------------------------

    def intend(
        self,
        pass_id: int | None,
        at: float,
        side: Side,
        action: str,
        deal: str,
        row: str,
        title: str,
        changes: Sequence[ChangeLine],
        before: str = "{}",
    ) -> int:
        """Stores an intent before a write (SPEC §3.3) and returns its id. Call inside `tx` for several at once.

        `before` is everything that the target held (`model.pack`), for settling a lost answer.
        """
        cursor = self.connection.execute(
            "INSERT INTO writes "
            "(pair, pass_id, at, side, action, deal, row_id, title, changes, state, ended_at, note, before) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', NULL, '', ?)",
            (
                self.pair,
                pass_id,
                at,
                side.value,
                action,
                deal,
                row,
                title,
                json.dumps([asdict(change) for change in changes], ensure_ascii=False),
                before,
            ),
        )
        return int(cursor.lastrowid or 0)

    def end(
        self, write_id: int, at: float, state: str, *, row: str | None = None, deal: str | None = None, note: str = ""
    ) -> None:
        """Ends an intent. Call inside the `tx` that moves the shadow. `row` and `deal` are ids that were made."""
        self.connection.execute(
            "UPDATE writes SET state = ?, ended_at = ?, note = ?, row_id = COALESCE(?, row_id), "
            "deal = COALESCE(?, deal), before = '{}' WHERE id = ? AND pair = ?",
            (state, at, note, row, deal, write_id, self.pair),
        )

    def withdraw(self, write_id: int) -> None:
        """Takes back an intent of which it is certain that nothing was sent; it is no history."""
        self._many("DELETE FROM writes WHERE id = ? AND pair = ? AND state = 'open'", [(write_id, self.pair)])

    def put_before(self, write_id: int, before: str) -> None:
        """Replaces what an intent keeps for settling a lost answer, e.g. once a new deal's contact is known. Its end
        forgets it; what may be needed after it is put back."""
        self._many("UPDATE writes SET before = ? WHERE id = ? AND pair = ?", [(before, write_id, self.pair)])

    def lost_deals(self, row: str, note: str) -> list[Write]:
        """Intents of deals for this row that ended with this note, oldest first."""
        return self._writes(
            "pair = ? AND deal = '' AND side = 'crm' AND action = 'create' AND row_id = ? AND note = ? ORDER BY id",
            self.pair,
            row,
            note,
        )

    def open_writes(self) -> list[Write]:
        """Intents without an end: their answers were lost, or the program was killed."""
        return self._writes("pair = ? AND state = 'open' ORDER BY id", self.pair)

    def written_in(self, pass_id: int) -> set[tuple[Side, str]]:
        """(side, id) of what this pass wrote there and is known to have arrived, by the deal's id and by the row's."""
        sql = "SELECT side, deal, row_id FROM writes WHERE pair = ? AND pass_id = ? AND state IN ('done', 'taken')"
        return {(Side(side), id) for side, *ids in self._rows(sql, self.pair, pass_id) for id in ids if id}

    def undone_in(self, pass_id: int) -> set[tuple[Side, str]]:
        """(side, deal, or row of a deal to be) of what this pass was to write there, which is known not to have
        arrived, though nobody refused it, and was not made again."""
        sql = "SELECT side, deal, row_id, action, state FROM writes WHERE pair = ? AND pass_id = ? ORDER BY id"
        rows = self._rows(sql, self.pair, pass_id)
        last = {(Side(side), deal or row, action): state for side, deal, row, action, state in rows}
        return {(side, id) for (side, id, _), state in last.items() if state == "not_done"}

    def history(self, *, deal: str | None = None, limit: int = 100) -> list[Write]:
        """The newest writes first; `deal` is a deal's or a row's id, or a part of a name that it has or had."""
        if deal is None:
            return self._writes("pair = ? ORDER BY id DESC LIMIT ?", self.pair, limit)
        like = "%" + deal.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        named = "SELECT deal FROM {} WHERE pair = ? AND deal != '' AND title LIKE ? ESCAPE '\\'"
        return self._writes(
            "pair = ? AND (deal = ? OR row_id = ? OR title LIKE ? ESCAPE '\\' "
            f"OR deal IN ({named.format('links')}) OR deal IN ({named.format('writes')})) ORDER BY id DESC LIMIT ?",
            self.pair, deal, deal, like, self.pair, like, self.pair, like, limit,
        )  # fmt: skip

    def _writes(self, where: str, *values: object) -> list[Write]:
        columns = "id, pass_id, at, side, action, deal, row_id, title, changes, state, ended_at, note, before"
        rows = self._rows(f"SELECT {columns} FROM writes WHERE {where}", *values)  # noqa: S608  (constants only)
        return [_write(row) for row in rows]

    # --- messages, refused records, unknown keys -----------------------------------------------------------------

    def messages(self) -> dict[str, str]:
        """The last text written to each row's Sync cell."""
        return dict(self._rows("SELECT row_id, text FROM messages WHERE pair = ?", self.pair))

    def put_messages(self, messages: Mapping[str, str]) -> None:
        """Remembers what was written to Sync cells."""
        rows = [(self.pair, row, text) for row, text in messages.items()]
        self._many("INSERT OR REPLACE INTO messages VALUES (?, ?, ?)", rows)

    def forget_message(self, row: str) -> None:
        """Nobody knows what stands in this row's Sync cell."""
        self._many("DELETE FROM messages WHERE pair = ? AND row_id = ?", [(self.pair, row)])

    def refused(self) -> list[RefusedWrite]:
        """Records whose write was refused."""
        rows = self._rows(
            "SELECT deal, side, sentence, fingerprint, title, tries, since, next_try FROM refused WHERE pair = ?",
            self.pair,
        )
        return [RefusedWrite(row[0], Side(row[1]), *row[2:]) for row in rows]

    def count_refused(self, side: Side, note: str) -> int:
        """How many writes to a side were refused with exactly this sentence."""
        sql = "SELECT COUNT(*) FROM writes WHERE pair = ? AND side = ? AND state = 'refused' AND note = ?"
        return int(self._rows(sql, self.pair, side.value, note)[0][0])

    def put_refused(self, refused: RefusedWrite) -> None:
        """Keeps a refusal; joins the open transaction."""
        values = (
            self.pair,
            refused.deal,
            refused.side.value,
            refused.sentence,
            refused.fingerprint,
            refused.title,
            refused.tries,
            refused.since,
            refused.next_try,
        )
        self._many("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [values])

    def clear_refused(self, keys: Sequence[tuple[str, Side]]) -> None:
        """Forgets refusals that no longer hold."""
        self._many(
            "DELETE FROM refused WHERE pair = ? AND deal = ? AND side = ?",
            [(self.pair, deal, side.value) for deal, side in keys],
        )

    def absent_keys(self, newer_than: float) -> frozenset[str]:
        """Keys that the CRM lately said it does not have."""
        return frozenset(
            row[0] for row in self._rows("SELECT key FROM absent WHERE pair = ? AND at > ?", self.pair, newer_than)
        )

    def put_absent(self, keys: Sequence[str], at: float) -> None:
        """Remembers ids of deals that the CRM does not have, or has no more."""
        self._many("INSERT OR REPLACE INTO absent VALUES (?, ?, ?)", [(self.pair, key, at) for key in keys])

    def overwritten(self, since: float) -> list[tuple[str, str, Value, float]]:
        """(deal, field, value, when) of what writes of values replaced since then, on either side."""
        writes = self._writes(
            "pair = ? AND at > ? AND action = 'update' AND state IN ('done', 'taken') ORDER BY id DESC LIMIT ?",
            self.pair, since, WRITES_RECALLED,
        )  # fmt: skip
        return [
            (write.deal, line.field, line.old, write.at)
            for write in writes
            for line in write.changes
            if line.kind in ("edit", "conflict")
        ]

    # --- what waits for a person ---------------------------------------------------------------------------------

    def held(self) -> list[HeldRecord]:
        """Sets of writes that wait for a person, or that one has approved or refused."""
        rows = self._rows(
            "SELECT digest, state, kind, side, field, members, sentence, since FROM held WHERE pair = ? "
            "ORDER BY since, digest",
            self.pair,
        )
        return [_held(row) for row in rows]

    def keep_held(self, held: Sequence[HeldSet], answered: Sequence[HeldRecord], at: float) -> None:
        """What waits now takes the place of what waited before. `answered` are the approvals and what is left of each,
        and what was refused; one of which nothing is left has served. Joins the open transaction."""
        before = {record.digest: record for record in self.held()}
        rows = [
            (one, record.state, record.digest, record.since)
            for record in answered
            if (one := record.set).members
        ]  # fmt: skip
        settled = {digest for _, _, digest, _ in rows}
        for one in held:
            since = before[one.digest].since if one.digest in before else at
            rows += [(one, "held", one.digest, since)] if one.digest not in settled else []
        if not rows and not before:
            return
        with self._joined():
            self._many("DELETE FROM held WHERE pair = ?", [(self.pair,)])
            self._many(
                "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (self.pair, digest, state, one.kind.value, one.side.value, one.field,
                     json.dumps([[m.record, m.old, m.new, m.title, m.shown] for m in one.members], ensure_ascii=False),
                     one.sentence, since)
                    for one, state, digest, since in rows
                ],
            )  # fmt: skip

    def answer_held(self, digest: str, state: str) -> bool:
        """A person says "approved" or "refused"; False where no such set waits any more."""
        with self.tx():
            cursor = self.connection.execute(
                "UPDATE held SET state = ? WHERE pair = ? AND digest = ? AND state = 'held'",
                (state, self.pair, digest),
            )
        return bool(cursor.rowcount)

    def frozen(self) -> dict[tuple[str, str], str]:
        """(deal, field) -> sentence, for what an automation sets back and forth."""
        rows = self._rows("SELECT deal, field, sentence FROM frozen WHERE pair = ?", self.pair)
        return {(row[0], row[1]): row[2] for row in rows}

    def put_frozen(self, frozen: Mapping[tuple[str, str], str], at: float) -> None:
        """Freezes fields of deals; joins the open transaction."""
        rows = [(self.pair, deal, name, sentence, at) for (deal, name), sentence in frozen.items()]
        self._many("INSERT OR REPLACE INTO frozen VALUES (?, ?, ?, ?, ?)", rows)

    def resume(self, deal: str, at: float) -> int:
        """Lets a deal that was frozen or refused go on; returns how many things waited. What was written before `at`
        no longer counts as setting back and forth."""
        with self.tx():
            waited = 0
            for table in ("frozen", "refused"):
                sql = f"DELETE FROM {table} WHERE pair = ? AND deal = ?"  # noqa: S608  (constants only)
                waited += self.connection.execute(sql, (self.pair, deal)).rowcount
            resumed = {k: v for k, v in (self.fact("resumed") or {}).items() if v > at - RESUMED_KEPT_SECONDS}
            facts: dict[str, object] = {"resumed": {**resumed, deal: at}}
            if waited:
                facts["labels"] = {}  # its cells may show old names: while it waited they got no new ones
            for key, fact in facts.items():
                values = (self.pair, key, json.dumps(fact, sort_keys=True))
                self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", values)
        return waited

    def written_values(self, deals: Collection[str], since: float) -> dict[tuple[str, str], list[Value]]:
        """(deal, field) -> the values that syncd wrote since then, oldest first; names that changed are no values. For
        each row that was made, the field `ROW` has the deal's id."""
        resumed: Mapping[str, float] = self.fact("resumed") or {}
        found: dict[tuple[str, str], list[Value]] = {}
        for deal in deals:
            newer_than = max(since, resumed.get(deal, since))
            for write in self._writes(
                "pair = ? AND deal = ? AND at > ? AND action IN ('update', 'create') AND state IN ('done', 'taken') "
                "ORDER BY id",
                self.pair, deal, newer_than,
            ):  # fmt: skip
                if write.action == "create":
                    found.setdefault((deal, ROW), []).append(deal)
                    continue
                for line in write.changes:
                    if line.kind != "rename":
                        found.setdefault((deal, line.field), []).append(line.new)
        return found

    def start_anew(self, note: str, at: float) -> int:
        """Forgets every link and what was remembered of records, so that links are made again by their ids and the
        first-run rule decides (SPEC §4). The history stays. Returns how many links there were."""
        links = self.count_links()
        with self.tx():
            for table in ("links", "messages", "refused", "absent", "held", "sheet_rows"):
                self.connection.execute(f"DELETE FROM {table} WHERE pair = ?", (self.pair,))  # noqa: S608
            self.connection.execute(
                "DELETE FROM facts WHERE pair = ? AND key IN ('unread', 'labels', 'unlisted', "
                "'sheet_read_at', 'sheet_strays')",
                (self.pair,),
            )
            self.connection.execute(
                "UPDATE writes SET state = 'taken', ended_at = ?, note = ?, before = '{}' "
                "WHERE pair = ? AND state = 'open'",
                (at, note, self.pair),
            )
        return links

    # --- a pair that was renamed ---------------------------------------------------------------------------------

    def named(self, pair: str) -> Store:
        """The same database as another pair sees it, over the same connection."""
        other = copy(self)
        other.pair = pair
        return other

    def pairs_with(self, key: str, value: object) -> list[str]:
        """Other pairs of this database for which a fact has this value."""
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
        sql = "SELECT pair FROM facts WHERE key = ? AND value = ? AND pair <> ? ORDER BY pair"
        return [row[0] for row in self._rows(sql, key, text, self.pair)]

    def of_others(self, key: str) -> dict[str, Any]:
        """A fact of every other pair of this database, by pair."""
        sql = "SELECT pair, value FROM facts WHERE key = ? AND pair <> ? ORDER BY pair"
        return {row[0]: json.loads(row[1]) for row in self._rows(sql, key, self.pair)}

    def take_over(self, former: str) -> None:
        """This pair goes on where the pair called `former` ended: it is the same one under another name."""
        with self.tx():
            self.connection.execute("DELETE FROM facts WHERE pair = ?", (self.pair,))
            for table in (
                "facts", "links", "writes", "messages", "refused", "held", "frozen", "absent", "passes", "sheet_rows"
            ):  # fmt: skip
                sql = f"UPDATE {table} SET pair = ? WHERE pair = ?"  # noqa: S608  (constants only)
                self.connection.execute(sql, (self.pair, former))

    # --- sheets: what was seen when they were read last (tables/sheet_memory.py) -----------------------------------

    def sheet_rows(self) -> dict[str, tuple[int, str, str]]:
        """(place, cells, windows) of each row, as they were stored."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'sheet_rows'"):
            return {}  # a reader of a database that an older version wrote
        rows = self._rows("SELECT row_id, place, cells, windows FROM sheet_rows WHERE pair = ?", self.pair)
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    def put_sheet_rows(self, rows: Mapping[str, tuple[int, str, str]], gone: Collection[str], at: float) -> None:
        """Keeps rows that changed, forgets those that are gone, and notes when the whole sheet was read. A store that
        is only read keeps nothing."""
        if self.read_only:
            return
        with self._joined():
            self._many("DELETE FROM sheet_rows WHERE pair = ? AND row_id = ?", [(self.pair, id) for id in gone])
            self._many(
                "INSERT OR REPLACE INTO sheet_rows VALUES (?, ?, ?, ?, ?)",
                [(self.pair, id, *row) for id, row in rows.items()],
            )
            self.set_fact("sheet_read_at", at)

    def put_number_styles(self, styles: Mapping[str, str]) -> None:
        """Keeps how the columns of a text file write their numbers. A store that is only read keeps nothing."""
        if not self.read_only:
            self.set_fact("number_styles", dict(styles))

    def put_sheet_strays(self, strays: Mapping[str, object]) -> None:
        """Keeps which cells our own writes may have put into other rows than those they meant (tables/strays.py)."""
        if not self.read_only and (strays.get("sent") or strays.get("owed") or self.fact("sheet_strays")):
            self.set_fact("sheet_strays", dict(strays))

    # --- passes --------------------------------------------------------------------------------------------------

    def begin_pass(self, at: float) -> int:
        """Notes that a pass began and returns its number."""
        with self._unhurried(), self.tx():
            cursor = self.connection.execute(
                "INSERT INTO passes (pair, started, ended, report, error) VALUES (?, ?, NULL, '{}', '')",
                (self.pair, at),
            )
        return int(cursor.lastrowid or 0)

    def end_pass(self, pass_id: int, at: float, report: Mapping[str, Any], error: str) -> None:
        """Notes how a pass ended; old passes beyond the last 1,000 are forgotten."""
        with self._unhurried(), self.tx():
            self.connection.execute(
                "UPDATE passes SET ended = ?, report = ?, error = ? WHERE id = ?",
                (at, json.dumps(report, ensure_ascii=False), error, pass_id),
            )
            self.connection.execute("DELETE FROM passes WHERE pair = ? AND id < ?", (self.pair, pass_id - 1000))

    def last_passes(self, limit: int = 20) -> list[PassRecord]:
        """The newest passes first."""
        rows = self._rows(
            "SELECT id, started, ended, report, error FROM passes WHERE pair = ? ORDER BY id DESC LIMIT ?",
            self.pair,
            limit,
        )
        return [PassRecord(row[0], row[1], row[2], json.loads(row[3]), row[4]) for row in rows]

    def last_success(self) -> PassRecord | None:
        """The newest pass that ended without an error."""
        rows = self._rows(
            "SELECT id, started, ended, report, error FROM passes WHERE pair = ? AND ended IS NOT NULL AND error = '' "
            "ORDER BY id DESC LIMIT 1",
            self.pair,
        )
        return PassRecord(rows[0][0], rows[0][1], rows[0][2], json.loads(rows[0][3]), rows[0][4]) if rows else None

    # --- calls, counted for all pairs together --------------------------------------------------------------------

    def add_calls(self, scope: str, period: str, used: int, told: tuple[int, int] | None = None) -> None:
        """Adds calls to a scope's period; `told` is (limit, left) as the server said last. Older periods are forgotten.

        The addition is the database's own, so that pairs and processes do not overwrite each other's.
        """
        limit, left = told or (None, None)
        with self._unhurried(), self.tx():
            self.connection.execute(
                "INSERT INTO calls VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, period) DO UPDATE SET used = used + "
                "excluded.used, told_limit = coalesce(excluded.told_limit, told_limit), "
                "told_left = coalesce(excluded.told_left, told_left)",
                (scope, period, used, limit, left),
            )
            self.connection.execute("DELETE FROM calls WHERE scope = ? AND period < ?", (scope, period))

    def calls(self, scope: str, period: str) -> CallCount:
        """The calls to a scope in a period."""
        rows = self._rows("SELECT used, told_limit, told_left FROM calls WHERE scope = ? AND period = ?", scope, period)
        return CallCount(*rows[0]) if rows else CallCount()

    def pass_calls(self, pair: str, limit: int = 5) -> list[Mapping[str, int]]:
        """What the newest completed passes of any pair cost, by the name of the side."""
        rows = self._rows(
            "SELECT report FROM passes WHERE pair = ? AND ended IS NOT NULL AND error = '' ORDER BY id DESC LIMIT ?",
            pair,
            limit,
        )
        return [json.loads(row[0]).get("calls", {}) for row in rows]

    def full_calls(self, pair: str) -> Mapping[str, int]:
        """What the newest full pass of any pair cost, but for the one that filled the table; empty before there was
        another one."""
        rows = self._rows(
            "SELECT report FROM passes WHERE pair = ? AND ended IS NOT NULL AND error = '' AND "
            "id > (SELECT min(id) FROM passes WHERE pair = ?) AND json_extract(report, '$.full') = 1 "
            "ORDER BY id DESC LIMIT 1",
            pair,
            pair,
        )
        found: Mapping[str, int] = json.loads(rows[0][0]).get("calls", {}) if rows else {}
        return found


_STATES: Final = {state.value: state for state in LinkState}  # five times as fast as calling the enum


_LINK: Final = "deal, row_id, state, title, seen, seen_at, own, foreign_stamp, crm_print, table_print"


@dataclass(frozen=True, slots=True)
class _StoredShadow:
    """A shadow that is left in the database until somebody looks at it: nearly all stay there in nearly all passes."""

    store: Store = field(repr=False, compare=False)
    deal: str
    crm_print: bytes
    table_print: bytes

    @property
    def crm_raw(self) -> str:
        """See `model.Shadow`. Raises `StoreFailed`."""
        return self.store.shadow(self.deal).crm_raw

    @property
    def table_raw(self) -> str:
        """See `model.Shadow`. Raises `StoreFailed`."""
        return self.store.shadow(self.deal).table_raw

    def agreed(self) -> dict[str, Agreed]:
        """See `model.Shadow`. Raises `StoreFailed`."""
        return self.store.shadow(self.deal).agreed()


def _link(row: Sequence[Any], shadow: Shadow) -> Link:
    deal, row_id, state, title, seen, seen_at, own, foreign = row[:8]
    stamps = tuple(json.loads(own)) if own != "[]" else ()
    return Link(deal, row_id, _STATES[state], title, seen, seen_at, stamps, foreign, shadow)


def _columns(link: Link) -> tuple[object, ...]:
    own = json.dumps(link.own)
    return link.row, link.state.value, link.title, link.seen, link.seen_at, own, link.foreign


def _held(row: Sequence[Any]) -> HeldRecord:
    digest, state, kind, side, name, members, sentence, since = row
    made = tuple(Member(*member) for member in json.loads(members))
    return HeldRecord(digest, state, HeldSet(GuardKind(kind), Side(side), name, made, sentence), since)


def _write(row: Sequence[Any]) -> Write:
    changes = tuple(ChangeLine(**change) for change in json.loads(row[8]))
    id, pass_id, at, side, action, deal, row_id, title, _, state, ended_at, note, before = row
    return Write(id, pass_id, at, Side(side), action, deal, row_id, title, changes, state, ended_at, note, before)
