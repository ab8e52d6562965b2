"""One seed: a safety phase full of trouble, then a phase of convergence without any (README.md)."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any

from syncd.model import Raw, Side
from syncd.reconcile import PassResult, run_pass
from tests.memory import Crash
from tests.simulation import faults
from tests.simulation.checks import Checks
from tests.simulation.ghost import Broken
from tests.simulation.knobs import Knobs
from tests.simulation.marks import listening
from tests.simulation.people import ACTIONS, answer_all, draw_action
from tests.simulation.rest import Rest
from tests.simulation.schedule import Argument, Event, Point, Recorded
from tests.simulation.world import SimWorld

CALM_PAUSES = (130.0, 130.0, 8 * 3600.0, 130.0, 8 * 3600.0, 130.0)


@dataclass(slots=True)
class Outcome:
    """How a seed ended: `broken` names the property that fell ("" if none), `story` says how."""

    seed: int
    knobs: Knobs
    broken: str = ""
    story: str = ""
    events: list[Event] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    marks: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    check: str = ""  # which check fell: a shorter story must tell of the same one


class Simulation:
    """Runs one seed. With `recorded` nothing is drawn: only those events happen."""

    def __init__(self, seed: int, knobs: Knobs, recorded: Sequence[Event] | None = None) -> None:
        self.outcome = Outcome(seed, knobs)
        self.knobs, self.marks = knobs, self.outcome.marks
        self.rng = Random(f"events {seed}")
        self.times = Random(f"times {seed}")
        self.recorded = None if recorded is None else Recorded(recorded)
        self.number = 0
        self.counts: dict[tuple[str, str, str], int] = {}
        self.calm = True
        self.logged = (0, 0)
        self.answer_lost = False
        self.looking = False  # the engine takes its second look (marks.py)
        self.hash = blake2b(digest_size=16)
        self.places: dict[tuple[str, str, str], list[tuple[str, float]]] = {}
        self.world = SimWorld(knobs, self.step)
        self.ghost = self.world.ghost
        self.checks = Checks(self.ghost, self.marks, self.world.tie_side)

    # --- the run -------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Both phases; never raises for what the engine does."""
        try:
            with listening(self):
                self.fill()
                self.safety()
                self.convergence()
        except Broken as broken:
            self.outcome.broken, self.outcome.story = broken.name, str(broken)
            self.outcome.check = traceback.extract_tb(broken.__traceback__)[-1].line or ""
        except Crash:
            raise
        except Exception as error:
            self.outcome.broken = "error"
            self.outcome.story = f"the engine raised {type(error).__name__}: {error}"
        if self.outcome.broken:
            self.say(f"BROKEN {self.outcome.story}")
        self.outcome.digest = self.hash.hexdigest()
        return self.outcome

    def say(self, line: str) -> None:
        """Adds a line to the event log."""
        self.outcome.log.append(line)
        self.hash.update(line.encode())

    def fill(self) -> None:
        """The deals that are there from the start; the first pass finds them."""
        self.say(f"seed {self.outcome.seed}: {self.knobs.shown()}")
        for number in range(1, self.knobs.deals + 1):
            deal = f"deal{number}"
            stage: Raw = ["p1", "s1"] if number % 3 else ["p2", "t1"]
            self.world.made(deal, stage=stage, value=100 * number, owner=("u1", "u2", None)[number % 3])
        self.world.clock.advance(100.0)

    def safety(self) -> None:
        """Trouble of all kinds."""
        self.calm = False
        for number in range(1, self.knobs.passes + 1):
            self.begin(number)
            self.pause()
            self.run_pass()
        self.calm = True

    def begin(self, number: int) -> None:
        """Another pass."""
        self.number = self.ghost.number = number
        self.world.crm.trouble.number = self.world.table.trouble.number = number
        for side in (self.world.crm, self.world.table):
            side.faults.lost = []
            side.trouble.expired = False
            side.faults.ignores = {f for f in faults.FIELDS if side.trouble.on(side.trouble.ignores, f)}
        self.counts = {}

    def pause(self) -> None:
        """Time passes between two passes; people use it, and now and then the machine is started again."""
        knobs, times = self.knobs, self.times
        self.world.clock.advance(times.choice(knobs.pauses))
        self.world.pausing = True
        slots = min(8, int(times.expovariate(1 / knobs.edits_between)))
        for nth in range(1, slots + 1):
            self.people_act(Point(self.number, "people", "pause", "", nth), 1.0)
            self.world.clock.advance(times.choice((0.0, 0.2, 2.0, 7.0)))
        self.world.pausing = False
        self.machine(Point(self.number, "machine", "pause", "", 1))

    def run_pass(self) -> PassResult | None:
        """One pass; None where it was killed."""
        try:
            result = run_pass(self.world.pair)
        except Crash as crash:
            self.say(str(crash))
            self.ghost.store.touched.clear()
            self.world.restart()
            return None
        self.world.stopping = False
        self.say(f"pass {self.number} ended: {result.error or 'well'}; code {result.code}, {told(result)}")
        if result.misconfigured:
            raise Broken("error", f"the configuration was called wrong: {result.error}")
        self.marks["column suspended"] += bool(result.tally.suspended)
        self.marks["full pass" if result.full else "incremental pass"] += not result.error
        for held in result.held:
            self.marks[f"held {held.kind.value}"] += 1
        self.marks["start anew"] += bool(result.notes)
        for finding in result.findings:
            self.marks[f"found {finding.trouble.value}"] += 1
        return result

    def convergence(self) -> None:
        """Everything calms down; a few passes later all must agree (P4) and rest (P5)."""
        self.world.crm.trouble.end()
        self.world.table.trouble.end()
        rest = Rest(self.ghost, self.marks)
        for number, pause in enumerate(CALM_PAUSES, self.knobs.passes + 1):
            self.begin(number)
            answer_all(self.world)
            self.world.clock.advance(pause)
            result = self.run_pass()
            assert result is not None
            if result.error:
                raise Broken("P4", f"nothing is wrong any more, and the pass says: {result.error}")
        rest.agreed()
        before = self.world.writes()
        self.begin(self.number + 1)
        self.world.clock.advance(130.0)
        self.run_pass()
        rest.rested(before, self.world.writes())

    # --- steps ---------------------------------------------------------------------------------------------------

    def step(self, who: str, verb: str, phase: str, what: Any) -> None:
        """Every remote call and every commit passes here (see tests/memory.py)."""
        key = (who, verb, phase)
        nth = self.counts[key] = self.counts.get(key, 0) + 1
        self.ghost.tick += 1
        self.hash.update(f"{who}{verb}{phase}{self.world.clock.now}".encode())
        self.observe(who, verb, phase, what)
        if not self.calm:
            self.happenings(Point(self.number, who, verb, phase, nth))

    def observe(self, who: str, verb: str, phase: str, what: Any) -> None:
        """The ghost takes note, and the checks look."""
        ghost = self.ghost
        if who == "store":
            if phase == "after":
                self.checks.committed()
            return
        side = Side(who)
        if phase == "before":
            if verb != "page":
                ghost.calls.append((side, verb))
            self.logged = (len(self.world.crm.log), len(self.world.table.log))
            self.answer_lost = False
            return
        if verb == "page":
            for deal in what if side is Side.CRM else ():
                if self.world.crm.is_late(deal):
                    ghost.late[deal] = self.number
                    self.marks["stale sight"] += 1
            ghost.look(side, what, listed=True)
        elif verb == "read":
            ghost.look(side, what, by_id=True)
        elif verb == "find":
            ghost.look(
                side, [row for row, held in self.world.table.rows.items() if held.key in what], by_id=True, listed=True
            )
        elif verb == "schema" and side is Side.TABLE:
            ghost.options_met()
        elif verb == "schema":
            ghost.vocabulary_read = self.world.crm.vocabulary
            ghost.vocabulary_read_at = self.world.clock.now
        elif verb in faults.WRITES:
            self.effects(side)

    def effects(self, side: Side) -> None:
        """A write call is over: what it did is checked."""
        entries = (self.world.crm.log if side is Side.CRM else self.world.table.log)[self.logged[side is Side.TABLE] :]
        for entry in entries:
            if side is Side.CRM:
                self.world.crm.answers[entry.id] = self.world.crm.deals[entry.id][-1]
            self.say(f"  {entry.side.value} {entry.verb} {entry.id}: {dict(entry.changes)}")
            self.checks.written(entry)
        if not self.answer_lost:
            self.ghost.look(side, [entry.id for entry in entries], by_id=True)
        self.answer_lost = False

    # --- events --------------------------------------------------------------------------------------------------

    def happenings(self, point: Point) -> None:
        """What happens at this step: drawn, or as recorded. Faults last, since most of them raise."""
        if self.recorded is not None:
            for event in self.recorded.at(point):
                self.happen(event)
            return
        if point.who != "store" or point.phase == "after":
            self.people_act(point, self.knobs.edits_within)
            if point.verb in faults.WRITES and point.phase == "after" and self.rng.random() < self.knobs.automations:
                self.people_act(point, 1.0, edits_only=True)
        key = (point.who, point.verb, point.phase)
        if key not in self.places:
            rated = [(name, float(getattr(self.knobs, fault.knob))) for name, fault in faults.possible(point)]
            self.places[key] = [(name, rate) for name, rate in rated if rate]
        for name, rate in self.places[key]:
            if self.rng.random() < rate:
                arguments = faults.FAULTS[name].draw(self.world, point, self.rng)
                if arguments is not None:
                    self.record(Event(point, name, arguments))

    def people_act(self, point: Point, rate: float, *, edits_only: bool = False) -> None:
        """Perhaps somebody does something."""
        if self.recorded is not None:
            if point.who == "people":
                for event in self.recorded.at(point):
                    self.happen(event)
            return
        if rate and self.rng.random() < rate:
            drawn = draw_action(self.world, self.rng, edits_only=edits_only)
            if drawn is not None:
                self.record(Event(point, drawn.action.name, drawn.arguments))

    def machine(self, point: Point) -> None:
        """Between two passes the program may be started anew, or its database copied or put back."""
        if self.recorded is not None:
            for event in self.recorded.at(point):
                self.happen(event)
            return
        if self.rng.random() < self.knobs.restarts:
            self.record(Event(point, "restart"))
        if self.rng.random() < self.knobs.restores:
            self.record(Event(point, "keep copy" if self.world.old_database is None else "put copy back"))

    def record(self, event: Event) -> None:
        """Keeps what was drawn, and does it."""
        self.outcome.events.append(event)
        self.happen(event)

    def happen(self, event: Event) -> None:
        """Does what an event says."""
        self.say(str(event))
        self.marks[event.what] += 1
        arguments: tuple[Argument, ...] = event.arguments
        if event.what in ACTIONS:
            self.ghost.tick += 1
            self.world.clock.advance(0.002)  # nobody's edit has the very time of a write
            ACTIONS[event.what].do(self.world, *arguments)
        elif event.what == "restart":
            self.world.restart()
        elif event.what == "keep copy":
            self.world.keep_copy()
        elif event.what == "put copy back":
            self.world.put_copy_back()
        else:
            if event.what.startswith("lost"):
                self.answer_lost = True
                self.marks[f"{event.what} {event.at.who} {event.at.verb}"] += 1
            self.marks["crash at a deletion"] += (event.what, event.at.verb) == ("crash", "delete")
            if event.what == "crash":
                self.marks[f"crash {event.at.phase} {event.at.who} {event.at.verb}"] += 1
            faults.do(self.world, event.what, event.at, arguments)


def told(result: PassResult) -> str:
    """What a pass did, in a line."""
    tally = result.tally
    counts = [
        f"{tally.created[Side.TABLE]} rows",
        f"{tally.updated[Side.CRM]} to crm",
        f"{tally.updated[Side.TABLE]} to table",
    ]
    return ", ".join([*counts, f"{tally.waiting} waiting", f"{result.unsettled} unsettled", *tally.refusals])


def simulate(seed: int, knobs: Knobs, recorded: Sequence[Event] | None = None) -> Outcome:
    """Runs one seed."""
    return Simulation(seed, knobs, recorded).run()
