"""Diaries: all that a situation leads to, line by line, kept as text beside the tests.

A test that tells everything notices any change, also a wanted one. `python -m tests.diaries` lets the tests write anew
what they see; the difference (`git diff`) is read like any other change, line by line, before it is committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("diary")
ACCEPT: Final = "ACCEPT_DIARIES"
TESTS: Final = ("tests/test_plan_edges.py", "tests/test_carry_edges.py")


def read(name: str) -> dict[str, list[str]]:
    """The diaries of a file, by the names of their situations."""
    path = FOLDER / f"{name}.txt"
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if line.startswith("== "):
            lines = found[line[3:]] = []
        elif line:
            lines.append(line[2:])
    return found


def check(name: str, situation: str, lines: list[str]) -> None:
    """Fails where a situation leads to something else than is written down; or writes it down."""
    kept = read(name)
    if ACCEPT not in os.environ:
        assert lines == kept[situation]
        return
    kept[situation] = lines
    text = "\n".join("\n".join([f"== {one}", *(f"  {line}" for line in kept[one]), ""]) for one in sorted(kept))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")


def main() -> int:
    """The command."""
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-k", "whole", *TESTS]
    return subprocess.run(command, env={**os.environ, ACCEPT: "1"}, cwd=FOLDER.parents[1]).returncode


if __name__ == "__main__":
    sys.exit(main())
