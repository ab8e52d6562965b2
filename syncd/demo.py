"""`syncd demo`: the sandbox, the daemon, and a made-up team that edits deals on both sides; every edit is timed."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from syncd.daemon import Daemon, Pulse
from syncd.demo_table import AirtableTable, DemoTable, WorkbookTable
from syncd.model import Side
from syncd.pairs import Connection
from syncd.reconcile import PassResult
from syncd.report import counted, printable
from syncd.sandbox.world import TABLE, Sandbox
from syncd.settings import Settings, load_settings

INTERVAL_SECONDS = 2.0
EDIT_EVERY_SECONDS = 1.5
LONGEST_WAIT_SECONDS = 30.0
QUIET_BEFORE_END_SECONDS = 6.0
TEAM = ("Dana", "Imre", "Sofía", "Noah", "Aylin", "Kofi")


@dataclass(slots=True)
class Edit:
    """One edit of the team, and how to see that it arrived on the other side."""

    who: str
    what: str
    made_at: float
    arrived: Callable[[], bool]
    deal: str
    by_hand: bool = False


@dataclass(slots=True)
class Score:
    """What the demo counts."""

    made: int = 0
    carried: int = 0
    waits: list[float] = field(default_factory=list)
    passes: int = 0
    rows: int = 0
    errors: list[str] = field(default_factory=list)


class Team:
    """Makes one lifelike edit at a time, never two at once of the same deal."""

    def __init__(self, sandbox: Sandbox, table: DemoTable, seed: int) -> None:
        self.sandbox, self.table = sandbox, table
        self.random = random.Random(seed)
        self.table_next = True

    def edit(self, busy: set[str]) -> Edit | None:
        """Makes an edit as a person; None where the deal drawn is still on its way."""
        deal = self.random.choice(self.sandbox.highlevel.deals())
        deal_id = str(deal["id"])
        if deal_id in busy:
            return None
        try:
            row = self.table.row_of(deal_id)
        except LookupError:
            return None
        kinds = (self._stage, self._status, self._value, self._name, self._owner)
        make = self.random.choice(kinds)
        in_table = self.table_next
        self.table_next = not in_table  # both sides take turns, however short the demo is
        what, arrived = make(deal, row, in_table)
        where = self.table.label if in_table else "HighLevel"
        who = self.random.choice(TEAM)
        return Edit(f"{who} in {where}", f"“{printable(deal['name'])}”: {what}", time.monotonic(), arrived, deal_id)

    def _stage(self, deal: dict[str, Any], row: str, in_table: bool) -> tuple[str, Callable[[], bool]]:
        world, deal_id = self.sandbox.highlevel, deal["id"]
        pipeline = next(one for one in world.pipelines if one["id"] == deal["pipelineId"])
        stage = self.random.choice([one for one in pipeline["stages"] if one["id"] != deal["pipelineStageId"]])
        label = " ".join(stage["name"].split())
        if in_table:
            self.table.type(row, "Stage", self.table.spelled(label))
            return f"Stage -> {label}", lambda: world.deal(deal_id)["pipelineStageId"] == stage["id"]
        world.person_edit(deal_id, pipelineStageId=stage["id"])
        return (
            f"stage -> {label}",
            lambda: str(self.table.cell(row, "Stage")).casefold() == self.table.spelled(label).casefold(),
        )

    def _status(self, deal: dict[str, Any], row: str, in_table: bool) -> tuple[str, Callable[[], bool]]:
        world, deal_id = self.sandbox.highlevel, deal["id"]
        status = self.random.choice([one for one in ("open", "won", "lost", "abandoned") if one != deal["status"]])
        if in_table:
            self.table.type(row, "Status", status)
            return f"Status -> {status}", lambda: world.deal(deal_id)["status"] == status
        world.person_edit(deal_id, status=status)
        return f"status -> {status}", lambda: self.table.cell(row, "Status") == status

    def _value(self, deal: dict[str, Any], row: str, in_table: bool) -> tuple[str, Callable[[], bool]]:
        world, deal_id = self.sandbox.highlevel, deal["id"]
        value = self.random.randrange(5, 400) * 100 + self.random.choice((0, 0, 50))
        if in_table:
            self.table.type(row, "Value", value)
            return f"Value -> {value:,}", lambda: world.deal(deal_id)["monetaryValue"] == value
        world.person_edit(deal_id, monetaryValue=value)
        return f"value -> {value:,}", lambda: self.table.cell(row, "Value") == value

    def _name(self, deal: dict[str, Any], row: str, in_table: bool) -> tuple[str, Callable[[], bool]]:
        world, deal_id = self.sandbox.highlevel, deal["id"]
        base = " ".join(str(deal["name"]).split(" · ")[0].split())
        name = f"{base} · phase {self.random.randrange(2, 99)}"
        if in_table:
            self.table.type(row, "Name", name)
            return f"Name -> “{printable(name)}”", lambda: world.deal(deal_id)["name"] == name
        world.person_edit(deal_id, name=name)
        return f"name -> “{printable(name)}”", lambda: self.table.cell(row, "Name") == name

    def _owner(self, deal: dict[str, Any], row: str, in_table: bool) -> tuple[str, Callable[[], bool]]:
        world, deal_id = self.sandbox.highlevel, deal["id"]
        user = self.random.choice([one for one in world.users if one["id"] != deal.get("assignedTo")])
        if in_table:
            self.table.type(row, "Owner", user["name"])
            return f"Owner -> {user['name']}", lambda: world.deal(deal_id).get("assignedTo") == user["id"]
        world.person_edit(deal_id, assignedTo=user["id"])
        return f"owner -> {user['name']}", lambda: self.table.cell(row, "Owner") == user["name"]


class Demo:
    """Runs everything in one process, over real HTTP; `tell` gets one line at a time."""

    def __init__(
        self,
        *,
        seed: int,
        deals: int,
        seconds: float | None,
        tell: Callable[[str], None],
        workbook: Path | None = None,
    ) -> None:
        self.seed, self.deals, self.seconds, self.tell, self.workbook = seed, deals, seconds, tell, workbook
        self.score = Score()
        self.stop = threading.Event()
        self.filled = threading.Event()
        self.travelling: list[Edit] = []
        self.by_hand: SimpleQueue[tuple[str, str, dict[str, Any]]] = SimpleQueue()

    def run(self) -> int:
        """Runs until `stop` is set or the time is over; returns how many fields differ at the end."""
        with Sandbox(seed=self.seed, deals=self.deals) as sandbox, tempfile.TemporaryDirectory() as folder:
            self.table = WorkbookTable(sandbox, self.workbook) if self.workbook else AirtableTable(sandbox)
            settings = self._settings(sandbox, Path(folder))
            pulse, end = Pulse(), threading.Event()
            sandbox.crm_control.heard = sandbox.table_control.heard = self._hear
            with Connection(settings, settings.pair[0], end) as connection:
                daemon = Daemon(
                    {"demo": lambda: connection.run_pass(lambda _what, _done, _total: pulse.beat("demo"))},
                    {"demo": INTERVAL_SECONDS},
                    stop=end,
                    pulse=pulse,
                    report=self._passed,
                )
                thread = threading.Thread(target=daemon.run, name="demo-daemon")
                self._greet(sandbox)
                thread.start()
                try:
                    self._play(sandbox)
                    self._settle(sandbox)
                finally:
                    end.set()
                    thread.join()
            return self._report(sandbox)

    def _settings(self, sandbox: Sandbox, folder: Path) -> Settings:
        environment = {**sandbox.environment(), "SYNCD_STATE_DIR": str(folder / "state")}
        environment["SYNCD_INTERVAL"] = f"{INTERVAL_SECONDS:g}s"
        if self.workbook is None:
            return load_settings(None, environment)
        lines = ["[[pair]]", 'name = "demo"', "[pair.ghl]", 'token = "env:GHL_TOKEN"']
        lines += [f'location_id = "{sandbox.highlevel.location_id}"', f'base_url = "{sandbox.crm_url}"', "[pair.table]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in self.table.settings().items()]
        file = folder / "syncd.toml"
        file.write_text("\n".join(lines), encoding="utf-8")
        return load_settings(file, environment)

    def _greet(self, sandbox: Sandbox) -> None:
        self.tell(f"A made-up HighLevel with {self.deals} deals: {sandbox.crm_url}")
        if self.workbook is not None:
            self.tell(
                f"A new workbook: {self.workbook}. Open it in a spreadsheet program when it is filled; what you save"
            )
            self.tell("travels, and while it is open there (Excel, LibreOffice) syncd waits with its own writes.")
            return
        self.tell(f"A made-up Airtable with an empty table:  {sandbox.table_url}")
        self.tell(
            "(With `--table workbook` it is an .xlsx file, and you need nothing but a spreadsheet program to look.)"
        )
        self.tell("Both are as awkward as the real services: 5 calls a second, late search, strict names.")
        self.tell(f"First fill: {counted(self.deals, 'row')} …")

    def _hints(self, sandbox: Sandbox) -> None:
        """Addresses for a second terminal."""
        deals = sandbox.highlevel.deals()
        deal = next((one for one in deals if one["status"] == "open"), deals[0])
        self.tell("Try it by hand, in another terminal:")
        self.tell(f'  curl -X PUT {sandbox.crm_url}/_sandbox/deals/{deal["id"]} -d \'{{"status":"won"}}\'')
        if self.workbook is not None:
            return
        row = self.table.row_of(deal["id"])
        self.tell(
            f'  curl -X PATCH {sandbox.table_url}/_sandbox/records/{TABLE}/{row} -d \'{{"fields":{{"Value":12345}}}}\''
        )

    def _passed(self, result: PassResult) -> None:
        self.score.passes += 1
        if result.error:
            self.score.errors.append(result.error)
            self.tell(f"{_clock()}  a pass was not completed: {result.error}")
        elif not self.filled.is_set():
            self.tell(f"{_clock()}  filled: {counted(result.links, 'row')} in {result.seconds:.1f} s")
            self.filled.set()
            return
        self.score.rows += result.tally.updated[Side.TABLE]

    def _play(self, sandbox: Sandbox) -> None:
        began = time.monotonic()
        while not self.filled.wait(0.1):
            if self.stop.is_set():
                return
        self._hints(sandbox)
        sandbox.highlevel.triggers.clear()
        sandbox.airtable.writes.clear()
        team, next_edit = Team(sandbox, self.table, self.seed), time.monotonic()
        end = began + self.seconds - QUIET_BEFORE_END_SECONDS if self.seconds is not None else None
        while not self.stop.is_set() and (end is None or time.monotonic() < end or not self.score.made):
            if time.monotonic() >= next_edit:
                edit = team.edit({one.deal for one in self.travelling})
                if edit is not None:
                    self.score.made += 1
                    self.travelling.append(edit)
                    self.tell(f"{_clock()}  {edit.who}  {edit.what}")
                next_edit = time.monotonic() + EDIT_EVERY_SECONDS * team.random.uniform(0.4, 1.6)
            while not self.by_hand.empty():
                self._follow(sandbox, *self.by_hand.get())
            self._watch()
            self.stop.wait(0.05)

    def _hear(self, method: str, parts: tuple[str, ...], body: Any) -> None:
        """Somebody used the addresses of `_hints`; a thread of the server says so."""
        match method, parts:
            case "PUT", ("deals", deal_id) if isinstance(body, dict):
                self.by_hand.put(("HighLevel", deal_id, body))
            case "PATCH", ("records", _, row_id) if isinstance(body, dict):
                self.by_hand.put(("Airtable", row_id, body["fields"]))

    def _follow(self, sandbox: Sandbox, where: str, record: str, values: dict[str, Any]) -> None:
        """Watches an edit by hand until both sides hold the same for that deal."""
        deal_id = record

        def agreed() -> bool:
            return all(difference.deal != deal_id for difference in self.table.differences())

        try:
            if where == "Airtable":
                deal_id = str(sandbox.airtable.row(TABLE, record).get("GHL ID"))
            name = sandbox.highlevel.deal(deal_id)["name"]
        except LookupError:
            self.tell(f"{_clock()}  You in {where}: {record} belongs to no deal, so nothing travels")
            return
        what = f"“{printable(name)}”: " + ", ".join(f"{key} -> {printable(value)}" for key, value in values.items())
        for other in self.travelling:
            if other.deal == deal_id:
                other.arrived = agreed  # its own value may have been overwritten just now
        self.tell(f"{_clock()}  You in {where}  {what}")
        self.score.made += 1
        self.travelling.append(Edit(f"You in {where}", what, time.monotonic(), agreed, deal_id, by_hand=True))

    def _watch(self) -> None:
        for edit in list(self.travelling):
            seconds = time.monotonic() - edit.made_at
            if edit.by_hand and seconds > LONGEST_WAIT_SECONDS:
                self.travelling.remove(edit)
                self.tell(f"{_clock()}      not arrived yet; its Sync cell may say why  {edit.what}")
            elif edit.arrived():
                self.travelling.remove(edit)
                self.score.carried += 1
                self.score.waits.append(seconds)
                self.tell(f"{_clock()}      arrived after {seconds:.1f} s  {edit.what}")

    def _settle(self, sandbox: Sandbox) -> None:
        """Waits until the last edits have arrived."""
        end = time.monotonic() + LONGEST_WAIT_SECONDS
        while time.monotonic() < end and (self.travelling or (self.filled.is_set() and self.table.differences())):
            self._watch()
            time.sleep(0.05)

    def _report(self, sandbox: Sandbox) -> int:
        ours = [trigger for trigger in sandbox.highlevel.triggers if trigger.source == "api"]
        rows = [write for write in sandbox.airtable.writes if write.source == "publicApi"]
        to_table = len(rows) if self.workbook is None else self.score.rows
        deals = sum(line.method == "PUT" and line.status == 200 for line in sandbox.crm_http.log)
        differences = self.table.differences() if self.filled.is_set() else []
        waits = sorted(self.score.waits)
        self.tell("")
        self.tell(f"edits made          {self.score.made}")
        self.tell(f"edits carried       {self.score.carried}")
        self.tell(f"writes              {deals + to_table} ({counted(deals, 'deal')}, {counted(to_table, 'row')})")
        self.tell(f"workflows fired     {len(ours)} (by syncd; one for each field it changed in HighLevel)")
        if waits:
            self.tell(f"time to arrive      {waits[len(waits) // 2]:.1f} s in the middle, {waits[-1]:.1f} s at most")
        self.tell(f"passes              {self.score.passes}")
        self.tell(f"difference at the end: {len(differences)}")
        for difference in differences[:10]:
            self.tell(f"  {difference}")
        return len(differences) + len(self.score.errors)


def _clock() -> str:
    return time.strftime("%H:%M:%S")
