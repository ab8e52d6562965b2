"""The real command line against the sandbox over HTTP: what the end-to-end tests stand on."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from unittest import mock

from syncd import trace
from syncd.cli.main import run as command_line
from syncd.crm import highlevel
from syncd.incremental import Memory
from syncd.pairs import Connection
from syncd.reconcile import PassResult
from syncd.sandbox.world import TABLE, Sandbox
from syncd.tables import airtable

REPOSITORY = Path(__file__).resolve().parents[2]
TIME_LIMIT_SECONDS = 120.0


class Clock:
    """The clock of both servers: real time, moved on by `offset` seconds instead of sleeping."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)


class Remembering:
    """What a daemon would remember between the passes that a rig runs: with it, `--reconcile` looks only at what was
    edited since the one before. Sweeps count as dear, though few deals fit into one page."""

    def __init__(self) -> None:
        self.memories: dict[str, Memory] = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Passes are incremental meanwhile."""
        real = Connection.run_pass

        def run_pass(connection: Connection, progress: Any, *, patient: bool = False) -> PassResult:
            known = self.memories.setdefault(connection.pair.name, connection._memory)
            connection._memory, connection.pair = known, connection.pair.model_copy(update={"quiet": 0.0})
            result = real(connection, progress, patient=True)
            self.memories[connection.pair.name] = connection._memory
            return result

        with (
            mock.patch.object(Connection, "run_pass", run_pass),
            mock.patch.object(Memory, "sweeps_are_cheap", False),
        ):
            yield


class Rig:
    """A sandbox, a state folder, and the command line as a separate process."""

    def __init__(
        self, folder: Path, *, deals: int = 12, seed: int = 1, lag_seconds: float = 0.0, **options: Any
    ) -> None:
        self.folder = folder
        clock = options.pop("clock", None)
        self.time = Clock()
        self.clock: Callable[[], float] = clock or self.time
        self.sandbox = Sandbox(
            seed=seed, deals=deals, lag_seconds=lag_seconds, rate_per_second=None, clock=self.clock, **options
        )
        self.highlevel, self.airtable = self.sandbox.highlevel, self.sandbox.airtable
        self.highlevel.rate_limit = 10_000
        self.remembering = Remembering() if os.environ.get("SYNCD_TESTS") == "incremental" else None
        self.environment = {
            **self.sandbox.environment(),
            "SYNCD_STATE_DIR": str(folder / "state"),
            "RUNTIME_DIRECTORY": str(folder / "run"),  # where processes tell each other what they have sent
        }

    def close(self) -> None:
        """Stops the servers."""
        self.sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a command and does not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "syncd", *arguments],
            cwd=self.folder,
            env=self._environment(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, typed: str = "", **environment: str) -> Ran:
        """Runs a command line to its end, in this process: starting Python anew costs a second of CPU each time. What a
        person types stands in `typed`.

        The buckets are opened wide, since the sandbox has no limit here; `run_apart` has the real ones.
        """
        if threading.current_thread() is not threading.main_thread():
            return self.run_apart(*arguments, **environment)
        out, err, here = io.StringIO(), io.StringIO(), os.getcwd()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with (
            mock.patch.dict(os.environ, self._environment(environment), clear=True),
            mock.patch.object(airtable, "BUCKET_COUNT", 100_000),
            mock.patch.object(trace, "folder", return_value=None),
            mock.patch.object(sys, "stdin", io.StringIO(typed)),
            mock.patch.object(highlevel, "BUCKET_COUNT", 100_000),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            os.chdir(self.folder)
            try:
                with self.remembering.kept() if self.remembering else nullcontext():
                    code = command_line(list(arguments))
            finally:
                os.chdir(here)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return Ran(code, out.getvalue(), err.getvalue())

    def _environment(self, extra: dict[str, str]) -> dict[str, str]:
        base = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**base, "PYTHONPATH": str(REPOSITORY), **self.environment, **extra}

    def run_apart(self, *arguments: str, **environment: str) -> Ran:
        """Runs a command to its end, in a process of its own."""
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(timeout=TIME_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Ran(process.returncode, out, err)

    def reconcile(self, *arguments: str, expect: int | None = 0) -> dict[str, Any]:
        """One pass; fails where the exit code is not the expected one (None: any)."""
        ran = self.run("--reconcile", "--json", *arguments)
        if expect is not None and ran.code != expect:
            raise AssertionError(f"exit {ran.code} instead of {expect}: {ran.out}\n{ran.err}")
        found: dict[str, Any] = json.loads(ran.out)
        return found

    # --- what happened -------------------------------------------------------------------------------------------

    def forget_log(self) -> None:
        """Counts start anew."""
        self.highlevel.triggers.clear()
        self.airtable.writes.clear()
        self.sandbox.crm_http.log.clear()
        self.sandbox.table_http.log.clear()

    def fired(self) -> list[tuple[str, str]]:
        """(deal, field) of every workflow trigger that syncd's writes fired."""
        return [(trigger.deal_id, trigger.field) for trigger in self.highlevel.triggers if trigger.source == "api"]

    def crm_writes(self) -> list[Any]:
        """Requests that wrote to HighLevel."""
        return [
            line
            for line in self.sandbox.crm_http.log
            if line.method in ("PUT", "DELETE") or line.path == "/opportunities/"
        ]

    def table_writes(self) -> list[Any]:
        """Cell writes by syncd in the table, Sync cells left out."""
        return [
            write
            for write in self.airtable.writes
            if write.source == "publicApi" and (set(write.fields) - {"Sync"} or write.kind != "update")
        ]

    # --- people --------------------------------------------------------------------------------------------------

    def deals(self) -> list[dict[str, Any]]:
        """All deals."""
        return self.highlevel.deals()

    def row(self, deal_id: str) -> dict[str, Any]:
        """The one row of a deal."""
        return self.airtable.row(TABLE, self.sandbox.row_of(deal_id))

    def type(self, deal_id: str, **cells: Any) -> None:
        """A person types into the row of a deal."""
        self.airtable.person_edit(TABLE, self.sandbox.row_of(deal_id), cells)
