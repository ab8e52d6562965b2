"""What kind of world a seed gives. Every knob is off in many seeds (a swarm): faults that never let up hide each other.

To add a knob: a field here, a line in `draw`, and whoever reads it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from random import Random
from typing import Final

from syncd.policy import Limits
from tests.memory import NO_LIMITS

SKEW_SECONDS: Final = 1.0
READ_LAGS: Final = (20.0, 60.0)


@dataclass(frozen=True, slots=True)
class Knobs:
    """All that is drawn before the first step. Rates are chances per step of the kind they belong to."""

    deals: int = 3
    passes: int = 12
    latency: float = 0.05  # seconds a request takes
    pauses: tuple[float, ...] = (60.0,)  # seconds between passes are drawn from these
    edits_between: float = 1.0  # mean number of people's actions between two passes
    edits_within: float = 0.0  # chance of one at any step of a pass
    automations: float = 0.0  # chance that an engine's write sets off a workflow that edits something
    vocabulary: float = 0.0  # share of people's actions that rename or remove stages, options, users
    keys: float = 0.0  # share of people's actions that copy rows or touch keys
    records: float = 0.0  # share that add, delete or restore deals and rows
    crashes: float = 0.0
    restarts: float = 0.0  # between two passes
    disk_full: float = 0.0
    stops: float = 0.0
    down: float = 0.0
    short_sweeps: float = 0.0
    expired: float = 0.0
    lost_before: float = 0.0
    lost_after: float = 0.0
    unread: float = 0.0
    hidden: float = 0.0
    refused_records: float = 0.0
    refused_columns: float = 0.0
    ignored: float = 0.0
    undated: float = 0.0  # the table gives no edit times for a while
    restores: float = 0.0  # an old database is put back
    lag: float = 0.0  # seconds that search is behind, at most
    read_lag: float = 60.0
    tie_crm: bool = True
    offsets: tuple[float, float] = (0.0, 0.0)  # how far the servers' clocks are off
    errors: tuple[float, float] = (0.0, 0.0)  # by how much we misjudge that
    selects: bool = False
    pipeline_column: bool = True
    precision: int = 2
    tidy_crm: str = ""
    tidy_table: str = ""
    own_clocks: bool = True
    guard: int = 1_000  # more changes of one field in one direction than this are held, if it is over the share, too
    deal_deleted: str = "keep"
    row_deleted: str = "restore"
    quiet: float = 0.0  # seconds for which a typed cell must rest
    leads: float = 0.0  # share of people's actions that type rows which become deals
    one_deal_a_contact: bool = False
    toggles: float = 0.0  # share of what automations set to and fro
    answers: float = 0.0  # share of people's actions that approve, refuse or resume
    incremental: bool = False  # passes look at what changed, as the daemon's do; a full one now and then
    full_every: float = 6 * 3600.0
    feed_lost: float = 0.0  # share of edits that a listing of changes never shows, or not in this pass
    feed_doubled: float = 0.0  # share of entries that are listed twice
    table_clock: bool = True  # off: as in a sheet, a cell was edited between two looks at it, nobody knows when
    busy: float = 0.0  # the table cannot be written for a while, though it can be read
    waits: float = 0.0  # a write that would have to wait is not made: 429, or no connection
    replans: bool = False  # plan each view twice more: again, and in another order (P10)

    def limits(self) -> Limits:
        """The guards' limits: where `guard` is small, all of them are."""
        small = self.guard < 10
        return Limits(self.guard, 0.2, 4, self.guard, 0.1, 1) if small else NO_LIMITS

    def shown(self) -> str:
        """The knobs that are not as usual, for a failing seed's story."""
        usual = asdict(Knobs())
        mine = asdict(self)
        return ", ".join(f"{f.name}={mine[f.name]}" for f in fields(self) if mine[f.name] != usual[f.name])


TIDY: Final = ("", "", "", "", "upper", "cut", "round", "trim")


