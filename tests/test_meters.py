"""syncd/meters.py, the store's counts, and the daemon's waits: what is counted, what survives, what it leads to."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd import http
from syncd.budget import LONGEST_SECONDS, Span
from syncd.crm import highlevel
from syncd.crm.highlevel import connect, daily_budget
from syncd.daemon import Daemon, Pulse
from syncd.meters import KEEP_EVERY, Ledger, Pacer, Standing, scope_of, standing
from syncd.model import Side
from syncd.pairs import Connection
from syncd.reconcile import PassResult
from syncd.report import budgets_json, budgets_lines, local, pace_sentence
from syncd.settings import PairSettings, Settings, load_settings
from syncd.store import CallCount, Store, StoreFailed
from syncd.tables import airtable
from syncd.tables.airtable import AirtableSide

NOON = datetime(2026, 11, 11, 12, tzinfo=UTC).timestamp()
TODAY, MONTH = "2026-11-11", "2026-11"
CRM, BASE = "highlevel:loc1", "airtable:app1"
TOML = """
state_dir = "{folder}"
interval = "60s"
"""
PAIR = """
[[pair]]
name = "{name}"
[pair.ghl]
location_id = "{location}"
token = "env:A_TOKEN"
[pair.table]
type = "airtable"
base_id = "{base}"
table = "{name}"
token = "env:A_TOKEN"
"""


@pytest.fixture(autouse=True)
def _at_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nights are local."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def settings_of(folder: Path, *pairs: str, plan: str = "") -> Settings:
    """A configuration; each pair is "name location base", all of them with this plan."""
    text = TOML.format(folder=folder / "state")
    for pair in pairs:
        name, location, base = pair.split()
        text += PAIR.format(name=name, location=location, base=base) + (f'plan = "{plan}"\n' if plan else "")
    path = folder / "syncd.toml"
    path.write_text(text)
    return load_settings(path, {})


def one_pair(folder: Path, plan: str = "") -> tuple[Settings, PairSettings]:
    """A configuration with one pair."""
    settings = settings_of(folder, "acme loc1 app1", plan=plan)
    return settings, settings.pair[0]


def opened(settings: Settings, pair: str = "acme") -> Store:
    """The store of a pair."""
    return Store(Path(settings.state_dir), pair)


def passed(store: Store, at: float, crm: int, table: int, *, error: str = "") -> None:
    """One pass that began at `at`, and what it cost."""
    store.end_pass(store.begin_pass(at), at + 1, {"calls": {"crm": crm, "table": table}}, error)


# --- counting --------------------------------------------------------------------------------------------------------


def headers(limit: object, left: object) -> dict[str, str]:
    """HighLevel's, of the day."""
    return {"x-ratelimit-limit-daily": str(limit), "x-ratelimit-daily-remaining": str(left)}


def test_calls_add_up_over_passes_periods_pairs_and_scopes(tmp_path: Path) -> None:
    with closing(Store(tmp_path, "one")) as one, closing(Store(tmp_path, "two")) as two:
        one.add_calls(BASE, MONTH, 4)
        two.add_calls(BASE, MONTH, 7, (100, 60))
        one.add_calls(BASE, MONTH, 1)
        one.add_calls(CRM, TODAY, 5, (200, 199))
        assert two.calls(BASE, MONTH) == CallCount(12, 100, 60), "what the server said last is kept"
        assert one.calls(CRM, TODAY) == CallCount(5, 200, 199)
        assert one.calls(BASE, "2026-12") == one.calls("airtable:app2", MONTH) == CallCount()
        two.add_calls(BASE, "2026-12", 3)
        assert one.calls(BASE, "2026-12") == CallCount(3), "a new month begins at nothing"
        assert one.calls(BASE, MONTH) == CallCount(), "the old one is forgotten"
        assert one.calls(CRM, TODAY).used == 5


def _add_many(folder: str, pair: str, times: int) -> None:
    with closing(Store(Path(folder), pair)) as store:
        for _ in range(times):
            store.add_calls(BASE, MONTH, 3)


def test_two_processes_lose_no_call_of_each_other(tmp_path: Path) -> None:
    Store(tmp_path, "first").close()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_many, args=(str(tmp_path), name, 60)) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with closing(Store(tmp_path, "first")) as store:
        assert store.calls(BASE, MONTH).used == 2 * 60 * 3


