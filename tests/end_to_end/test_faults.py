"""Lost answers, servers that fail midway, refusals for all: nothing is written twice, lost, or taken for a deletion.

Each test ends with the faults gone: the next pass does exactly what was left, and one more writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.wire import Answer, Fault, Faulty, Request, serve
from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk
from tests.end_to_end.hooks import at_rest, fill_here, ids, intercept, lose, single_reads, written

NO_GUARD = "[pair.guard]\nmax_changes = 100000\nmax_share = 1.0"
KINDS: tuple[dict[str, Any], ...] = ({"cut": True}, {"status": 500}, {"status": 502}, {"status": 503})
LOST_KINDS = list(product(KINDS, ("before", "after")))  # 8 ways to lose an answer; every second one took effect
LOST_BATCHES = [LOST_KINDS[0], LOST_KINDS[1], LOST_KINDS[2], LOST_KINDS[7]]  # 4 of them, for ten rows each
SEARCH = "/opportunities/search"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A filled table of twelve deals."""
    with Desk(tmp_path) as rig:
        fill_here(rig)
        yield rig


def edit_both_sides(rig: Desk) -> tuple[str, str]:
    """A person edits one row, another one another deal; returns their ids, the row's first."""
    typed, moved = ids(rig)[:2]
    rig.type(typed, Value=rig.row(typed).get("Value", 0) + 1)
    rig.highlevel.person_edit(moved, name=f"{rig.read(moved, 'name')}!")
    return typed, moved


def carried(rig: Desk, typed: str, moved: str) -> None:
    """A pass carries exactly these two edits, and one more does nothing."""
    rig.expect(fired=[(typed, "monetaryValue")], cells=[(moved, "Name")])
    assert rig.sandbox.differences() == []


def failed(rig: Desk, *words: str, at_once: bool = False) -> None:
    """A pass ends with exit code 1 and one sentence that holds these words, without a traceback or a token; where it is
    to be `at_once`, the refused request was not repeated."""
    rig.sandbox.crm_http.log.clear()
    rig.sandbox.table_http.log.clear()
    ran = rig.run("--reconcile", "--json")
    assert ran.code == 1, ran
    refused = [line for http in (rig.sandbox.crm_http, rig.sandbox.table_http) for line in http.log if bad(line)]
    assert not at_once or len({(line.method, line.path, line.query, line.body) for line in refused}) == len(refused)
    assert ran.json["error"] in ran.err
    for word in words:
        assert word in ran.err
    for never in ("Traceback", rig.highlevel.token, rig.airtable.settings.token):
        assert never not in ran.out + ran.err


def bad(line: Any) -> bool:
    """Whether a request was refused, cut off, or redirected."""
    return not 200 <= line.status < 300


# --- lost answers ----------------------------------------------------------------------------------------------------


def test_lost_answers_to_new_rows(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=40) as rig:
        faults = [Fault("PATCH", contains="performUpsert", when=when, **kind) for kind, when in LOST_BATCHES]
        rig.sandbox.table_http.faults[:] = faults
        assert rig.reconcile()["created"] == {"crm": 0, "table": 40}
        assert len(rig.table_calls()) == 6  # only what had not arrived was made again, once that was known
        assert len(rig.airtable.rows(TABLE)) == 40
        assert {write.kind for write in rig.table_writes()} == {"create"}
        assert rig.fired() == []
        at_rest(rig)


def test_lost_answers_to_cells(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=40) as rig:
        rig.write_config(pair="", fields=NO_GUARD)
        fill_here(rig)
        rig.later(5.0)  # the cells were written long ago
        for number, deal in enumerate(ids(rig)):
            rig.highlevel.person_edit(deal, name=f"Renamed {number}")
        rig.sandbox.table_http.faults[:] = [Fault("PATCH", when=when, **kind) for kind, when in LOST_BATCHES]
        assert rig.reconcile()["updated"] == {"crm": 0, "table": 40}
        assert len(rig.table_calls()) == 6
        assert rig.fired() == []
        at_rest(rig)