def draw(seed: int) -> Knobs:
    """The knobs of a seed."""
    rng = Random(f"knobs {seed}")

    def rate(*values: float, off: float = 0.6) -> float:
        return 0.0 if rng.random() < off else rng.choice(values)

    read_lag = rng.choice(READ_LAGS)
    error = rng.choice((0.0, 0.0, SKEW_SECONDS / 2))
    offsets = [rng.choice((0.0, 0.0, 0.3, -7.25, 90.5)) for _ in range(2)]
    drawn = Knobs(
        deals=rng.randint(2, 6),
        passes=rng.randint(6, 24),
        latency=rng.choice((0.01, 0.05, 0.3)),
        pauses=rng.choice(((0.0, 1.0, 3.0), (1.0, 30.0), (5.0, 60.0), (0.0, 2.0, 70.0, 200.0), (60.0, 4000.0))),
        edits_between=rng.choice((0.3, 1.0, 2.0, 3.0)),
        edits_within=rate(0.004, 0.015, 0.05, off=0.3),
        automations=rate(0.05, 0.3, off=0.7),
        vocabulary=rate(0.03, 0.15),
        keys=rate(0.05, 0.2),
        records=rate(0.05, 0.2, off=0.4),
        crashes=rate(0.002, 0.01, 0.03, off=0.5),
        restarts=rate(0.1, off=0.8),
        disk_full=rate(0.005, 0.02, off=0.8),
        stops=rate(0.005, off=0.85),
        down=rate(0.005, 0.02),
        short_sweeps=rate(0.02, 0.1, off=0.7),
        expired=rate(0.02, 0.1, off=0.7),
        lost_before=rate(0.03, 0.15, off=0.5),
        lost_after=rate(0.03, 0.15, off=0.5),
        unread=rate(0.02, 0.08, off=0.7),
        hidden=rate(0.02, 0.1, off=0.7),
        refused_records=rate(0.03, 0.15, off=0.7),
        refused_columns=rate(0.02, 0.08, off=0.75),
        ignored=rate(0.03, 0.1, off=0.85),
        undated=rate(0.1, 0.3, off=0.85),
        restores=rate(0.1, 0.2, off=0.8),
        lag=rate(0.2, 2.0, 15.0, read_lag * 0.9, off=0.4),
        read_lag=read_lag,
        tie_crm=rng.random() < 0.7,
        offsets=(offsets[0], offsets[1]),
        errors=(rng.choice((error, -error)), rng.choice((0.0, error, -error)) if error < SKEW_SECONDS else 0.0),
        selects=rng.random() < 0.4,
        pipeline_column=rng.random() < 0.85,
        precision=rng.choice((2, 2, 2, 0, 1)),
        tidy_crm=rng.choice(TIDY),
        tidy_table=rng.choice(TIDY),
        own_clocks=rng.random() < 0.8,
        guard=rng.choice((1_000, 1_000, 1, 2)),
        deal_deleted=rng.choice(("keep", "delete_row")),
        row_deleted=rng.choice(("restore", "restore", "ignore", "abandon_deal", "delete_deal", "delete_deal")),
        quiet=rng.choice((0.0, 0.0, 5.0)),
        leads=rate(0.05, 0.2, 0.4, off=0.6),
        one_deal_a_contact=rng.random() < 0.3,
        toggles=rate(0.4, 0.8, off=0.85),
        answers=rate(0.1, 0.3, off=0.3),
        replans=rng.random() < 0.25,
        incremental=rng.random() < 0.5,
        full_every=rng.choice((6 * 3600.0, 6 * 3600.0, 600.0)),
        feed_lost=rate(0.05, 0.3, off=0.6),
        feed_doubled=rate(0.2, off=0.6),
        table_clock=rng.random() < 0.7,
        busy=rate(0.03, 0.1, off=0.7),
    )
    # Drawn apart, so that what the seeds of before are is left as it was.
    apart = Random(f"waits {seed}")
    drawn = replace(drawn, waits=apart.choice((0.05, 0.3)) if apart.random() < 0.3 else 0.0)
    # Between two looks nobody can tell whether somebody is still typing (LIMITS).
    return drawn if drawn.table_clock else replace(drawn, quiet=0.0)