def test_a_killed_pass_loses_fewer_calls_than_the_ledger_holds_back(tmp_path: Path) -> None:
    settings, pair = one_pair(tmp_path)
    opened(settings).close()
    assert KEEP_EVERY <= 1_000
    ledger = Ledger(Path(settings.state_dir), pair, Side.TABLE, clock=lambda: NOON)
    ledger.keeping = True
    for number in range(1, 1_234):
        ledger.sent({})
        with closing(Store(Path(settings.state_dir), "acme", read_only=True)) as store:
            assert number - KEEP_EVERY < store.calls(BASE, MONTH).used <= number  # a crash would leave so much
    with closing(opened(settings)) as store:
        ledger.keep(store)
        ledger.keep(store)
        assert store.calls(BASE, MONTH) == CallCount(1_233)


def test_threads_share_a_ledger(tmp_path: Path) -> None:
    settings, pair = one_pair(tmp_path)
    ledger = Ledger(Path(settings.state_dir), pair, Side.CRM, told=daily_budget, clock=lambda: NOON)
    ledger.keeping = True

    def send() -> None:
        for _ in range(500):
            ledger.sent(headers(9, 4))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(opened(settings)) as store:
        ledger.keep(store)
        assert store.calls(CRM, TODAY) == CallCount(2_000, 9, 4)


def test_a_call_belongs_to_the_period_in_which_it_was_sent(tmp_path: Path) -> None:
    """Counted before midnight and kept after it: the new day does not begin with the old one's calls or limit."""
    settings, pair = one_pair(tmp_path)
    now = [NOON]
    ledger = Ledger(Path(settings.state_dir), pair, Side.CRM, told=daily_budget, clock=lambda: now[0])
    ledger.sent(headers(10, 0))
    now[0] += 86_400
    ledger.sent({})
    with closing(opened(settings)) as store:
        ledger.keep(store)
        assert store.calls(CRM, "2026-11-12") == CallCount(1)


def test_what_the_server_said_once_is_kept_once(tmp_path: Path) -> None:
    """An old word must not come again with later calls, over a newer one that another pair heard."""
    settings, pair = one_pair(tmp_path)
    ledger = Ledger(Path(settings.state_dir), pair, Side.CRM, told=daily_budget, clock=lambda: NOON)
    with closing(opened(settings)) as store:
        ledger.sent(headers(10, 4))
        ledger.keep(store)
        store.add_calls(CRM, TODAY, 1, (10, 2))
        ledger.sent({})
        ledger.keep(store)
        assert store.calls(CRM, TODAY) == CallCount(3, 10, 2)


def test_what_only_looks_keeps_nothing(tmp_path: Path) -> None:
    settings, pair = one_pair(tmp_path)
    ledger = Ledger(Path(settings.state_dir), pair, Side.TABLE)
    for _ in range(3 * KEEP_EVERY):
        ledger.sent({})
    assert not Path(settings.state_dir).exists()


