"""The real store on an SQLite database in memory that outlives its `Store` object, as a file outlives a killed process.

What was committed survives a crash, what was not is rolled back; a copy can be taken and put back. The file itself,
its journal and `kill -9` are tested in tests/end_to_end/test_crash.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

from syncd.model import Link, Side
from syncd.store import SCHEMA_VERSION, ChangeLine, Store
from tests.memory import Step

_template: Any = None


def fresh_database() -> Any:
    """An empty database with the schema. Migrating costs more than a whole pass, so it is done once a process."""
    global _template
    if _template is None:
        _template = Store(None, "template").connection
        assert _template.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    return copy_of(_template)


def copy_of(connection: Any) -> Any:
    """Another database with the same content."""
    other = sqlite3.connect(":memory:")
    connection.backup(other)
    return other


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent as the engine stored it."""

    id: int
    side: Side
    action: str
    deal: str
    row: str
    lines: tuple[ChangeLine, ...]


class SimMarks:
    """The second file of the state folder. It outlives the process, and nobody copies it with the database."""

    def __init__(self, step: Step) -> None:
        self.step, self.kept = step, dict[str, str]()

    def read(self, pair: str) -> str | None:
        """See `syncd.marks.Marks`."""
        return self.kept.get(pair)

    def write(self, pair: str, mark: str) -> None:
        """Likewise; a step of the world."""
        self.step("store", "mark", "before", None)
        self.kept[pair] = mark
        self.step("store", "mark", "after", None)


class SimStore(Store):
    """A store whose commits are steps of the world, and which remembers what a transaction touched."""

    def __init__(self, connection: Any, step: Step, marks: SimMarks) -> None:
        self.given, self.step = connection, step
        self.touched: set[str] = set()
        self.anew = False  # every link was forgotten
        self.intents: list[Intent] = []
        super().__init__(Path("memory"), "test")
        self.marks = marks

    def _connect(self, folder: Path) -> Any:
        return self.given

    def _migrate(self) -> None:
        """The template has the schema."""

    def close(self) -> None:
        """The process ends: what was not committed is gone."""
        if self.given.in_transaction:
            self.given.rollback()

    @contextmanager
    def tx(self) -> Iterator[None]:
        """As in the store, with a step on both sides of the commit."""
        with super().tx():
            yield
            self.step("store", "commit", "before", None)
        self.step("store", "commit", "after", None)

    def put_links(self, links: Sequence[Link]) -> None:
        """As in the store."""
        self.touched.update(link.deal for link in links)
        super().put_links(links)

    def forget(self, deals: Sequence[str]) -> None:
        """As in the store."""
        self.touched.update(deals)
        super().forget(deals)

    def start_anew(self, note: str, at: float) -> int:
        """As in the store."""
        self.anew = True
        return super().start_anew(note, at)

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
        """As in the store."""
        write_id = super().intend(pass_id, at, side, action, deal, row, title, changes, before)
        self.intents.append(Intent(write_id, side, action, deal, row, tuple(changes)))
        return write_id