def test_lost_answer_to_a_cell_that_syncd_wrote_a_moment_ago(tmp_path: Path) -> None:
    """The cell's modified time is that of syncd's own write right before: it shows no person's edit."""
    with Desk(tmp_path, deals=2) as rig:
        fill_here(rig)  # in the same second as the pass below
        deal = ids(rig)[0]
        rig.highlevel.person_edit(deal, name="Renamed at once")
        lose(rig.sandbox.table_http, "PATCH", "/v0/", lambda: None, effect=False)
        for _ in range(2):
            rig.reconcile()
        assert rig.read(deal, "name") == rig.row(deal)["Name"] == "Renamed at once"
        assert (rig.fired(), rig.crm_writes()) == ([], [])
        assert len(rig.table_calls()) == 2
        at_rest(rig)


def test_lost_answers_to_deals(rig: Desk) -> None:
    wanted = dict(zip(ids(rig), LOST_KINDS, strict=False))
    for deal, (kind, when) in wanted.items():
        rig.type(deal, Value=9_000, Status="won" if rig.read(deal, "status") != "won" else "lost")
        rig.sandbox.crm_http.faults.append(Fault("PUT", f"/opportunities/{deal}", when=when, **kind))
    rig.write_config(fields=NO_GUARD)
    rig.forget_log()
    rig.reconcile()
    assert len(rig.crm_writes()) == 12  # four had not arrived
    assert sorted(rig.fired()) == sorted(product(wanted, ("monetaryValue", "status")))
    rig.reconcile()
    assert len(rig.crm_writes()) == 12
    assert sorted(rig.fired()) == sorted(product(wanted, ("monetaryValue", "status")))  # each exactly once
    assert rig.table_writes() == []
    at_rest(rig)


def test_lost_answer_to_a_sync_cell(rig: Desk) -> None:
    first, second = ids(rig)[:2]
    for effect, deal in ((False, first), (True, second)):
        rig.forget_log()
        rig.type(deal, Status="no such status")
        lose(rig.sandbox.table_http, "PATCH", "/v0/", lambda: None, effect=effect)
        rig.reconcile(expect=None)
        assert len(rig.table_calls()) == 1
        rig.reconcile(expect=3)
        assert len(rig.table_calls()) == (1 if effect else 2)
        assert "open" in rig.row(deal)["Sync"]
    rig.rests(3)
    assert rig.fired() == []


@pytest.mark.parametrize("effect", [False, True], ids=["not done", "done"])
def test_person_edits_the_deal_after_a_write_that_was_lost(rig: Desk, effect: bool) -> None:
    same, other = ids(rig)[:2]
    crm = rig.sandbox.crm_http
    to, later = ("lost", "abandoned") if rig.read(same, "status") == "won" else ("won", "abandoned")
    rig.type(same, Status=to)
    lose(crm, "PUT", same, lambda: rig.highlevel.person_edit(same, status=later), effect=effect)
    new = "lost" if rig.read(other, "status") != "lost" else "won"
    rig.type(other, Status=new)
    lose(crm, "PUT", other, lambda: rig.highlevel.person_edit(other, name="Named meanwhile"), effect=effect)
    rig.forget_log()
    for _ in range(2):
        rig.reconcile()
    # The person's later status stays and comes to the row; the other deal has both edits.
    assert rig.read(same, "status") == rig.row(same)["Status"] == later
    assert rig.read(other, "status") == rig.row(other)["Status"] == new
    assert rig.row(other)["Name"] == "Named meanwhile"
    assert sorted(rig.fired()) == sorted([(other, "status"), *([(same, "status")] if effect else [])])
    assert len(rig.crm_writes()) == (2 if effect else 3)
    assert rig.cells() == sorted([(same, "Status"), (other, "Name")])
    at_rest(rig)


@pytest.mark.parametrize("effect", [False, True], ids=["not done", "done"])
def test_person_edits_the_row_after_a_write_that_was_lost(rig: Desk, effect: bool) -> None:
    same, other = ids(rig)[:2]
    rig.later(5.0)  # the cells were written long ago
    rig.highlevel.person_edit(same, monetaryValue=111)
    rig.highlevel.person_edit(other, monetaryValue=222)

    def meanwhile() -> None:
        rig.type(same, Value=333)
        rig.type(other, Name="Typed meanwhile")

    rig.forget_log()
    lose(rig.sandbox.table_http, "PATCH", "/v0/", meanwhile, effect=effect)
    for _ in range(2):
        rig.reconcile()
    assert rig.read(same, "monetaryValue") == rig.row(same)["Value"] == 333
    assert rig.read(other, "monetaryValue") == rig.row(other)["Value"] == 222
    assert rig.read(other, "name") == "Typed meanwhile"
    assert sorted(rig.fired()) == sorted([(same, "monetaryValue"), (other, "name")])
    assert len(rig.crm_writes()) == 2
    assert len(rig.table_calls()) == (1 if effect else 2)
    at_rest(rig)


