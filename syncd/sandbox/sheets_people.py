"""People at a local Google sheet: typing, sorting, inserting, deleting, copying rows; and how tests look at it.

Rows count from 0 below the header, columns are named by their header. Nothing that people do tells the API which row
went where.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from .control import not_found
from .sheets_book import Book
from .sheets_grid import NOTHING, Cell, Scalar, Tab, moved
from .sheets_text import rendered, typed
from .wire import Answer

COLUMNS: Final = (
    "Name", "Pipeline", "Stage", "Status", "Value", "Owner", "Contact", "Email", "Phone", "Company", "Source",
    "GHL ID", "Sync",
)  # fmt: skip
STATUSES: Final = ("open", "won", "lost", "abandoned")
_MADE: Final = 1_900_000_001  # the id of the first tab that a person makes


def list_rule(choices: Sequence[str]) -> dict[str, Any]:
    """A drop-down list."""
    values = [{"userEnteredValue": one} for one in choices]
    return {"condition": {"type": "ONE_OF_LIST", "values": values}, "showCustomUi": True}


class People:
    """Spreadsheets as people use them; thread-safe. KeyError for what is not there."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.books: dict[str, Book] = {}

    # --- laying out ---------------------------------------------------------------------------------------------------

    def add_book(self, book_id: str, title: str = "Sandbox", **roles: str) -> Book:
        """A spreadsheet with one empty sheet, "Sheet1"."""
        with self.lock:
            book = Book(book_id, title, self.clock, [Tab(0, "Sheet1")], dict(roles))
            book.history.append((self.clock(), book.version))
            self.books[book_id] = book
            return book

    def add_tab(self, book_id: str, title: str, header: Sequence[str], *, rows: int = 1000, columns: int = 26) -> Tab:
        """A sheet with a frozen header row."""
        with self.lock:
            book = self.books[book_id]
            with book.change():
                made = Tab(_MADE + len(book.tabs), title, columns, [{} for _ in range(rows)], frozen_rows=1)
                made.rows[0] = {at: Cell(name) for at, name in enumerate(header) if name}
                book.tabs.append(made)
            return made

    def deals_tab(
        self,
        book_id: str,
        title: str = "Deals",
        *,
        stages: Sequence[str] = ("New Lead", "Contacted", "Proposal Sent", "Closed"),
        pipelines: Sequence[str] = ("Sales",),
        include: Collection[str] = COLUMNS,
        rows: int = 1000,
    ) -> Tab:
        """A sheet with the default columns of CONTRACT.md, drop-down lists, and a hidden key column."""
        names = [name for name in COLUMNS if name in include]
        tab = self.add_tab(book_id, title, names, rows=rows)
        for name, choices in {"Pipeline": pipelines, "Stage": stages, "Status": STATUSES}.items():
            if name in names:
                self.set_list(book_id, title, name, choices)
        tab.hidden_columns.add(names.index("GHL ID"))
        return tab

    def set_list(self, book_id: str, title: str, column: str, choices: Sequence[str]) -> None:
        """A drop-down list for all cells of a column below the header."""
        with self._changed(book_id, title) as tab:
            at = self._column(tab, column)
            for row in range(1, tab.row_count):
                cell = tab.cell(row, at)
                tab.put(row, at, Cell(cell.value, cell.formula, cell.format, list_rule(choices)))

    # --- rows ---------------------------------------------------------------------------------------------------------

    def person_edit(self, book_id: str, title: str, row: int, cells: Mapping[str, Scalar]) -> None:
        """A person types into cells of a row: texts are parsed as the sheet does ("=B2*2", "1/2/2026"); None clears."""
        with self._changed(book_id, title) as tab:
            self._grow(tab, row + 2)
            for name, value in cells.items():
                at = self._column(tab, name)
                cell = tab.cell(row + 1, at)
                tab.put(row + 1, at, typed(cell, value) if isinstance(value, str) else cell.holding(value))

    def person_add(self, book_id: str, title: str, cells: Mapping[str, Scalar]) -> int:
        """A person types a new row below the last one; returns its number."""
        with self.lock:
            row = self._tab(book_id, title).last_row() - 1
            self.person_edit(book_id, title, row, cells)
            return row

    def person_insert(self, book_id: str, title: str, row: int, cells: Mapping[str, Scalar] | None = None) -> None:
        """A person inserts a row above this one, and perhaps types into it."""
        with self._changed(book_id, title) as tab:
            tab.insert_rows(row + 1, 1)
        if cells:
            self.person_edit(book_id, title, row, cells)

    def person_delete(self, book_id: str, title: str, row: int) -> None:
        """A person deletes a row; those below move up."""
        with self._changed(book_id, title) as tab:
            tab.delete_rows(row + 1, row + 2)

    def person_clear(self, book_id: str, title: str, row: int) -> None:
        """A person empties all cells of a row; the blank row stays where it is."""
        with self._changed(book_id, title) as tab:
            for at, cell in list(tab.rows[row + 1].items()):
                tab.put(row + 1, at, cell.holding())

    def person_copy(self, book_id: str, title: str, row: int, to: int | None = None) -> None:
        """A person inserts a copy of a row below it, or pastes it over row `to`; the key is copied, too."""
        with self._changed(book_id, title) as tab:
            if to is None:
                tab.insert_rows(row + 2, 1)
                to = row + 1
            self._grow(tab, to + 2)
            cells = tab.rows[row + 1]
            tab.rows[to + 1] = {at: moved(cell, to - row) for at, cell in cells.items() if cell != NOTHING}

    def person_sort(
        self, book_id: str, title: str, column: str, *, descending: bool = False, leave: Collection[str] = ()
    ) -> None:
        """A person sorts all rows by a column. Columns to `leave` stay as they are: a sort of a part of the sheet."""
        with self._changed(book_id, title) as tab:
            stay = {self._column(tab, name) for name in leave}
            columns = [at for at in range(tab.column_count) if at not in stay]
            tab.sort(1, max(tab.last_row(), 1), columns, [(self._column(tab, column), descending)])

    def person_rename(self, book_id: str, title: str, new: str) -> None:
        """A person renames a sheet."""
        with self._changed(book_id, title) as tab:
            tab.title = new

    # --- looking ------------------------------------------------------------------------------------------------------

    def rows(self, book_id: str, title: str) -> list[dict[str, Any]]:
        """Every row below the header as UNFORMATTED_VALUE shows it, by header; blank cells are left out."""
        with self.lock:
            tab = self._tab(book_id, title)
            header = {at: str(cell.value) for at, cell in tab.rows[0].items() if not cell.blank}
            return [
                {
                    name: rendered(tab, row, at, "UNFORMATTED_VALUE", "FORMATTED_STRING")
                    for at, name in header.items()
                    if not tab.cell(row, at).blank
                }
                for row in range(1, tab.last_row())
            ]

    def control(self, method: str, path_parts: tuple[str, ...], body: Any) -> Answer:
        """Answers `/_sandbox/<path_parts>`: people's verbs. A body is {"cells": {column: value}} for a row, and
        {"column": …, "descending": …, "leave": […]} for a sort."""
        with self.lock:
            return self._controlled(method, list(path_parts), body)

    def _controlled(self, method: str, parts: list[str], body: Any) -> Answer:
        match method, parts:
            case "GET", ["rows", book, tab]:
                return Answer(200, {"rows": self.rows(book, tab)})
            case "POST", ["rows", book, tab]:
                return Answer(200, {"row": self.person_add(book, tab, body["cells"])})
            case "PATCH", ["rows", book, tab, row]:
                self.person_edit(book, tab, self._row(book, tab, row), body["cells"])
            case "DELETE", ["rows", book, tab, row]:
                self.person_delete(book, tab, self._row(book, tab, row))
            case "POST", ["rows", book, tab, row, "insert"]:
                self.person_insert(book, tab, self._row(book, tab, row), (body or {}).get("cells"))
            case "POST", ["rows", book, tab, row, "copy"]:
                self.person_copy(book, tab, self._row(book, tab, row), (body or {}).get("to"))
            case "POST", ["rows", book, tab, row, "clear"]:
                self.person_clear(book, tab, self._row(book, tab, row))
            case "POST", ["sort", book, tab]:
                column, descending = body["column"], bool(body.get("descending"))
                self.person_sort(book, tab, column, descending=descending, leave=body.get("leave", ()))
            case "PUT", ["tabs", book, tab]:
                self.person_rename(book, tab, body["name"])
            case _:
                return not_found(tuple(parts))
        return Answer(200, {})

    # --- within -------------------------------------------------------------------------------------------------------

    def _tab(self, book_id: str, title: str) -> Tab:
        return self._book_of(book_id).tab(title)

    def _book_of(self, book_id: str) -> Book:
        if book_id not in self.books:
            raise KeyError(f"no spreadsheet {book_id!r}")
        return self.books[book_id]

    @contextmanager
    def _changed(self, book_id: str, title: str) -> Iterator[Tab]:
        """One act of a person: all of it or nothing, and a new version."""
        with self.lock:
            book = self._book_of(book_id)
            with book.change():
                yield book.tab(title)

    def _row(self, book_id: str, title: str, text: str) -> int:
        """A row's number out of a path. KeyError where the sheet has none of it."""
        if not text.isdecimal() or int(text) + 1 >= self._tab(book_id, title).row_count:
            raise KeyError(f"no row {text!r}")
        return int(text)

    def _column(self, tab: Tab, name: str) -> int:
        for at, cell in tab.rows[0].items():
            if cell.value == name:
                return at
        raise KeyError(f"no column {name!r}")

    def _grow(self, tab: Tab, rows: int) -> None:
        tab.rows.extend({} for _ in range(rows - tab.row_count))
