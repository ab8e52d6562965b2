"""The second file of a state folder: the mark that the database of each pair must carry, too (see generation.py)."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, Final, Protocol

FILE_NAME: Final = "generation.json"
_lock = threading.Lock()  # one file for all pairs of a state folder


class Marks(Protocol):
    """Where marks are kept, apart from the database."""

    def read(self, pair: str) -> str | None:
        """The mark of a pair; None where there is none, or none that can be read."""

    def write(self, pair: str, mark: str) -> None:
        """Keeps a mark: all of it is durable, or nothing is. Raises `OSError`."""


class MarkFile:
    """`Marks` in a JSON file, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def read(self, pair: str) -> str | None:
        """See `Marks`."""
        mark = self._all().get(pair)
        return mark if isinstance(mark, str) else None

    def _all(self) -> dict[str, Any]:
        try:
            found: Any = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # a mark that cannot be read is a missing one
        return found if isinstance(found, dict) else {}

    def write(self, pair: str, mark: str) -> None:
        """See `Marks`."""
        aside = self.path.with_suffix(".new")
        with _lock:
            marks = {**self._all(), pair: mark}
            with aside.open("w", encoding="utf-8") as file:
                json.dump(marks, file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # else a power cut could take the new name back
            finally:
                os.close(folder)