# --- failures that pass ----------------------------------------------------------------------------------------------


def test_reads_are_repeated_and_one_pass_is_enough(rig: Desk) -> None:
    typed, moved = edit_both_sides(rig)
    rig.sandbox.crm_http.faults[:] = [
        Fault("GET", "/opportunities/pipelines", status=502),
        Fault("GET", "/users/", cut=True),
        Fault("GET", SEARCH, status=500, body=b"<html>oops</html>"),
        Fault("GET", SEARCH, cut=True),
        Fault("GET", f"/opportunities/{typed}", status=503),
    ]
    rig.sandbox.table_http.faults[:] = [
        Fault("GET", "/v0/meta/", status=503),
        Fault("GET", rig.sandbox.table_id, cut=True),
        Fault("GET", rig.sandbox.table_id, status=500),
    ]
    carried(rig, typed, moved)
    assert all(fault.times == 0 for http in (rig.sandbox.crm_http, rig.sandbox.table_http) for fault in http.faults)


def test_429_with_retry_after_is_waited_for(rig: Desk) -> None:
    typed, _ = edit_both_sides(rig)
    busy: dict[str, Any] = {"status": 429, "headers": {"Retry-After": "1"}, "body": {"message": "Too many requests"}}
    rig.sandbox.crm_http.faults[:] = [Fault("GET", SEARCH, **busy), Fault("PUT", typed, **busy)]
    rig.forget_log()
    rig.reconcile()
    assert rig.fired() == [(typed, "monetaryValue")]
    assert [line.status for line in rig.crm_writes()] == [429, 200]  # refused before anything happened: repeated
    at_rest(rig)


def test_quota_of_the_month_ends_the_pass_at_once(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=25) as rig:
        rig.airtable.set(monthly_limit=2)  # the listing and the first ten rows
        failed(rig, "month", "plan", at_once=True)
        assert len(rig.airtable.rows(TABLE)) == 10
        rig.forget_log()
        failed(rig, "month", at_once=True)
        rig.airtable.set(monthly_limit=None)
        rig.forget_log()
        assert rig.reconcile()["created"] == {"crm": 0, "table": 15}
        assert len(rig.table_calls()) == 2
        at_rest(rig)


