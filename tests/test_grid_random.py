"""People do what they like with a sheet, the program is killed and the sheet is busy; in the end all agree (SPEC §6).

In a round each field of a deal is edited on one side only, so what it must hold afterwards is known without the engine.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from syncd.model import Raw
from tests.grids import HEADER, GridWorld
from tests.memory import FIELD_NAMES, NO_LIMITS, Crash, field_of

PARTS = 6
SEEDS = 12  # a part
HEADER_WITH_EMAIL = (*HEADER[:7], "Email", *HEADER[7:])
REQUIRED = (
    *(
        "edit row",
        "edit deal",
        "sort",
        "insert",
        "delete row",
        "clear key",
        "new row",
        "new deal",
        "add column",
        "swap",
    ),
    *("busy", "crash", "lost before", "lost after", "restart", "moved during a pass", "note"),
)


class Story:
    """One seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = Random(f"sheet {seed}")
        self.world = GridWorld(
            folder,
            [field_of(name) for name in (*FIELD_NAMES, "email")],
            partial=self.rng.random() < 0.5,
            header=HEADER_WITH_EMAIL,
        )
        self.world.choose(limits=NO_LIMITS)
        self.world.incremental = self.rng.random() < 0.3
        self.world.restart()
        self.marks: Counter[str] = Counter()
        self.expected: dict[tuple[str, str], Raw] = {}
        self.edited: set[tuple[str, str]] = set()
        self.untouchable: set[str] = set()  # rows of this round that lost their key or were deleted
        self.deals, self.leads, self.serial = 0, 0, 0

    def run(self) -> Counter[str]:
        """A few rounds of trouble, each followed by calm."""
        for _ in range(self.rng.randint(2, 5)):
            self.new_deal()
        self.world.run()
        self.world.run()
        for _ in range(4):
            self.edited.clear()
            self.untouchable.clear()
            for _ in range(self.rng.randint(1, 3)):
                for _ in range(self.rng.randint(1, 4)):
                    self.act()
                self.troubled_pass()
            self.calm()
        return self.marks

    # --- people ---------------------------------------------------------------------------------------------------

    def act(self) -> None:
        """Somebody does something."""
        rng = self.rng
        what = rng.choice(
            ["edit row"] * 5 + ["edit deal"] * 4 + ["sort"] * 3 + ["insert", "delete row", "clear key", "new row"] * 2
            + ["new deal", "add column", "swap", "note"]
        )  # fmt: skip
        grid = self.world.grid
        keyed = [at for at, row in enumerate(grid.rows) if row[grid.column("id")]]
        if what in ("edit row", "delete row", "clear key", "swap", "note") and not keyed:
            return
        self.marks[what] += 1
        if what == "edit row":
            self.edit_row(rng.choice(keyed))
        elif what == "edit deal":
            self.edit_deal(rng.choice(sorted(self.world.crm.deals)))
        elif what == "sort":
            grid.sort(rng.choice(("Name", "GHL ID", "Value")), backwards=rng.random() < 0.5)
        elif what == "insert":
            grid.add(rng.randint(0, len(grid.rows)))
        elif what in ("delete row", "clear key"):
            self.lose(what, rng.choice(keyed))
        elif what == "new row":
            self.leads += 1
            grid.add(
                rng.randint(0, len(grid.rows)), name=self.fresh("Lead"), email=f"{self.leads}@example.com",
                pipeline="Sales", value=self.number(),
            )  # fmt: skip
        elif what == "new deal":
            self.new_deal()
        elif what == "swap":
            one, other = rng.choice(keyed), rng.choice(keyed)
            grid.rows[one], grid.rows[other] = grid.rows[other], grid.rows[one]
            grid.touched()
        elif what == "note":
            grid.type(rng.choice(keyed), Notes=self.fresh("Note"))
        elif len(grid.header) < 14:
            grid.add_column(self.fresh("Column"), rng.randint(0, 3))

    def lose(self, what: str, at: int) -> None:
        """A person deletes a row, or clears its key; not one whose values are on their way."""
        grid = self.world.grid
        deal = str(grid.rows[at][grid.column("id")])
        if what == "delete row" and not self.is_edited(deal):
            self.untouchable.add(deal)
            grid.drop(at)
        elif what == "clear key" and not self.is_edited(deal, "name"):
            self.untouchable.add(deal)
            grid.type(at, id=None)

    def typed(self, name: str, what: str) -> Raw:
        """Something for a field."""
        if name == "status":
            return self.rng.choice(("won", "lost"))
        return self.number() if name == "value" else self.fresh(what)

    def fresh(self, what: str) -> str:
        """A text that nobody typed before."""
        self.serial += 1
        return f"{what} {self.serial}"

    def number(self) -> int:
        """Likewise a number."""
        self.serial += 1
        return 1000 + self.serial

    def new_deal(self) -> None:
        """Somebody makes a deal."""
        self.deals += 1
        self.world.deal(f"d{self.deals}", name=self.fresh("Deal"), value=self.number())

    def is_edited(self, deal: str, name: str = "") -> bool:
        """Whether somebody edited the deal, or this field of it, in this round."""
        return any(one == deal and name in ("", field) for one, field in self.edited)

    def edit_row(self, at: int) -> None:
        """A person types into a row."""
        grid = self.world.grid
        deal, name = str(grid.rows[at][grid.column("id")]), self.rng.choice(("name", "value", "status"))
        if (deal, name) in self.edited or deal in self.untouchable:
            return
        raw = self.typed(name, "Typed")
        grid.type(at, **{name: raw})
        self.edited.add((deal, name))
        self.expected[deal, name] = raw

    def edit_deal(self, deal: str) -> None:
        """A person edits a deal."""
        name = self.rng.choice(("name", "value", "status"))
        if (deal, name) in self.edited or (name == "name" and deal in self.untouchable):
            return
        raw = self.typed(name, "Named")
        self.world.crm.put(deal, **{name: raw})
        self.edited.add((deal, name))
        self.expected[deal, name] = raw

    # --- passes ---------------------------------------------------------------------------------------------------

    def troubled_pass(self) -> None:
        """One pass with something wrong, perhaps."""
        world, rng = self.world, self.rng
        trouble = rng.choice(("", "", "busy", "crash", "crash", "lost before", "lost after", "restart", "move"))
        world.grid.busy = "It is open." if trouble == "busy" else ""
        self.marks[trouble] += 1
        if trouble.startswith("lost"):
            world.grid.lost = [*[""] * rng.randint(0, 1), trouble.removeprefix("lost ")]
        if trouble == "crash":
            world.crash_at = len(world.steps) + rng.randint(1, 40)
        if trouble == "move":
            self.move_in(rng.randint(1, 30))
        try:
            world.run(rng.choice((1.0, 30.0, 60.0)))
        except Crash:
            pass
        finally:
            world.crash_at = None
            world.hooks = []
            world.grid.lost = []
            world.grid.busy = ""
        if trouble in ("crash", "restart"):
            world.restart()

    def move_in(self, step: int) -> None:
        """Somebody sorts the sheet while a pass runs; not between the read of a server's sheet and its write (LIMITS:
        that is repaired as far as it can be)."""
        seen: list[tuple[str, str]] = []

        def sort(who: str, verb: str, phase: str, what: object) -> None:
            seen.append((verb, phase) if who == "table" or not seen else seen[-1])
            window = self.world.grid.partial and seen[-1] in (("refresh", "after"), ("write", "before"))
            if len(seen) == step and not window:
                self.marks["moved during a pass"] += 1
                self.world.grid.sort("Name", backwards=bool(step % 2))

        self.world.hooks = [sort]

    def calm(self) -> None:
        """Nothing happens any more: both sides agree, with one row for each deal and one deal for each row."""
        world, grid = self.world, self.world.grid
        for _ in range(5):
            world.clock.advance(7200)
            result = world.run(90.0)
            assert result.error == "", result.error
        assert (result.code, result.unsettled, result.held) == (0, 0, []), result.findings
        key, name = grid.column("id"), grid.column("name")
        rows = [row for row in grid.rows if row[name]]
        assert sorted(str(row[key]) for row in rows) == sorted(world.crm.deals)
        assert len(world.crm.deals) == self.deals + self.leads
        world.agree(*sorted(world.crm.deals))
        for (deal, field), raw in self.expected.items():
            assert (world.crm.now(deal) or {})[field] == raw, (deal, field)
        before = world.writes()
        world.run(90.0)
        assert world.writes() == before


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_people_do_with_a_sheet(part: int, tmp_path: Path) -> None:
    marks: Counter[str] = Counter()
    for seed in range(part * SEEDS, (part + 1) * SEEDS):
        try:
            marks += Story(tmp_path / str(seed), seed).run()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
    assert [name for name in REQUIRED if not marks[name]] == []