def test_a_store_that_fails_costs_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be kept goes with the next, once."""
    settings, pair = one_pair(tmp_path)
    now = [NOON]
    ledger = Ledger(Path(settings.state_dir), pair, Side.TABLE, clock=lambda: now[0])
    with closing(opened(settings)) as store:
        ledger.sent({})
        now[0] += 30 * 86_400
        ledger.sent({})
        real, failures = store.add_calls, ["2026-12", "2026-11"]

        def failing(scope: str, period: str, used: int, told: tuple[int, int] | None = None) -> None:
            if period in failures:
                failures.remove(period)
                raise StoreFailed("full")
            real(scope, period, used, told)

        monkeypatch.setattr(store, "add_calls", failing)
        ledger.keep(store)  # fails at November
        assert (store.calls(BASE, "2026-11").used, store.calls(BASE, "2026-12").used) == (0, 0)
        ledger.keep(store)  # fails at December
        assert (store.calls(BASE, "2026-11").used, store.calls(BASE, "2026-12").used) == (1, 0)
        ledger.keep(store)
        assert store.calls(BASE, "2026-12").used == 1
        assert failures == []


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (headers(200_000, 199_999), (200_000, 199_999)),
        (headers(10_000, 0), (10_000, 0)),
        ({}, None),
        (headers("many", 3), None),
        (headers(10, 11), None),
        (headers(10, -1), None),
        (headers(0, 0), None),
        ({"x-ratelimit-daily-remaining": "5"}, None),
    ],
)
def test_what_highlevel_says_of_its_day(sent: Mapping[str, str], told: tuple[int, int] | None) -> None:
    assert daily_budget(sent) == told


# --- how budgets stand -----------------------------------------------------------------------------------------------


def stand(settings: Settings, pair: str = "acme", now: float = NOON) -> Standing:
    """How the budgets of a pair stand."""
    found = next(one for one in settings.pair if one.name == pair)
    with closing(opened(settings)) as store:
        return standing(store, settings.pair, found, settings.interval, now)


def test_nothing_changes_without_a_plan_and_far_from_the_daily_limit(tmp_path: Path) -> None:
    for plan in ("", "business", "enterprise"):
        settings, _ = one_pair(tmp_path, plan)
        with closing(opened(settings)) as store:
            store.add_calls(BASE, MONTH, 5_000_000)
            store.add_calls(CRM, TODAY, 1_000, (200_000, 150_000))
            passed(store, NOON - 120, 900, 800)
            passed(store, NOON - 60, 900, 800)
        found = stand(settings)
        assert (found.seconds, found.slowed_by) == (60.0, None)
        assert found.meters[Side.TABLE].limit is None
        pacer = Pacer(settings, settings.pair, lambda *_: pytest.fail("it said something"), lambda: NOON)
        assert pacer.due("acme") == 0.0


def test_what_a_pass_costs_is_that_of_all_pairs_that_share_the_scope(tmp_path: Path) -> None:
    """Two pairs on one base and two locations: the base's passes cost both; failed passes say nothing."""
    settings = settings_of(tmp_path, "acme loc1 app1", "beta loc2 app1", "gamma loc1 app3", plan="team")
    for name, crm, table in (("acme", 10, 51), ("beta", 20, 30), ("gamma", 7, 3)):
        with closing(opened(settings, name)) as store:
            for ago in (300, 240, 180):
                passed(store, NOON - ago, crm, table)
            for ago in (120, 90, 60):
                passed(store, NOON - ago, 1, 0, error="down")
    with closing(opened(settings)) as store:
        store.add_calls(BASE, MONTH, 5_000)
    found = stand(settings)
    assert found.calls == {CRM: 17, BASE: 81}
    assert "and a pass of each of its 2 pairs takes 81." in pace_sentence(found, "Airtable")
    assert found.seconds == stand(settings, "beta").seconds == pytest.approx(81 * (19.5 * 86_400) / 90_000)
    assert found.slowed_by is found.meters[Side.TABLE]
    gamma = stand(settings, "gamma")
    assert (gamma.calls, gamma.seconds) == ({CRM: 17, "airtable:app3": 3}, 60.0)


def test_a_plan_that_one_pair_names_holds_for_the_base(tmp_path: Path) -> None:
    text = TOML.format(folder=tmp_path / "state")
    for name, base, plan in (("acme", "app1", ""), ("beta", "app1", "team"), ("gamma", "app1", "free"), ("d", "x", "")):
        text += PAIR.format(name=name, location="loc1", base=base) + (f'plan = "{plan}"\n' if plan else "")
    (tmp_path / "syncd.toml").write_text(text)
    settings = load_settings(tmp_path / "syncd.toml", {})
    assert [stand(settings, name).meters[Side.TABLE].limit for name in ("acme", "beta", "gamma", "d")] == [
        *[1_000] * 3,
        None,
    ]


def test_what_highlevel_tells_counts_more_than_what_was_counted(tmp_path: Path) -> None:
    """Other programs use the location too, and a sandbox account has a smaller limit."""
    settings, pair = one_pair(tmp_path)
    with closing(opened(settings)) as store:
        store.add_calls(CRM, TODAY, 50)
        assert stand(settings).meters[Side.CRM].limit == 200_000
        store.add_calls(CRM, TODAY, 1, (10_000, 2_000))
    meter = stand(settings).meters[Side.CRM]
    assert (meter.used, meter.limit, meter.told, meter.span) == (8_000, 10_000, True, Span.DAY)
    assert scope_of(pair, Side.CRM) == CRM


# --- what people read ------------------------------------------------------------------------------------------------


