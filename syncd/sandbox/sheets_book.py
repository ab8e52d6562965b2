"""A local spreadsheet: its tabs, who may edit it, and its version, which grows with each change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from .sheets_grid import MOST_CELLS, Area, Refused, Tab, area, invalid

PROTECTED: Final = (
    "You are trying to edit a protected cell or object. Please contact the spreadsheet owner to remove protection if "
    "you need to edit."
)


@dataclass(slots=True)
class Book:
    """One spreadsheet. `roles` maps an account's address to "writer" or "reader"; others do not see it.

    `office` is an Excel file that was only opened in Google Sheets: the API serves none.
    """

    id: str
    title: str
    clock: Callable[[], float]
    tabs: list[Tab] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    office: bool = False
    version: int = 1
    history: list[tuple[float, int]] = field(default_factory=list)
    last_id: int = 0

    def tab(self, id_or_title: int | str) -> Tab:
        """A tab by its id or title; KeyError where there is none."""
        for tab in self.tabs:
            if id_or_title in (tab.id, tab.title):
                return tab
        raise KeyError(f"no sheet {id_or_title!r}")

    def area(self, text: str) -> Area:
        """The part of a tab that a range names."""
        return area(self.tabs, text)

    def new_id(self) -> int:
        """An id for a protected range."""
        self.last_id += 1
        return self.last_id

    @contextmanager
    def change(self) -> Iterator[None]:
        """All of what happens within, or nothing of it; then the version is a new one."""
        tabs = [tab.copy() for tab in self.tabs]
        title = self.title
        try:
            yield
            if sum(tab.row_count * tab.column_count for tab in self.tabs) > MOST_CELLS:
                raise invalid(
                    f"This action would increase the number of cells in the workbook above the limit of {MOST_CELLS} "
                    "cells."
                )
        except BaseException:
            self.tabs, self.title = tabs, title
            raise
        self.version += 1
        self.history.append((self.clock(), self.version))

    def seen_version(self, lag_seconds: float) -> tuple[float, int]:
        """When it changed last and the version then, as a Drive that lags behind shows them."""
        latest = self.clock() - lag_seconds
        return next(((at, version) for at, version in reversed(self.history) if at <= latest), (0.0, 1))

    def may_edit(self, tab: Tab, rows: range, columns: range, who: str) -> None:
        """Raises `Refused` where a protected range is touched that `who` may not edit."""
        for one in tab.protected:
            allowed = one.get("editors", {}).get("users", [])
            if one.get("warningOnly") or who in allowed:
                continue
            part = one.get("range", {})
            top, bottom = part.get("startRowIndex", 0), part.get("endRowIndex", tab.row_count)
            left, right = part.get("startColumnIndex", 0), part.get("endColumnIndex", tab.column_count)
            if rows.start < bottom and top < rows.stop and columns.start < right and left < columns.stop:
                raise invalid(PROTECTED)


def masked(found: Any, mask: str | None) -> Any:
    """The parts of an answer that a fields mask names ("a,b(c,d/e)"); everything without one or with "*"."""
    if not mask or mask == "*":
        return found
    tree, rest = _mask(mask)
    if rest:
        raise invalid("Request contains an invalid argument.")
    return _only(found, tree)


def _mask(text: str) -> tuple[dict[str, Any], str]:
    """The mask as nested names, and what follows it."""
    tree: dict[str, Any] = {}
    while text and text[0] != ")":
        name = ""
        path = tree
        while text and text[0] not in ",()":
            if text[0] in "./":
                path, name = path.setdefault(name, {}), ""
            else:
                name += text[0]
            text = text[1:]
        if not name:
            raise invalid("Request contains an invalid argument.")
        below = path.setdefault(name.strip(), {})
        if text[:1] == "(":
            inner, text = _mask(text[1:])
            if text[:1] != ")":
                raise invalid("Request contains an invalid argument.")
            below.update(inner)
            text = text[1:]
        text = text[1:] if text[:1] == "," else text
        if text and text[0] == "(":
            raise invalid("Request contains an invalid argument.")
    return tree, text


def _only(found: Any, tree: Mapping[str, Any]) -> Any:
    if not tree or "*" in tree:
        return found
    if isinstance(found, list):
        return [_only(one, tree) for one in found]
    if not isinstance(found, dict):
        return found
    return {name: _only(value, tree[name]) for name, value in found.items() if name in tree}


def mentions(mask: str | None, *path: str) -> bool:
    """Whether a fields mask asks for this part of an answer, by itself or with what holds it."""
    tree: dict[str, Any] = _mask(mask)[0] if mask else {}
    for name in path:
        if not tree or "*" in tree:
            return bool(mask)
        if name not in tree:
            return False
        tree = tree[name]
    return bool(mask)


__all__ = ["PROTECTED", "Book", "Refused", "masked", "mentions"]