def test_expired_offset_restarts_the_listing(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=105) as rig:
        fill_here(rig)
        typed, moved = edit_both_sides(rig)

        def expiring(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
            answer = pass_on(request)
            if not request.first("filterByFormula"):
                rig.airtable.expire_offsets()
            return answer

        stands = intercept(rig.sandbox.table_http, expiring, "GET", rig.sandbox.table_id, times=-1)
        failed(rig, "place")  # it never gets to the end: nothing is written, nothing taken for deleted
        assert (written(rig), single_reads(rig), rig.fired()) == ((0, 0), [], [])
        stands.times = 1
        carried(rig, typed, moved)
        assert stands.times == 0


def test_refused_in_the_midst_of_a_sweep(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=105) as rig:
        fill_here(rig)
        typed, moved = edit_both_sides(rig)
        page_two: dict[str, Any] = {"skip": 1, "times": -1}
        for http, path, status, body in (
            (rig.sandbox.crm_http, SEARCH, 401, {"statusCode": 401, "message": "Invalid JWT"}),
            (rig.sandbox.crm_http, SEARCH, 403, {"statusCode": 403, "message": "Forbidden resource"}),
            (rig.sandbox.table_http, rig.sandbox.table_id, 401, {"error": {"type": "AUTHENTICATION_REQUIRED"}}),
            (rig.sandbox.table_http, rig.sandbox.table_id, 403, {"error": {"type": "INVALID_PERMISSIONS"}}),
        ):
            http.faults[:] = [Fault("GET", path, status=status, body=body, **page_two)]
            failed(rig, "token" if status == 401 else "", at_once=True)
            assert http.faults[0].skip == 0
            assert (written(rig), single_reads(rig), rig.fired()) == ((0, 0), [], [])
            http.faults.clear()
        carried(rig, typed, moved)


def test_refused_in_the_midst_of_pushing(rig: Desk) -> None:
    for deal in ids(rig):
        rig.type(deal, Name=f"Typed {deal}")
    rig.write_config(fields=NO_GUARD)
    done = 0
    for status in (401, 403):
        body = {"statusCode": status, "message": "Invalid JWT" if status == 401 else "Forbidden resource"}
        rig.sandbox.crm_http.faults[:] = [Fault("PUT", status=status, body=body, skip=3, times=-1)]
        rig.forget_log()
        ran = rig.run("--reconcile", "--json")
        assert ran.code == (1 if status == 401 else 3), ran  # a permission is a person's to give
        assert len(rig.fired()) == 3
        assert len(rig.crm_writes()) == 4  # one was refused, and the others were not even tried
        done += 3
    rig.sandbox.crm_http.faults.clear()
    rig.forget_log()
    rig.reconcile()
    assert len(rig.fired()) == len(rig.crm_writes()) == 12 - done
    at_rest(rig)


class Elsewhere:
    """Another host: notes what reaches it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def handle(self, request: Request) -> Answer:
        """Takes anything."""
        self.requests.append(request)
        return Answer(200, {"opportunities": [], "records": []})


def test_redirects_are_not_followed(rig: Desk) -> None:
    typed, moved = edit_both_sides(rig)
    elsewhere = Elsewhere()
    with serve(elsewhere) as other:
        headers = {"Location": f"{other.url}/taken"}
        for http, method, path, status in (
            (rig.sandbox.crm_http, "GET", SEARCH, 302),
            (rig.sandbox.table_http, "GET", rig.sandbox.table_id, 301),
            (rig.sandbox.crm_http, "PUT", typed, 307),
        ):
            http.faults[:] = [Fault(method, path, status=status, headers=headers, times=-1)]
            failed(rig, "redirect", "base_url", at_once=True)
            http.faults.clear()
    assert elsewhere.requests == []
    assert rig.fired() == []
    rig.reconcile()
    assert rig.fired() == [(typed, "monetaryValue")]
    assert rig.cells() == [(moved, "Name")]
    at_rest(rig)


def test_html_with_status_200(rig: Desk) -> None:
    typed, _ = edit_both_sides(rig)
    page: dict[str, Any] = {"status": 200, "headers": {"Content-Type": "text/html"}, "body": b"<html>Welcome</html>"}
    for http, method, path, when in (
        (rig.sandbox.crm_http, "GET", "/opportunities/pipelines", "before"),
        (rig.sandbox.crm_http, "GET", SEARCH, "before"),
        (rig.sandbox.table_http, "GET", "/v0/meta/", "before"),
        (rig.sandbox.table_http, "GET", rig.sandbox.table_id, "before"),
    ):
        http.faults[:] = [Fault(method, path, when=when, times=-1, **page)]
        failed(rig)
        assert sum(path in line.path for line in http.log) == 1
        assert (written(rig), rig.fired()) == ((0, 0), [])
        http.faults.clear()
    # Both writes take effect and are answered with a page: looked up, not repeated.
    rig.sandbox.crm_http.faults[:] = [Fault("PUT", typed, when="after", **page)]
    rig.sandbox.table_http.faults[:] = [Fault("PATCH", "/v0/", when="after", **page)]
    for _ in range(2):
        rig.reconcile(expect=None)
    assert rig.fired() == [(typed, "monetaryValue")]
    assert written(rig) == (1, 1)
    at_rest(rig)


# --- failures that last ----------------------------------------------------------------------------------------------
#
# Each of these takes as long as reads are retried (about 15 s), or as a 429 asks to rest; they run side by side.


def down_midway(http_of: Callable[[Desk], Faulty], path: str, **fault: Any) -> Callable[[Desk], None]:
    """A filled table; then pages after the second fail, whatever is tried; then all is well again."""

    def case(rig: Desk) -> None:
        fill_here(rig)
        typed, moved = edit_both_sides(rig)
        http = http_of(rig)
        http.faults[:] = [Fault("GET", path, skip=2, times=-1, **fault)]
        failed(rig)
        assert (written(rig), single_reads(rig), rig.fired()) == ((0, 0), [], [])
        tried = [line for line in http.log if path in line.path]
        assert 5 <= len(tried) - 2 <= 6  # SPEC §3.5: at least 4 retries
        http.faults.clear()
        carried(rig, typed, moved)

    return case


def crm_down_before_the_first_fill(rig: Desk) -> None:
    """Two pages of three are no list of deals: no row is made of them."""
    rig.sandbox.crm_http.faults[:] = [Fault("GET", SEARCH, skip=2, times=-1, cut=True)]
    failed(rig, "HighLevel")
    assert rig.airtable.rows(TABLE) == {}
    rig.sandbox.crm_http.faults.clear()
    assert rig.reconcile()["created"]["table"] == len(rig.deals())
    at_rest(rig)


def table_down_while_filling(rig: Desk) -> None:
    """From the third batch on Airtable takes rows and answers nothing any more."""
    rig.sandbox.table_http.faults[:] = [
        Fault("PATCH", skip=2, times=1, cut=True, when="after"),
        Fault("GET", rig.sandbox.table_id, skip=1, times=-1, cut=True),
        Fault("PATCH", skip=2, times=-1, status=503),
    ]
    failed(rig, "Airtable")
    made = len(rig.airtable.rows(TABLE))
    assert made == 30
    rig.sandbox.table_http.faults.clear()
    rig.reconcile()
    assert [write.kind for write in rig.table_writes()] == ["create"] * len(rig.deals())
    at_rest(rig)


def crm_down_while_pushing(rig: Desk) -> None:
    """The third PUT takes effect without an answer, and from then on HighLevel is silent."""
    fill_here(rig)
    for deal in ids(rig)[:8]:
        rig.type(deal, Value=4711)
    rig.sandbox.crm_http.faults[:] = [
        Fault("PUT", skip=2, times=1, cut=True, when="after"),
        Fault("GET", "/opportunities/", skip=2 + 3 + 3, times=-1, status=502),
        Fault("PUT", skip=2, times=-1, status=502),
    ]
    failed(rig, "HighLevel")
    assert len(rig.fired()) == 3
    rig.sandbox.crm_http.faults.clear()
    rig.reconcile()
    assert sorted(rig.fired()) == [(deal, "monetaryValue") for deal in ids(rig)[:8]]
    assert len(rig.crm_writes()) == 6 + 5  # three were answered with 502, looked up and sent again
    at_rest(rig)


def too_many_requests(http_of: Callable[[Desk], Faulty], method: str, seconds: float) -> Callable[[Desk], None]:
    """429 to a write, from HighLevel without Retry-After or by Airtable's rate limit: waited for, within the pass."""

    def case(rig: Desk) -> None:
        fill_here(rig)
        typed, moved = edit_both_sides(rig)
        said = {"errors": [{"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"}]}
        body = said if method == "PATCH" else {"message": "Too many requests"}
        http = http_of(rig)
        http.faults[:] = [Fault(method, status=429, body=body)]
        rig.reconcile()
        refused, taken = [line.at for line in http.log if line.method == method]
        assert seconds <= taken - refused < seconds + 15.0
        assert rig.fired() == [(typed, "monetaryValue")]
        assert rig.cells() == [(moved, "Name")]
        assert sum(written(rig)) == 3
        at_rest(rig)

    return case


LASTING: dict[str, tuple[int, Callable[[Desk], None]]] = {
    "crm 500": (205, down_midway(lambda rig: rig.sandbox.crm_http, SEARCH, status=500)),
    "table cut": (205, down_midway(lambda rig: rig.sandbox.table_http, "/tbl", cut=True)),
    "crm down before the first fill": (205, crm_down_before_the_first_fill),
    "table down while filling": (55, table_down_while_filling),
    "crm down while pushing": (12, crm_down_while_pushing),
    "crm 429": (4, too_many_requests(lambda rig: rig.sandbox.crm_http, "PUT", 10.0)),
    "table 429": (4, too_many_requests(lambda rig: rig.sandbox.table_http, "PATCH", 30.0)),
}


def test_failures_that_last(tmp_path: Path) -> None:
    def run(name: str) -> None:
        deals, case = LASTING[name]
        folder = tmp_path / name.replace(" ", "_")
        folder.mkdir()
        with Desk(folder, deals=deals) as rig:
            case(rig)

    with ThreadPoolExecutor(len(LASTING)) as pool:
        ran = {name: pool.submit(run, name) for name in LASTING}
    failures = {name: future.exception() for name, future in ran.items() if future.exception()}
    if failures:
        raise ExceptionGroup(", ".join(failures), [one for one in failures.values() if isinstance(one, Exception)])