def slowed(tmp_path: Path, used: int, plan: str = "team", table: int = 51) -> Settings:
    """A pair whose base has used so many calls of this month."""
    settings, _ = one_pair(tmp_path, plan)
    with closing(opened(settings)) as store:
        store.add_calls(BASE, MONTH, used)
        store.add_calls(CRM, TODAY, 1_234, (200_000, 198_766))
        for ago in (300, 200, 100):
            passed(store, NOON - ago, 5, table)
    return settings


def test_status_says_what_is_used_what_is_the_limit_and_what_it_will_come_to(tmp_path: Path) -> None:
    settings = slowed(tmp_path, 12_340, table=2)
    found = stand(settings)
    # 12 hours of this day and 19.5 days of this month are left, at a pass a minute of 5 and 2 calls
    assert budgets_lines(found, "Airtable") == [
        "  HighLevel: 1,234 of 200,000 calls today, 4,800 projected",
        "  Airtable: 12,340 of 100,000 calls this month, 68,000 projected",
    ]
    assert budgets_json(found, "Airtable") == {
        "budgets": [
            {"side": "crm", "scope": CRM, "period": TODAY, "used": 1_234, "limit": 200_000,
             "projected": 1_234 + 5 * 12 * 60, "runs_out": None},
            {"side": "table", "scope": BASE, "period": MONTH, "used": 12_340, "limit": 100_000,
             "projected": 12_340 + 2 * 39 * 12 * 60, "runs_out": None},
        ],
        "interval_seconds": 60.0,
        "slowed_by": "",
    }  # fmt: skip


def test_status_says_when_passes_are_slowed_down(tmp_path: Path) -> None:
    found = stand(slowed(tmp_path, 12_340))
    assert budgets_lines(found, "Airtable")[1:] == [
        "  Airtable: 12,340 of 100,000 calls this month, 95,000 projected",
        "  a pass every 17 min instead of every 60 s, so that Airtable's limit lasts: 12,340 of 100,000 calls this "
        "month, and a pass takes 51.",
    ]
    assert budgets_json(found, "Airtable")["interval_seconds"] == pytest.approx(51 * 19.5 * 86_400 / 82_660)


def test_status_says_when_a_limit_will_not_last(tmp_path: Path) -> None:
    """HighLevel's day, at a pass an hour: 20,000 calls beside the reserve last for ten of the twelve hours."""
    settings, _ = one_pair(tmp_path, "business")
    with closing(opened(settings)) as store:
        store.add_calls(CRM, TODAY, 170_000, (200_000, 30_000))
        for ago in (300, 200, 100):
            passed(store, NOON - ago, 2_000, 4)
    found = stand(settings)
    assert found.seconds == LONGEST_SECONDS
    assert f"used up about {local(NOON + 10 * 3_600)[:-3]}" in budgets_lines(found, "Airtable")[0]


def test_status_says_when_a_limit_is_used_up(tmp_path: Path) -> None:
    found = stand(slowed(tmp_path, 949, "free", 4))
    lines = budgets_lines(found, "Airtable")
    assert lines[1] == "  Airtable: 949 of 1,000 calls this month"
    assert lines[2].startswith("  Airtable's limit is almost used up: 949 of 1,000 calls this month. Passes wait until")
    assert budgets_json(found, "Airtable")["budgets"][1]["runs_out"] == NOON


def test_status_gives_the_count_alone_where_there_is_no_limit_or_no_pass_yet(tmp_path: Path) -> None:
    lines = budgets_lines(stand(slowed(tmp_path, 12_340, "business")), "Airtable")
    assert lines[1:] == ["  Airtable: 12,340 calls this month"]
    other, _ = one_pair(tmp_path, "team")
    with closing(Store(None, "acme")) as empty:
        found = standing(empty, other.pair, other.pair[0], 60.0, NOON)
    assert budgets_lines(found, "Airtable") == [
        "  HighLevel: 0 of 200,000 calls today",
        "  Airtable: 0 of 100,000 calls this month",
    ]


