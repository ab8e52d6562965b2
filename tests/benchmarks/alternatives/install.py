"""dlt and item_synchronizer in an environment of their own under build/, where the package registry has them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ENVIRONMENT = Path(__file__).resolve().parents[3] / "build" / "alternatives"
PYTHON = ENVIRONMENT / "bin" / "python"
LIMIT_SECONDS = 300.0
# Of item_synchronizer's dependencies bubop pins PyYAML 5.3, which does not build on Python 3.11 or newer. The engine
# uses bubop's logger only, so it is installed without regard to these pins.
WANTED: dict[str, tuple[tuple[str, ...], ...]] = {
    "dlt": (("dlt[sqlalchemy]==1.31.0",),),
    "item_synchronizer": (
        ("--no-deps", "item-synchronizer==1.1.5", "bubop==0.1.12", "bidict==0.21.4"),
        ("PyYAML>=6,<7", "loguru>=0.7,<1", "python-dateutil>=2.8.2,<3", "tqdm>=4.66,<5", "click>=8,<9"),
    ),
}


def installed(package: str) -> str:
    """Installs a package beside our own httpx and pyairtable; returns why that failed, or "" where it is there."""
    try:
        if not PYTHON.exists():
            _run(sys.executable, "-m", "venv", str(ENVIRONMENT))
        ours = [f"{name}=={version(name)}" for name in ("httpx", "pyairtable")]
        stamp = ENVIRONMENT / f"{package}.txt"
        wanted = repr((WANTED[package], ours))
        if stamp.exists() and stamp.read_text() == wanted:
            return ""
        for arguments in (tuple(ours), *WANTED[package]):
            _run(str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)
        _run(str(PYTHON), "-c", f"import {package}")
        stamp.write_text(wanted)
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        return str(error)
    return ""


def version_of(package: str) -> str:
    """The version that stands in that environment."""
    code = f"from importlib.metadata import version; print(version('{package}'))"
    return _run(str(PYTHON), "-c", code).strip()


def _run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    if ran.returncode:
        said = [line.strip() for line in ran.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.lower().startswith("error")]
        raise RuntimeError((errors or said or ["it ended without a word"])[0][:200])
    return ran.stdout
