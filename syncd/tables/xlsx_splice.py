"""Pieces of a text replaced by others, all at once; what lies between them stays byte for byte."""

from __future__ import annotations


class CannotEdit(Exception):
    """An edit that would not be safe; nothing was changed. The text goes on after "…: ". `cell` is the one to blame, by
    row and column of the sheet, where one is.
    """

    def __init__(self, sentence: str, cell: tuple[int, int] | None = None) -> None:
        super().__init__(sentence)
        self.cell = cell


class Splices:
    """Replacements in `data` by position. Insertions at one place stand in the order in which they were asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pieces: list[tuple[int, int, bytes]] = []

    def replace(self, start: int, end: int, piece: bytes) -> None:
        """`piece` instead of data[start:end]."""
        self._pieces.append((start, end, piece))

    def insert(self, at: int, piece: bytes) -> None:
        """`piece` before data[at]."""
        self._pieces.append((at, at, piece))

    def applied(self) -> bytes:
        """The text with all of them. No two may overlap."""
        out: list[bytes | memoryview] = []
        view, copied = memoryview(self._data), 0
        for start, end, piece in sorted(self._pieces, key=lambda one: (one[0], one[1])):
            assert start >= copied, "two pieces overlap"
            out += (view[copied:start], piece)
            copied = end
        return b"".join([*out, view[copied:]])