def test_highlevels_limit_has_sentences_too(tmp_path: Path) -> None:
    settings, _ = one_pair(tmp_path)
    with closing(opened(settings)) as store:
        passed(store, NOON - 120, 400, 2)
        passed(store, NOON - 60, 400, 2)
        store.add_calls(CRM, TODAY, 10, (200_000, 40_000))
        assert pace_sentence(stand(settings), "Airtable") == (
            "a pass every 10 min instead of every 60 s, so that HighLevel's limit lasts: 160,000 of 200,000 calls "
            "today, and a pass takes 400."
        )
        store.add_calls(CRM, TODAY, 10, (200_000, 10_100))
    assert pace_sentence(stand(settings), "Airtable") == (
        "HighLevel's limit is almost used up: 189,900 of 200,000 calls today, by all programs together. Until the "
        "limit begins anew, a pass comes every 60 min."
    )


def test_a_new_process_knows_what_another_one_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through `Connection`, which every command uses: pairs on the same base share its limit, others do not."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    for service in (airtable, highlevel):
        monkeypatch.setattr(service, "BUCKET_SECONDS", 3_600.0)  # however slow this machine is
    settings_of(tmp_path, "acme loc1 app1", "beta loc2 app1", "gamma loc3 app3", "delta loc1 app4")
    settings = load_settings(tmp_path / "syncd.toml", {"A_TOKEN": "pit-12345678"})

    def free(pair: int) -> tuple[bool, bool]:
        """Whether a process that begins now may send to HighLevel, and to Airtable, and does."""
        monkeypatch.setattr(http, "_buckets", {})
        with (
            closing(opened(settings, settings.pair[pair].name)) as store,
            Connection(settings, settings.pair[pair], threading.Event()) as connection,
        ):
            crm, table = connection.crm(), connection.table(store)
            assert isinstance(table, AirtableSide)
            places = [table.http.bucket.reserve() for _ in range(airtable.BUCKET_COUNT)]
            return crm.client.http.bucket.reserve() == 0, places == [0] * airtable.BUCKET_COUNT

    assert [free(pair) for pair in range(4)] == [(True, True), (True, False), (True, True), (True, True)]
    with connect("pit-12345678", "loc1", traced=True).http as other:
        assert [other.bucket.reserve() for _ in range(highlevel.BUCKET_COUNT - 2)] == [0] * (highlevel.BUCKET_COUNT - 2)
    assert [free(pair)[0] for pair in range(4)] == [False, True, True, False]


def test_full_passes_are_set_aside_and_come_less_often_where_a_month_would_not_last(tmp_path: Path) -> None:
    """One call an incremental pass, 201 a full one, of 1,000 a month: full passes take at most half of what is left."""
    settings, pair = one_pair(tmp_path, "free")
    with closing(opened(settings)) as store:
        for number, (table, full) in enumerate(((700, True), (201, True), (1, False), (1, False), (1, False))):
            at = NOON + 60 * number
            report = {"calls": {"crm": 1, "table": table}, "full": full}
            store.end_pass(store.begin_pass(at), at + 1, report, "")
        assert store.full_calls("acme") == {"crm": 1, "table": 201}, "the pass that filled the table says nothing"
        found = standing(store, [pair], pair, 60.0, NOON)
        rest = Span.MONTH.end(NOON) - NOON
        assert found.full_every == pytest.approx(200 / 475 * rest)
        assert found.seconds == pytest.approx(rest / 475)
        store.end_pass(store.begin_pass(NOON + 400), NOON + 401, {"calls": {"crm": 1, "table": 1}, "full": True}, "")
        assert standing(store, [pair], pair, 60.0, NOON).full_every == pair.full_every, "a sweep of one call is none"


# --- when the next pass may begin ------------------------------------------------------------------------------------


@dataclass
class Said:
    """A pacer, its clock, and what it said."""

    settings: Settings
    now: float = NOON

    def __post_init__(self) -> None:
        self.lines: list[str] = []
        self.pacer = Pacer(self.settings, self.settings.pair, self._hear, lambda: self.now)

    def _hear(self, name: str, found: Standing) -> None:
        self.lines.append(f"{name}: {pace_sentence(found, 'Airtable')}")

    def use(self, calls: int, period: str = MONTH) -> None:
        """Calls are made."""
        with closing(opened(self.settings)) as store:
            store.add_calls(BASE, period, calls)


def test_the_next_pass_waits_for_the_longer_interval_from_the_beginning_of_the_last(tmp_path: Path) -> None:
    said = Said(slowed(tmp_path, 12_340))
    assert said.pacer.due("acme") == pytest.approx(NOON - 100 + 51 * 19.5 * 86_400 / 82_660)
    # also after a restart: killing the daemon again and again must not use up the month
    assert Said(said.settings).pacer.due("acme") == said.pacer.due("acme")
    # a clock that was set back by a year does not make it wait for a year
    said.now -= 3 * 86_400
    assert said.now < said.pacer.due("acme") < said.now + 3_600


