"""The state database: links with their shadow, intents, history, passes (SPEC §3.3). SQLite through sqlite-utils.

What is durable is built whole and written in one transaction. An intent is a row of `writes` in state "open"; the
same row, ended, is the history. sqlite-utils' own `with db.conn:` is no transaction (reference/stack.md §3), so
`Store.tx` says BEGIN.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlite_utils
from sqlite_utils import Migrations
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]  # pysqlite3 where it is installed

from syncd.judge import Change
from syncd.model import NO_SHADOW, Agreed, Link, LinkState, Missing, PackedShadow, Raw, Shadow, Side, Value

FILE_NAME: Final = "syncd.db"
SCHEMA_VERSION: Final = 1
BUSY_TIMEOUT_MILLISECONDS: Final = 10_000
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
        "CREATE TABLE absent (pair TEXT, key TEXT, at REAL NOT NULL, PRIMARY KEY (pair, key)) WITHOUT ROWID",
        """CREATE TABLE passes (id INTEGER PRIMARY KEY, pair TEXT NOT NULL, started REAL NOT NULL, ended REAL,
           report TEXT NOT NULL, error TEXT NOT NULL)""",
        "CREATE INDEX passes_pair ON passes (pair, id)",
    ):
        db.execute(statement)


class StoreFailed(Exception):
    """The state database cannot be used; the pass must stop (SPEC §3.7). The text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """One field of one write, as the history keeps it. `old` and `new` are canonical, `shown_*` for people."""

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
class PassRecord:
    """One pass as it ended, or as it stands (`ended` None)."""

    id: int
    started: float
    ended: float | None
    report: Mapping[str, Any]
    error: str


def change_line(name: str, change: Change, show_old: str, show_new: str, clock: float | None = None) -> ChangeLine:
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
    )


class Store:
    """The database of one state folder, as one pair sees it. One object a thread; close it when done."""

    def __init__(self, folder: Path | None, pair: str, *, read_only: bool = False) -> None:
        """Opens the folder's database, made where it is lacking; without a folder an empty one in memory."""
        self.pair = pair
        self.path = folder / FILE_NAME if folder is not None else Path(":memory:")
        self.read_only = read_only
        try:
            self.connection = self._connect(folder) if folder is not None else sqlite3.connect(":memory:")
            self.db = sqlite_utils.Database(self.connection)
            self._check_version()
            if not read_only:
                self._migrate()
        except (sqlite3.Error, OSError) as error:
            raise StoreFailed(f"The state database {self.path} cannot be opened: {error}.") from error

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
        """Keeps a fact; writes only where it changed."""
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        if self._rows("SELECT 1 FROM facts WHERE pair = ? AND key = ? AND value = ?", self.pair, key, text):
            return
        with self.tx():
            self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (self.pair, key, text))

    # --- links ---------------------------------------------------------------------------------------------------

    def links(self) -> dict[str, Link]:
        """Every link of the pair, by deal. There may be many: their shadows are read when they are asked for."""
        try:
            rows = self.connection.execute(f"SELECT {_LINK} FROM links WHERE pair = ?", (self.pair,))  # noqa: S608
            return {row[0]: _link(row, _StoredShadow(self, row[0], row[8], row[9])) for row in rows}
        except sqlite3.Error as error:
            raise StoreFailed(f"The state database {self.path} failed: {error}.") from error

    def link(self, deal: str) -> Link | None:
        """One link."""
        rows = self._rows(
            f"SELECT {_LINK}, crm_raw, table_raw, agreed FROM links WHERE pair = ? AND deal = ?",  # noqa: S608
            self.pair,
            deal,
        )
        return _link(rows[0], PackedShadow(*rows[0][10:])) if rows else None

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

    def end(self, write_id: int, at: float, state: str, *, row: str | None = None, note: str = "") -> None:
        """Ends an intent. Call inside the `tx` that moves the shadow."""
        self.connection.execute(
            "UPDATE writes SET state = ?, ended_at = ?, note = ?, row_id = COALESCE(?, row_id), before = '{}' "
            "WHERE id = ? AND pair = ?",
            (state, at, note, row, write_id, self.pair),
        )

    def open_writes(self) -> list[Write]:
        """Intents without an end: their answers were lost, or the program was killed."""
        return self._writes("pair = ? AND state = 'open' ORDER BY id", self.pair)

    def history(self, *, deal: str | None = None, limit: int = 100) -> list[Write]:
        """The newest writes first; `deal` is an id or a part of a name."""
        if deal is None:
            return self._writes("pair = ? ORDER BY id DESC LIMIT ?", self.pair, limit)
        like = "%" + deal.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        return self._writes(
            "pair = ? AND (deal = ? OR title LIKE ? ESCAPE '\\') ORDER BY id DESC LIMIT ?", self.pair, deal, like, limit
        )

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
        """Remembers keys that name no deal."""
        self._many("INSERT OR REPLACE INTO absent VALUES (?, ?, ?)", [(self.pair, key, at) for key in keys])

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


_STATES: Final = {state.value: state for state in LinkState}  # five times as fast as calling the enum


_LINK: Final = "deal, row_id, state, title, seen, seen_at, own, foreign_stamp, crm_print, table_print"


@dataclass(frozen=True, slots=True)
class _StoredShadow:
    """A shadow that is left in the database until somebody looks at it: nearly all stay there in nearly all passes."""

    store: Store = field(repr=False, compare=False)
    deal: str
    crm_print: bytes
    table_print: bytes

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


def _write(row: Sequence[Any]) -> Write:
    changes = tuple(ChangeLine(**change) for change in json.loads(row[8]))
    id, pass_id, at, side, action, deal, row_id, title, _, state, ended_at, note, before = row
    return Write(id, pass_id, at, Side(side), action, deal, row_id, title, changes, state, ended_at, note, before)
