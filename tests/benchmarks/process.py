"""Runs parts of the measurement in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]


def of_process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs Python to its end, in the repository."""
    command = [sys.executable, *arguments]
    environment = {**os.environ, **variables}
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {ran.returncode}: {ran.stderr or ran.stdout}")
    return ran