def test_a_used_up_month_waits_for_the_next_and_then_goes_on(tmp_path: Path) -> None:
    said = Said(slowed(tmp_path, 96_000))
    december = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert said.pacer.due("acme") == december
    said.now = december
    assert said.pacer.due("acme") < december, "at once"
    assert said.lines[0].startswith("acme: Airtable's limit is almost used up")
    assert said.lines[-1].startswith("acme: a pass every 72 min at night instead of every 60 s")


def test_where_the_server_said_so_a_pass_an_hour_asks(tmp_path: Path) -> None:
    settings, _ = one_pair(tmp_path)
    with closing(opened(settings)) as store:
        passed(store, NOON - 50, 5, 2)
        store.add_calls(CRM, TODAY, 10, (200_000, 0))
    assert Said(settings).pacer.due("acme") == NOON - 50 + LONGEST_SECONDS


def test_it_says_so_once_until_it_changes_materially(tmp_path: Path) -> None:
    said = Said(slowed(tmp_path, 12_340))
    for _ in range(5):
        said.pacer.due("acme")
    assert len(said.lines) == 1
    said.use(10_000)  # 14% longer
    said.pacer.due("acme")
    assert len(said.lines) == 1
    said.use(20_000)
    said.pacer.due("acme")
    said.use(60_000)
    said.pacer.due("acme")
    said.pacer.due("acme")
    assert [line.split(":")[1][:22] for line in said.lines] == [
        " a pass every 17 min i",
        " a pass every 27 min i",
        " Airtable's limit is a",
    ]
    said.now += 30 * 86_400
    with closing(opened(said.settings)) as store:
        for _ in range(3):
            passed(store, said.now, 5, 1)
    said.pacer.due("acme")
    assert said.lines[-1] == "acme: a pass every 60 s again."


def test_an_unreadable_store_slows_nothing_down(tmp_path: Path) -> None:
    settings, _ = one_pair(tmp_path, "free")
    assert Said(settings).pacer.due("acme") == 0.0, "no state yet"
    Path(settings.state_dir).mkdir()
    (Path(settings.state_dir) / "syncd.db").write_bytes(b"no database at all" * 100)
    assert Said(settings).pacer.due("acme") == 0.0


# --- the daemon ------------------------------------------------------------------------------------------------------


class FakeJob:
    """A job of APScheduler's."""

    def __init__(self, at: datetime) -> None:
        self.next_run_time = at

    def modify(self, next_run_time: datetime) -> None:
        self.next_run_time = next_run_time


class FakeScheduler:
    """The one call that the daemon makes after a pass."""

    def __init__(self, **jobs: FakeJob) -> None:
        self.jobs = jobs

    def get_job(self, id: str) -> FakeJob | None:
        return self.jobs.get(id.removeprefix("pair:"))


def daemon(due: Mapping[str, float], one: Any = None) -> Daemon:
    """A daemon with two pairs."""
    passes = {name: one or (lambda name=name: PassResult(name)) for name in ("acme", "beta")}
    return Daemon(
        passes,
        dict.fromkeys(passes, 60.0),
        stop=threading.Event(),
        pulse=Pulse(),
        report=lambda _result: None,
        due=lambda name: due.get(name, 0.0),
    )


def test_a_pair_that_fails_again_and_again_rests_ever_longer_and_the_others_do_not() -> None:
    """A server that is down must keep no thread from the others; the first failure costs no rest."""
    ended = [PassResult("acme", error="down")] * 5 + [PassResult("acme"), PassResult("acme", error="down")]
    results = iter(ended)
    made = daemon({})
    made.passes = {**made.passes, "acme": lambda: next(results)}
    made.scheduler = FakeScheduler(
        acme=FakeJob(datetime.fromtimestamp(0, UTC)), beta=FakeJob(datetime.fromtimestamp(0, UTC))
    )
    rests = []
    for _ in ended:
        made._one("acme")
        made._one("beta")
        rests.append(made.rest("acme"))
        assert made.rest("beta") == 0.0
    assert rests == [0.0, 120.0, 240.0, 300.0, 300.0, 0.0, 0.0]
    assert made.scheduler.jobs["acme"].next_run_time.timestamp() > time.time() - 60.0, "it was put off"
    assert made.scheduler.jobs["beta"].next_run_time == datetime.fromtimestamp(0, UTC)
    made.interval_seconds = {"acme": 900.0, "beta": 60.0}
    made.failures["acme"] = 9
    assert made.rest("acme") == 900.0, "never less often than each interval"


