"""The installed program alone: a sandbox, a first fill of 250 rows, a pass that does nothing. For CI, without pytest.

Run as `python tests/end_to_end/wheel_smoke.py PATH_TO_SYNCD_BINARY`. It imports nothing of the checkout, and neither
does the program it starts: it runs in an empty folder with hardly any environment.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

DEALS = 250
KINDS = ("created", "updated", "deleted")
SIDES = ("crm", "table")
START_SECONDS = 60.0
PASS_SECONDS = 300.0
EXPORT = re.compile(r"\s*export (\w+)=(\S+)\s*$")


def free_ports() -> tuple[int, int]:
    """Two ports that nothing listens on right now."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return int(first.getsockname()[1]), int(second.getsockname()[1])


def exports(process: subprocess.Popen[str]) -> dict[str, str]:
    """The variables that the sandbox prints for another terminal; fails where they do not come in time."""
    found: dict[str, str] = {}
    watch = threading.Timer(START_SECONDS, process.kill)
    watch.start()
    assert process.stdout is not None
    for line in process.stdout:
        if match := EXPORT.match(line):
            found[match[1]] = match[2]
        elif found:
            break
    watch.cancel()
    assert {"GHL_TOKEN", "GHL_BASE_URL", "AIRTABLE_TOKEN", "AIRTABLE_BASE_URL"} <= found.keys(), f"printed: {found}"
    return found


def reconcile(syncd: str, folder: Path, environment: Mapping[str, str]) -> dict[str, int]:
    """One pass; returns what it created and updated in the table and in the CRM."""
    ran = subprocess.run(
        [syncd, "--reconcile", "--json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PASS_SECONDS,
    )
    assert ran.returncode == 0, f"exit {ran.returncode}: {ran.stdout}{ran.stderr}"
    told = json.loads(ran.stdout)
    return {f"{what} {side}": told[what][side] for what in KINDS for side in SIDES}


def check(syncd: str, folder: Path) -> None:
    """Fills the sandbox's table and passes over it once more. Raises AssertionError."""
    bare = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "PYTHONSAFEPATH": "1"}
    crm_port, table_port = free_ports()
    ports = ["--crm-port", str(crm_port), "--table-port", str(table_port)]
    command = [syncd, "sandbox", "--deals", str(DEALS), "--no-limit", *ports]
    sandbox = subprocess.Popen(command, cwd=folder, env=bare, stdout=subprocess.PIPE, text=True)
    try:
        environment = bare | exports(sandbox)
        assert environment["GHL_BASE_URL"].endswith(f":{crm_port}"), environment["GHL_BASE_URL"]
        assert environment["AIRTABLE_BASE_URL"].endswith(f":{table_port}"), environment["AIRTABLE_BASE_URL"]
        nothing = {f"{what} {side}": 0 for what in KINDS for side in SIDES}
        first = reconcile(syncd, folder, environment)
        assert first == nothing | {"created table": DEALS}, f"the first pass did {first}"
        second = reconcile(syncd, folder, environment)
        assert second == nothing, f"the second pass did {second}"
        sandbox.send_signal(signal.SIGTERM)
        assert sandbox.wait(20.0) == 0, f"the sandbox ended with {sandbox.returncode}"
    finally:
        if sandbox.poll() is None:
            sandbox.kill()
        sandbox.wait()


def main(arguments: list[str]) -> int:
    """Runs the check; the exit code says whether it passed."""
    if len(arguments) != 1:
        print("usage: python wheel_smoke.py PATH_TO_SYNCD_BINARY", file=sys.stderr)
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="syncd-smoke-") as folder:
        try:
            check(str(Path(arguments[0]).absolute()), Path(folder))
        except (AssertionError, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            print(f"wheel smoke: {type(error).__name__}: {error}", file=sys.stderr)
            print("0 passed, 1 failed")
            return 1
    print(f"wheel smoke: {DEALS} rows, then none, in {time.monotonic() - began:.0f} s", file=sys.stderr)
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
