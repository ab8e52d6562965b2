"""Prints the completion script of a shell (bash, zsh, fish). Called by `make completions`."""

from __future__ import annotations

import sys
from pathlib import Path

from click.shell_completion import get_completion_class

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from syncd.cli.main import syncd

kind = get_completion_class(sys.argv[1])
assert kind is not None, f"click knows no shell {sys.argv[1]}"
print(kind(syncd, {}, "syncd", "_SYNCD_COMPLETE").source().rstrip())