def _defect() -> PassResult:
    raise RuntimeError("a defect")


@pytest.mark.parametrize("one", [None, _defect], ids=["a pass", "a defect"])
def test_after_a_pass_the_next_is_put_off_as_far_as_budgets_ask_and_never_brought_forward(one: Any) -> None:
    tick = datetime.fromtimestamp(NOON + 60, UTC)
    for due, expected in ((0.0, 60), (NOON + 30, 60), (NOON + 1_000, 1_000), (NOON + 20 * 86_400, 20 * 86_400)):
        made = daemon({"acme": due}, one)
        made.scheduler = FakeScheduler(acme=FakeJob(tick), beta=FakeJob(tick))
        made._one("acme")
        made._one("beta")
        assert made.scheduler.jobs["acme"].next_run_time == datetime.fromtimestamp(NOON + expected, UTC)
        assert made.scheduler.jobs["beta"].next_run_time == tick, "the other pair goes on"
    made.scheduler = FakeScheduler()  # shut down meanwhile
    made._one("acme")


def test_the_scheduler_does_wait_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real scheduler: a pair that is slowed down begins when it may, not at its tick; the other is not held
    up."""
    begun: list[str] = []
    now = datetime.now(UTC)
    due = {"acme": (now + timedelta(days=20)).timestamp()}
    made = daemon(due)
    enough = threading.Event()

    def passing(name: str) -> PassResult:
        begun.append(name)
        if begun.count("beta") == 3 and "acme" not in begun:
            due["acme"] = 0.0
            job = made.scheduler.get_job("pair:acme")
            assert job.next_run_time > now + timedelta(days=19)
            job.modify(next_run_time=datetime.now(UTC))
        if "acme" in begun and begun[-1] == "beta":
            enough.set()
        return PassResult(name)

    made.passes = {name: (lambda name=name: passing(name)) for name in made.passes}  # type: ignore[misc]
    made.interval_seconds = dict.fromkeys(made.passes, 0.05)
    monkeypatch.setattr("syncd.daemon._watchdog_seconds", lambda: 0.05)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        assert enough.wait(60)
    finally:
        made.stop.set()
        thread.join()
    assert begun[:3] == ["beta"] * 3, "acme waits"
    assert "acme" in begun


def test_passes_come_more_often_while_people_edit_and_more_seldom_at_night(tmp_path: Path) -> None:
    settings = slowed(tmp_path, 12_340)
    even = stand(settings).seconds
    assert stand(settings).every == even
    night = stand(settings, now=NOON + 11 * 3_600)
    assert night.every == pytest.approx(3 * night.seconds)
    assert "at night instead of every 60 s" in budgets_lines(night, "Airtable")[2]
    with closing(opened(settings)) as store:
        report = {"calls": {"crm": 5, "table": 51}, "updated": {"crm": 1, "table": 0}}
        store.end_pass(store.begin_pass(NOON - 60), NOON - 59, report, "")
    busy = stand(settings)
    assert busy.every == pytest.approx(busy.seconds / 3)
    assert "while people edit instead of every 60 s" in budgets_lines(busy, "Airtable")[2]
    assert Said(settings).pacer.due("acme") == pytest.approx(NOON - 60 + busy.every)
    assert stand(settings, now=NOON + 3_600).every == pytest.approx(stand(settings, now=NOON + 3_600).seconds)


def test_highlevels_day_is_not_put_off_to_the_morning(tmp_path: Path) -> None:
    settings, _ = one_pair(tmp_path)
    late = NOON + 11 * 3_600
    with closing(opened(settings)) as store:
        store.add_calls(CRM, TODAY, 0, (200_000, 12_000))
        for ago in (300, 200, 100):
            passed(store, late - ago, 500, 5)
    found = stand(settings, now=late)
    assert found.slowed_by is not None
    assert found.every == found.seconds
