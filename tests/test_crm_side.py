"""syncd/crm/side.py: sweeps that miss nothing they could find, reads, and writes that name only what changed.

First against a scripted HighLevel, then against the sandbox over HTTP.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest

from syncd.at_rest import Sieve
from syncd.crm import highlevel
from syncd.crm.side import CONTACTS_ASKED_AT_MOST, FUTILE_SWEEPS, HighLevelSide
from syncd.fields import DEFAULT_COLUMNS, PIPELINE, Field
from syncd.http import Bucket
from syncd.model import ABSENT, Direction, Raw, Record, Side
from syncd.sandbox.data import make_location
from syncd.sandbox.highlevel import HighLevel
from syncd.sandbox.wire import Fault, Faulty, serve
from syncd.sides import CrmSide, Lost, Misconfigured, Patch, Person, Refused, SideDown, Unread, Written
from tests.stored import links_of

LOCATION = "ve9EPM428h8vShlRW1KT"
DEAL: dict[str, Any] = {
    "id": "d1",
    "name": "Acme – roof",
    "monetaryValue": 4200.5,
    "pipelineId": "p1",
    "pipelineStageId": "s1",
    "status": "open",
    "assignedTo": None,
    "source": None,
    "contactId": "c1",
    "locationId": LOCATION,
    "updatedAt": "2025-10-02T09:44:02.575Z",
    "lastStageChangeAt": "2025-10-02T09:44:02.122Z",
    "lastStatusChangeAt": "2025-10-02T09:31:30.255Z",
    "contact": {"id": "c1", "name": "Jo Park", "companyName": None, "email": "jo@x.y", "phone": "+1555"},
}
NAMES = tuple(name for name in DEFAULT_COLUMNS if name != PIPELINE)
FIELDS = tuple(Field(name, (name,), Direction.BOTH) for name in NAMES)
AT = {name: index for index, name in enumerate(NAMES)}

PIPELINES = [
    {"id": "p1", "name": "Sales  Pipeline ", "stages": [{"id": "s1", "name": "New", "position": 0}]},
    {"id": "p2", "name": "Côté", "stages": []},
    {"id": "p3", "name": "Twin", "stages": []},
    {"id": "p4", "name": " twin", "stages": []},
]


def deal(number: int, **more: Any) -> dict[str, Any]:
    """Deal number `number`, newest first in search, of a contact of its own; `more` replaces parts of it."""
    contact = more.get("contactId") or f"c{number}"
    embedded = {**DEAL["contact"], "id": contact}
    sort = [2_000_000 - number, contact]
    return {**DEAL, "id": f"d{number}", "contactId": contact, "contact": embedded, "sort": sort, **more}


def tie(number: int, at: int, contact: str) -> dict[str, Any]:
    """Deal number `number`, created `at` (ms) for a contact that may have several."""
    return deal(number, contactId=contact, sort=[at, contact])


class Location:
    """A scripted location: GET search with a cursor that skips ties, calls by id, and a hook for faults."""

    def __init__(self, deals: list[dict[str, Any]], *, drift: int = 0) -> None:
        self.deals = {one["id"]: one for one in sorted(deals, key=lambda one: (-one["sort"][0], one["sort"][1]))}
        self.drift = drift
        self.hook: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
        self.seen: list[httpx.Request] = []
        self.now = 1_790_000_000.0
        self.client = highlevel.connect(
            "pit-11111111-2222-3333-4444-555555555555",
            LOCATION,
            base_url="https://ghl.test",
            bucket=Bucket.unlimited(monotonic=lambda: self.now),
            transport=httpx.MockTransport(self.logged),
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            rng=lambda: 0.5,
        )

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def logged(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return self.handle(request)

    def side(self, pipelines: tuple[str, ...] | None = None, fields: tuple[Field, ...] = FIELDS) -> HighLevelSide:
        return HighLevelSide(self.client, fields, pipelines)

    def paths(self, method: str = "GET") -> list[str]:
        return [request.url.path for request in self.seen if request.method == method]

    def puts(self) -> list[Any]:
        return [json.loads(request.content) for request in self.seen if request.method == "PUT"]

    def handle(self, request: httpx.Request) -> httpx.Response:
        answer = self.hook(request)
        if answer is not None:
            return answer
        if request.url.path == "/opportunities/pipelines":
            return httpx.Response(200, json={"pipelines": PIPELINES})
        if request.url.path == "/users/":
            return httpx.Response(200, json={"users": [{"id": "u1", "name": "Dana"}]})
        if request.url.path == "/opportunities/search":
            return httpx.Response(200, json=self.search(dict(request.url.params)))
        if request.url.path.startswith("/contacts/"):
            found = {"id": request.url.path.rpartition("/")[2], "firstName": "Ann", "lastName": "Lee", "email": "e@x"}
            return httpx.Response(200, json={"contact": found})
        id = request.url.path.rpartition("/")[2]
        if id not in self.deals:
            return httpx.Response(404, json={"message": "not found", "code": "OPPORTUNITY_NOT_FOUND"})
        if request.method == "DELETE":
            del self.deals[id]
            return httpx.Response(200, json={"succeded": True})
        if request.method == "PUT":
            self.deals[id] = {**self.deals[id], **json.loads(request.content)}
        return httpx.Response(200, json={"opportunity": self.deals[id]})

    def search(self, asked: dict[str, str]) -> dict[str, Any]:
        rows = [
            one
            for one in self.deals.values()
            if asked.get("pipeline_id") in (None, one["pipelineId"])
            and asked.get("contact_id") in (None, one["contactId"])
        ]
        total, limit = len(rows) + self.drift, int(asked["limit"])
        if "startAfter" in asked and "startAfterId" in asked:
            after = (-int(asked["startAfter"]), asked["startAfterId"])
            rows = [one for one in rows if (-one["sort"][0], one["sort"][1]) > after]  # ties are skipped
        page, more = rows[:limit], len(rows) > limit
        meta: dict[str, Any] = {"total": total, "nextPage": 2 if more else None, "nextPageUrl": "x" if more else None}
        if page:
            meta |= {"startAfter": page[-1]["sort"][0], "startAfterId": page[-1]["sort"][1]}
        return {"opportunities": page, "meta": meta}


def swept(side: HighLevelSide) -> list[str]:
    return [record.id for record in side.sweep()]


# --- sweeping --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 250, 1234])
def test_a_sweep_finds_each_deal_once_within_its_budget_of_calls(count: int) -> None:
    location = Location([deal(number) for number in range(count)])
    ids = swept(location.side())
    assert sorted(ids) == sorted(location.deals)
    assert len(ids) == count
    assert len(location.seen) <= math.ceil(count / 100) + 2


def tied(places: list[int], each: int) -> Location:
    """250 deals of which `each` from each place on share one instant and one contact."""
    deals = [deal(number) for number in range(250)]
    for place in places:
        for number in range(place, place + each):
            deals[number] = tie(number, 2_000_000 - place, f"c{place}")
    return Location(deals)


@pytest.mark.parametrize("places", [[99], [98], [199], [97, 198]])
@pytest.mark.parametrize("each", [2, 5])
def test_deals_skipped_at_a_page_boundary_are_found_again(places: list[int], each: int) -> None:
    location = tied(places, each)
    side = location.side()
    first = swept(side)
    assert sorted(first) == sorted(location.deals)
    assert len(first) == len(set(first))
    before = len(location.seen)
    assert sorted(swept(side)) == sorted(location.deals)
    assert len(location.seen) - before <= 3 + len(places)  # it remembers whom to ask first


def test_ties_that_outgrow_a_page_are_found_as_far_as_a_cursor_goes() -> None:
    ties = [tie(number, 1_000_000, "csv") for number in range(150)]
    location = Location([*ties, *(deal(number) for number in range(200, 260))])
    found = swept(location.side())
    # 60 deals of their own and 40 ties on page one, the first 100 ties by contact. The others share one place in the
    # search's order, which no cursor can enter: they stay missing, and are known ones only suspected (SPEC §3.6).
    assert len(found) == len(set(found)) == 160
    assert "73" in {request.url.params["limit"] for request in location.seen}


def test_a_second_walk_finds_what_the_boundaries_contacts_cannot_tell() -> None:
    location = tied([99], 2)

    def hook(request: httpx.Request) -> httpx.Response | None:
        if "contact_id" in request.url.params:
            return httpx.Response(200, json={"opportunities": [], "meta": {"total": 0}})
        return None

    location.hook = hook
    assert sorted(swept(location.side())) == sorted(location.deals)


def test_a_boundary_whose_last_rows_share_their_place_is_looked_at_first() -> None:
    deals = [deal(number) for number in range(3000)]
    deals[2898:2901] = [tie(number, 2_000_000 - 2898, "csv") for number in range(2898, 2901)]
    location = Location(deals)
    assert len(swept(location.side())) == 3000
    assert len(location.seen) == 30 + 1  # 29 full pages, a short one, and the one contact


def test_contacts_are_asked_only_so_often() -> None:
    location = Location([deal(number) for number in range(100 * (CONTACTS_ASKED_AT_MOST + 10))], drift=1)
    swept(location.side())
    asked = [request.url.params["contact_id"] for request in location.seen if "contact_id" in request.url.params]
    assert len(asked) == len(set(asked)) == CONTACTS_ASKED_AT_MOST


@pytest.mark.parametrize("drift", [-3, 1, 5])
def test_a_total_that_drifts_is_no_error_and_costs_no_more_each_time(drift: int) -> None:
    location = Location([deal(number) for number in range(250)], drift=drift)
    side = location.side()
    for _ in range(3):
        before = len(location.seen)
        assert sorted(swept(side)) == sorted(location.deals)
    assert len(location.seen) - before <= 3 + 2


def test_a_drift_is_looked_into_again_after_a_while_or_when_it_changes() -> None:
    location = Location([deal(number) for number in range(250)], drift=1)
    side = location.side()

    def cost() -> int:
        before = len(location.seen)
        swept(side)
        return len(location.seen) - before

    dear = cost()
    assert dear > 5
    assert [cost() for _ in range(FUTILE_SWEEPS)] == [4] * FUTILE_SWEEPS  # the total counts one more: one more page
    assert cost() == dear
    assert cost() == 4
    location.drift = 2
    assert cost() == dear


def test_a_total_that_is_missing_is_no_error() -> None:
    rows = [deal(number) for number in range(3)]
    location = Location([])
    location.hook = lambda request: httpx.Response(200, json={"opportunities": rows})
    assert swept(location.side()) == ["d0", "d1", "d2"]


def test_a_cursor_that_repeats_ends_the_walk() -> None:
    rows = [deal(number) for number in range(100)]
    meta = {"total": 100, "startAfter": 1, "startAfterId": "c", "nextPage": 2}
    location = Location([])
    location.hook = lambda request: httpx.Response(200, json={"opportunities": rows, "meta": meta})
    assert len(swept(location.side())) == 100
    assert len(location.seen) == 2


def test_a_cursor_that_repeats_ends_the_walk_whatever_the_rows() -> None:
    location = Location([])

    def hook(request: httpx.Request) -> httpx.Response:
        rows = [deal(100 * len(location.seen) + number) for number in range(100)]
        meta = {"startAfter": 1, "startAfterId": "c", "nextPage": 2}
        return httpx.Response(200 if len(location.seen) < 9 else 400, json={"opportunities": rows, "meta": meta})

    location.hook = hook
    assert len(swept(location.side())) == 200


def test_a_server_that_repeats_a_page_under_new_cursors_does_not_hold_us_for_ever() -> None:
    rows = [deal(number) for number in range(100)]
    location = Location([])

    def hook(request: httpx.Request) -> httpx.Response:
        meta = {"startAfter": len(location.seen), "startAfterId": "c", "nextPage": 2}
        return httpx.Response(200, json={"opportunities": rows, "meta": meta})

    location.hook = hook
    assert len(swept(location.side())) == 100
    assert len(location.seen) == 2


def test_a_short_page_that_names_a_next_one_does_not_end_the_walk() -> None:
    location = Location([deal(number) for number in range(60)])

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.url.path == "/opportunities/search":
            return httpx.Response(200, json=location.search({**dict(request.url.params), "limit": "20"}))
        return None

    location.hook = hook
    assert len(swept(location.side())) == 60


def test_a_cursor_is_built_of_the_last_row_where_meta_has_none() -> None:
    location = Location([deal(number) for number in range(150)])

    def hook(request: httpx.Request) -> httpx.Response:
        answer = location.search(dict(request.url.params))
        return httpx.Response(200, json={"opportunities": answer["opportunities"], "meta": {"total": 150}})

    location.hook = hook
    assert len(swept(location.side())) == 150


def test_a_full_page_without_any_cursor_is_an_incomplete_sweep() -> None:
    rows = [{key: value for key, value in deal(number).items() if key != "sort"} for number in range(100)]
    location = Location([])
    location.hook = lambda request: httpx.Response(200, json={"opportunities": rows, "meta": {}})
    with pytest.raises(SideDown, match="incomplete"):
        swept(location.side())


BROKEN = [
    httpx.Response(502, text="<html>Bad gateway</html>"),
    httpx.Response(200, text="<html>hello</html>"),
    httpx.Response(200, text=""),
    httpx.Response(200, json={"meta": {"total": 0}}),
    httpx.Response(200, json={"opportunities": [{"name": "no id"}], "meta": {}}),
    httpx.Response(401, json={"message": "Invalid JWT"}),
    httpx.Response(401, json={"message": "The token is not authorized for this scope."}),
    httpx.Response(403, text="error code: 1010"),
    httpx.Response(404, json={"message": "Cannot GET /opportunities/search"}),
    httpx.Response(404, json={"code": "OPPORTUNITY_NOT_FOUND", "message": "x"}),
    httpx.Response(422, json={"message": ["limit is odd"]}),
    httpx.Response(429, json={}),
    httpx.Response(429, headers={"X-RateLimit-Daily-Remaining": "0"}),
    httpx.Response(302, headers={"Location": "https://elsewhere.test/"}),
    httpx.ReadError("reset"),
    httpx.ConnectError("refused"),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda part: f"{getattr(part, 'status_code', part)}")
@pytest.mark.parametrize("page", [0, 1, 2])
def test_an_error_that_persists_never_passes_for_the_end(broken: httpx.Response | Exception, page: int) -> None:
    location = Location([deal(number) for number in range(250)])
    calls = 0

    def hook(request: httpx.Request) -> httpx.Response | None:
        nonlocal calls
        calls += 1
        if calls <= page:
            return None
        if isinstance(broken, Exception):
            raise broken
        return httpx.Response(broken.status_code, headers=broken.headers, content=broken.content)

    location.hook = hook
    ids: list[str] = []
    with pytest.raises(SideDown) as caught:
        ids.extend(record.id for record in location.side().sweep())
    assert str(caught.value)[0].isupper()
    assert len(ids) in (0, 100, 199)  # pages overlap by a row


def test_an_error_that_passes_is_forgotten() -> None:
    location = Location([deal(number) for number in range(250)])
    faults = iter([None, 502, 503, None, 500, 429])

    def hook(request: httpx.Request) -> httpx.Response | None:
        status = next(faults, None)
        return None if status is None else httpx.Response(status, text="<html>")

    location.hook = hook
    assert len(swept(location.side())) == 250


def test_an_error_while_looking_for_skipped_deals_ends_the_sweep_too() -> None:
    location = Location([deal(number) for number in range(250)], drift=1)
    location.hook = lambda request: httpx.Response(500) if "contact_id" in request.url.params else None
    with pytest.raises(SideDown):
        swept(location.side())


def test_another_location_is_a_matter_of_the_configuration() -> None:
    location = Location([])
    location.hook = lambda request: httpx.Response(
        403, json={"message": "The token does not have access to this location."}
    )
    for call in (lambda: swept(location.side()), location.side().schema):
        with pytest.raises(Misconfigured, match="location"):
            call()


# --- pipelines and users ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Sales Pipeline", "SALES   pipeline", "p1", "  sales pipeline\u00a0"])
def test_a_pipeline_is_named_as_people_do(name: str) -> None:
    vocabulary = Location([]).side((name,)).schema()
    assert [(one.id, one.synced) for one in vocabulary.pipelines if one.synced] == [("p1", True)]
    assert len(vocabulary.pipelines) == 4


def test_a_pipeline_in_another_normal_form_is_found() -> None:
    vocabulary = Location([]).side(("Co\u0302te\u0301",)).schema()
    assert [one.id for one in vocabulary.pipelines if one.synced] == ["p2"]


@pytest.mark.parametrize(
    ("names", "said"),
    [(("Sales Pipeline", "Marketing"), "“Marketing”.*Sales Pipeline, Côté"), (("TWIN",), "p3, p4"), ((), "empty")],
)
def test_a_pipeline_that_is_not_there_or_twofold_is_named(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        Location([]).side(names).schema()


def test_without_a_setting_all_pipelines_are_synced_in_one_walk() -> None:
    location = Location([deal(1), deal(2, pipelineId="p2"), deal(3, pipelineId="brand new")])
    side = location.side()
    assert all(one.synced for one in side.schema().pipelines)
    records = list(side.sweep())
    assert [record.outside for record in records] == [None, None, None]
    assert location.paths().count("/opportunities/search") == 1
    assert "pipeline_id" not in location.seen[-1].url.params


def test_configured_pipelines_are_walked_one_by_one_and_others_are_outside() -> None:
    location = Location([deal(1), deal(2, pipelineId="p2"), deal(3, pipelineId="p3")])
    side = location.side(("Sales Pipeline", "Côté"))
    assert [(record.id, record.outside) for record in side.sweep()] == [("d1", None), ("d2", None)]
    asked = [request.url.params.get("pipeline_id") for request in location.seen]
    assert asked == [None, "p1", "p2"]  # the names first: nobody asked for the schema
    results = side.read(["d1", "d3"])
    assert isinstance(results["d3"], Record)
    assert results["d3"].outside == "p3"
    assert isinstance(results["d1"], Record)
    assert results["d1"].outside is None


def test_a_deal_that_moves_on_during_the_sweep_is_shown_once() -> None:
    location = Location([deal(1), deal(2, pipelineId="p2")])
    side = location.side(("Sales Pipeline", "Côté"))

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.url.params.get("pipeline_id") == "p2":
            location.deals["d1"] = {**location.deals["d1"], "pipelineId": "p2"}
        return None

    location.hook = hook
    assert swept(side) == ["d1", "d2"]


def test_users_are_read_only_where_an_owner_is_a_field() -> None:
    location = Location([])
    assert [user.name for user in location.side().schema().users] == ["Dana"]
    side = location.side(fields=tuple(one for one in FIELDS if one.name != "owner"))
    before = len(location.seen)
    assert side.schema().users == ()
    assert len(location.seen) - before == 1


def test_the_scope_for_users_is_named() -> None:
    location = Location([])
    refusal = {"message": "The token is not authorized for this scope."}
    location.hook = lambda request: httpx.Response(401, json=refusal) if "users" in request.url.path else None
    with pytest.raises(Misconfigured, match=r"users\.readonly"):
        location.side().schema()


def test_an_unknown_field_is_a_matter_of_the_configuration() -> None:
    with pytest.raises(Misconfigured, match="“colour”"):
        Location([]).side(fields=(Field("colour", ("Colour",), Direction.BOTH),))


# --- records ---------------------------------------------------------------------------------------------------------


def one_record(location: Location, id: str = "d1", fields: tuple[Field, ...] = FIELDS) -> Record:
    record = location.side(fields=fields).read([id])[id]
    assert isinstance(record, Record)
    return record


def test_a_record_holds_raw_values_in_the_order_of_the_fields() -> None:
    record = one_record(Location([deal(1, assignedTo="u1", source="ads")]))
    assert dict(zip(NAMES, record.raw, strict=True)) == {
        "name": "Acme – roof",
        "stage": ["p1", "s1"],
        "status": "open",
        "value": 4200.5,
        "owner": "u1",
        "contact": "Jo Park",
        "email": "jo@x.y",
        "phone": "+1555",
        "company": None,
        "source": "ads",
    }
    assert record.title == "Acme – roof"
    assert record.lacks == frozenset()
    some = (FIELDS[AT["status"]], FIELDS[AT["name"]])
    assert one_record(Location([deal(1)]), fields=some).raw == ("open", "Acme – roof")


def test_each_field_has_its_own_clock() -> None:
    stage, status, updated = "2026-01-03T00:00:00.500Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00.499Z"
    record = one_record(Location([deal(1, lastStageChangeAt=stage, lastStatusChangeAt=status, updatedAt=updated)]))
    day = 86_400
    start = 1_767_225_600.0  # 2026-01-01
    assert record.clocks[AT["stage"]] == start + 2 * day + 0.5
    assert record.clocks[AT["status"]] == start + day
    assert record.clocks[AT["value"]] == record.clocks[AT["email"]] == start + 2 * day + 0.499
    assert record.stamp == start + 2 * day + 0.5  # the newest, although updatedAt is older (ghl.md §4)
    bare = one_record(Location([deal(1, lastStageChangeAt=None, lastStatusChangeAt=None, updatedAt=updated)]))
    assert set(bare.clocks) == {start + 2 * day + 0.499}
    none = one_record(Location([deal(1, lastStageChangeAt=None, lastStatusChangeAt=7e99, updatedAt="soon")]))
    assert none.clocks[AT["name"]] is None
    nothing = one_record(Location([deal(1, lastStageChangeAt=None, lastStatusChangeAt=None, updatedAt=None)]))
    assert nothing.stamp is None


@pytest.mark.parametrize(
    ("key", "field"),
    [("name", "name"), ("status", "status"), ("pipelineId", "stage"), ("pipelineStageId", "stage"),
     ("monetaryValue", "value"), ("assignedTo", "owner"), ("source", "source")],
)  # fmt: skip
def test_a_wrong_type_is_unknown_and_never_an_empty_value(key: str, field: str) -> None:
    assert one_record(Location([deal(1, **{key: {"odd": 1}})])).lacks == {AT[field]}


@pytest.mark.parametrize("key", ["name", "status", "pipelineId", "pipelineStageId"])
def test_what_every_deal_has_is_unknown_where_it_is_left_out(key: str) -> None:
    one = deal(1)
    del one[key]
    assert len(one_record(Location([one])).lacks) == 1


@pytest.mark.parametrize("key", ["monetaryValue", "assignedTo", "source"])
def test_what_may_be_empty_is_empty_where_it_is_left_out(key: str) -> None:
    one = deal(1)
    del one[key]
    record = one_record(Location([one]))
    assert record.lacks == frozenset()
    assert {None} <= {record.raw[AT["value"]], record.raw[AT["owner"]], record.raw[AT["source"]]}


def test_repeated_texts_are_kept_once() -> None:
    location = Location([deal(1, assignedTo="user-1"), deal(2, assignedTo="user-1")])
    first, second = location.side().sweep()
    for name in ("status", "owner"):
        assert first.raw[AT[name]] is second.raw[AT[name]]
    assert cast(list[str], first.raw[AT["stage"]])[1] is cast(list[str], second.raw[AT["stage"]])[1]


# --- contacts --------------------------------------------------------------------------------------------------------

OF_CONTACT = frozenset(AT[name] for name in ("contact", "email", "phone", "company"))


def test_a_contact_that_the_answer_lacks_is_fetched_by_a_read_but_not_by_a_sweep() -> None:
    location = Location([deal(1, contact=None), deal(2, contact={"id": "c2"})])
    side = location.side()
    assert [record.lacks for record in side.sweep()] == [OF_CONTACT, OF_CONTACT]
    assert len(location.seen) == 1
    for id in ("d1", "d2"):
        record = side.read([id])[id]
        assert isinstance(record, Record)
        assert record.lacks == frozenset()
        assert record.raw[AT["contact"]] == "Ann Lee"
        assert record.raw[AT["email"]] == "e@x"
        assert record.raw[AT["phone"]] is None
    assert len(location.seen) == 5


def test_no_contact_is_fetched_that_no_field_needs() -> None:
    location = Location([deal(1, contact=None)])
    assert one_record(location, fields=FIELDS[:4]).lacks == frozenset()
    assert len(location.seen) == 1


def test_a_deal_without_a_contact_has_empty_contact_fields() -> None:
    record = one_record(Location([deal(1) | {"contact": None, "contactId": None}]))
    assert record.lacks == frozenset()
    assert record.raw[AT["email"]] is None


@pytest.mark.parametrize("status", [401, 404])
def test_a_contact_that_cannot_be_read_stays_unknown_and_the_rest_is_read(status: int) -> None:
    location = Location([deal(1, contact=None)])
    said = "The token is not authorized for this scope." if status == 401 else "Contact not found"
    location.hook = lambda request: (
        httpx.Response(status, json={"message": said}) if "/contacts/" in request.url.path else None
    )
    side = location.side()
    for _ in range(2):
        record = side.read(["d1"])["d1"]
        assert isinstance(record, Record)
        assert record.lacks == OF_CONTACT
        assert record.raw[AT["name"]] == "Acme – roof"
    assert len(location.paths()) == (3 if status == 401 else 4)  # a missing scope is not asked for again


def test_a_wrong_type_in_a_contact_is_unknown() -> None:
    record = one_record(Location([deal(1) | {"contact": {"id": "c1", "name": "Jo", "email": 7}}]))
    assert record.lacks == {AT["email"]}


# --- reading by id ---------------------------------------------------------------------------------------------------


def test_only_the_code_makes_a_deal_absent() -> None:
    assert Location([]).side().read(["gone"]) == {"gone": ABSENT}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"message": "Cannot GET /opportunities/x"}),
        (404, {"message": "Not Found"}),
        (404, {"message": "Contact not found"}),
        (400, {"message": "The opportunity id is invalid."}),
        (400, {"message": "x", "code": "OPPORTUNITY_NOT_FOUND"}),
        (403, {"message": "The token does not have access to this location."}),
        (403, {"message": "no"}),
        (422, {"message": ["id is odd"]}),
        (200, {}),
        (200, {"opportunity": None}),
        (200, {"opportunity": {"id": "another"}}),
        (200, {"opportunity": {**DEAL, "id": "x", "locationId": "elsewhere"}}),
        (200, "<html>"),
    ],
    ids=str,
)
def test_every_other_refusal_of_one_deal_is_unknown(status: int, body: Any) -> None:
    location = Location([deal(1)])
    text = body if isinstance(body, str) else json.dumps(body)
    location.hook = lambda request: httpx.Response(status, text=text) if request.url.path.endswith("/x") else None
    results = location.side().read(["x", "d1"])
    assert isinstance(results["x"], Unread)
    assert isinstance(results["d1"], Record)


@pytest.mark.parametrize("id", ["", "..", "."])
def test_what_is_no_id_is_unknown(id: str) -> None:
    assert isinstance(Location([]).side().read([id])[id], Unread)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"message": "Invalid JWT"}),
        (401, {"message": "The token is not authorized for this scope."}),
        (401, {"message": "version header is invalid"}),
        (403, "error code: 1010"),
        (502, "<html>"),
        (429, {}),
    ],
    ids=str,
)
def test_what_holds_for_every_deal_ends_the_pass(status: int, body: Any) -> None:
    location = Location([deal(1), deal(2)])
    text = body if isinstance(body, str) else json.dumps(body)
    location.hook = lambda request: httpx.Response(status, text=text)
    side = location.side()
    with pytest.raises(SideDown):
        side.read(["d1", "d2"] if status == 502 else ["d1"])  # a fault at one deal may be its own
    if status != 502:  # a 502 to a write is another matter: its outcome is unknown
        if "scope" in text:
            assert side.write([Patch("d1", {0: "x"})]) == [Refused(_scope_sentence(side), everyone=True)]
        else:
            with pytest.raises(SideDown):
                side.write([Patch("d1", {0: "x"})])


def _scope_sentence(side: HighLevelSide) -> str:
    return str(highlevel.MissingScope("opportunities.write"))


# --- writing ---------------------------------------------------------------------------------------------------------


def change(**values: Any) -> Patch:
    return Patch("d1", {AT[name]: value for name, value in values.items()})


@pytest.mark.parametrize(
    ("patch", "body"),
    [
        (change(name="New"), {"name": "New"}),
        (change(stage=["p2", "s9"]), {"pipelineId": "p2", "pipelineStageId": "s9"}),
        (change(status="won"), {"status": "won"}),
        (change(value=12.5), {"monetaryValue": 12.5}),
        (change(value="12.50"), {"monetaryValue": 12.5}),
        (change(value=7.0), {"monetaryValue": 7}),
        (change(value=0), {"monetaryValue": 0}),
        (change(value=None), {"monetaryValue": 0}),
        (change(owner="u1"), {"assignedTo": "u1"}),
        (change(owner=None), {"assignedTo": None}),
        (change(owner=""), {"assignedTo": None}),
        (change(source="ads"), {"source": "ads"}),
        (change(status="lost", value=1, name="B"), {"status": "lost", "monetaryValue": 1, "name": "B"}),
    ],
    ids=str,
)
def test_a_write_is_one_put_that_names_the_changed_fields_alone(patch: Patch, body: dict[str, Any]) -> None:
    location = Location([deal(1), deal(2)])
    (result,) = location.side().write([patch])
    assert location.puts() == [body]
    assert isinstance(result, Written)
    assert result.record == one_record(location)
    assert location.paths() == ["/opportunities/d1"]  # that last read alone: the answer held the deal


@pytest.mark.parametrize(
    ("patch", "field", "everyone"),
    [
        (change(value="much"), "value", False),
        (change(value=float("nan")), "value", False),
        (change(value=True), "value", False),
        (change(stage="s1"), "stage", False),
        (change(stage=["p1", None]), "stage", False),
        (change(stage=["", "s1"]), "stage", False),
        (change(status="all"), "status", False),
        (change(status=None), "status", False),
        (change(name=""), "name", False),
        (change(email="a@b"), "email", True),
    ],
    ids=str,
)
def test_what_no_deal_can_hold_is_never_sent(patch: Patch, field: str, everyone: bool) -> None:
    location = Location([deal(1)])
    (result,) = location.side().write([patch])
    assert isinstance(result, Refused)
    assert result.fields == {AT[field]}
    assert result.everyone is everyone
    assert location.seen == []


@pytest.mark.parametrize(
    "answer",
    [
        {"succeded": True},
        {"opportunity": {"id": "d1", "name": "New"}},
        {"opportunity": {key: value for key, value in deal(1).items() if key != "monetaryValue"}},
        {"opportunity": {**deal(1), "id": "d2"}},
        "<html>",
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_deal_that_the_answer_does_not_show_whole_is_read_back(answer: Any) -> None:
    location = Location([deal(1)])

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PUT":
            return None
        location.deals["d1"] |= json.loads(request.content)
        return httpx.Response(200, text=answer if isinstance(answer, str) else json.dumps(answer))

    location.hook = hook
    (result,) = location.side().write([change(name="New")])
    assert isinstance(result, Written)
    assert result.record.raw == one_record(location).raw
    assert result.record.raw[AT["name"]] == "New"
    assert len(location.puts()) == 1


def test_a_contact_missing_from_the_answer_to_a_write_is_not_fetched() -> None:
    location = Location([deal(1, contact=None)])
    (result,) = location.side().write([change(name="New")])
    assert isinstance(result, Written)
    assert result.record.lacks == OF_CONTACT
    assert location.paths() == []


@pytest.mark.parametrize("then", ["gone", "broken", "unread"])
def test_a_write_that_cannot_be_read_back_is_lost_not_refused(then: str) -> None:
    location = Location([deal(1)])

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT":
            return httpx.Response(200, json={})
        if then == "broken":
            return httpx.Response(500)
        body = {"code": "OPPORTUNITY_NOT_FOUND"} if then == "gone" else {"message": "what?"}
        return httpx.Response(404, json=body)

    location.hook = hook
    assert isinstance(location.side().write([change(name="New")])[0], Lost)


@pytest.mark.parametrize("failure", [httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut"), 500, 502])
def test_a_write_without_an_answer_is_lost_and_not_repeated(failure: Exception | int) -> None:
    location = Location([deal(1)])

    def hook(request: httpx.Request) -> httpx.Response:
        if isinstance(failure, Exception):
            raise failure
        return httpx.Response(failure)

    location.hook = hook
    (result,) = location.side().write([change(name="New")])
    assert isinstance(result, Lost)
    assert len(location.seen) == 1


def test_a_write_that_was_never_sent_ends_the_pass() -> None:
    location = Location([deal(1)])

    def hook(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    location.hook = hook
    with pytest.raises(SideDown):
        location.side().write([change(name="New")])


def refusing(status: int, body: Any) -> Location:
    location = Location([deal(1)])
    location.hook = lambda request: httpx.Response(status, json=body) if request.method != "GET" else None
    return location


@pytest.mark.parametrize(
    ("status", "body", "fields", "everyone", "said"),
    [
        (422, {"message": ["monetaryValue must be a number\x1b[0m"]}, ("value",), False, "monetaryValue must be"),
        (400, {"message": "The pipeline stage id s9 is invalid."}, (), False, "stage id s9"),
        (422, {"message": ["pipelineStageId is odd", "name is long"]}, ("stage", "name"), False, "odd"),
        (422, {"message": ["property name should not exist"]}, ("name",), True, "should not exist"),
        (401, {"message": "The token is not authorized for this scope."}, (), True, "opportunities.write"),
        (403, {"message": "You may not"}, (), True, "You may not"),
        (404, {"message": "Cannot PUT /opportunities/d1"}, (), True, "version"),
        (404, {"code": "OPPORTUNITY_NOT_FOUND"}, (), False, "gone"),
        (404, {"message": "Contact not found"}, (), False, "contact"),
        (409, {"message": "busy"}, (), False, "busy"),
    ],
    ids=str,
)
def test_a_refusal_says_whose_fault_it_is(
    status: int, body: Any, fields: tuple[str, ...], everyone: bool, said: str
) -> None:
    location = refusing(status, body)
    (result,) = location.side().write([change(name="x", value=1, stage=["p1", "s9"])])
    assert isinstance(result, Refused)
    assert result.fields == {AT[name] for name in fields}
    assert result.everyone is everyone
    assert said in result.sentence
    assert result.sentence.isprintable()
    assert len(location.puts()) == 1


def clearing(accepts: set[str | None]) -> Location:
    location = Location([deal(1, assignedTo="u1")])

    def hook(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT" and json.loads(request.content).get("assignedTo", "x") not in {*accepts, "x"}:
            return httpx.Response(422, json={"message": ["assignedTo must be a string"]})
        return None

    location.hook = hook
    return location


def test_an_owner_is_cleared_with_null_or_else_with_an_empty_text_which_is_remembered() -> None:
    location = clearing({""})
    side = location.side()
    for _ in range(2):
        (result,) = side.write([change(owner=None, name="x")])
        assert isinstance(result, Written)
        assert result.record.raw[AT["owner"]] is None
    assert [body["assignedTo"] for body in location.puts()] == [None, "", ""]
    assert all(body["name"] == "x" for body in location.puts())


def test_an_owner_that_cannot_be_cleared_is_refused_after_two_tries() -> None:
    location = clearing(set())
    (result,) = location.side().write([change(owner=None)])
    assert isinstance(result, Refused)
    assert result.fields == {AT["owner"]}
    assert len(location.puts()) == 2


def test_a_refusal_of_another_field_does_not_try_the_empty_owner() -> None:
    location = refusing(422, {"message": ["name is long"]})
    assert isinstance(location.side().write([change(owner=None, name="x")])[0], Refused)
    assert len(location.puts()) == 1


def test_nothing_to_write_is_never_an_empty_put() -> None:
    location = Location([deal(1)])
    (result,) = location.side().write([Patch("d1", message="hello")])
    assert isinstance(result, Written)
    assert location.puts() == []


def test_deleting() -> None:
    location = Location([deal(1)])
    side = location.side()
    assert isinstance(side.delete("d1"), Written)
    assert side.delete("d1") is ABSENT
    assert location.deals == {}
    assert isinstance(refusing(403, {"message": "no"}).side().delete("d1"), Refused)
    assert isinstance(refusing(500, {}).side().delete("d1"), Lost)
    with pytest.raises(SideDown):
        refusing(401, {"message": "Invalid JWT"}).side().delete("d1")


def test_what_highlevel_does_not_have() -> None:
    location = Location([])
    side = location.side()
    assert side.edited([]) == {}
    assert location.seen == []


def test_it_is_a_side() -> None:
    side: CrmSide = Location([]).side()  # mypy compares the verbs
    assert (side.side, side.label, side.write_batch, side.read_batch) == (Side.CRM, "HighLevel", 1, 1)
    assert side.identity == LOCATION
    side.use(FIELDS[:1])
    assert not side.schema().users  # nobody needs their names: the table has no such column


def test_calls_and_clock() -> None:
    location = Location([deal(1)])
    side = location.side()
    failures = iter([500, 502])
    location.hook = lambda request: httpx.Response(status) if (status := next(failures, 0)) else None
    swept(side)
    assert side.calls == 3
    assert side.clock_offset == 0


# --- making ----------------------------------------------------------------------------------------------------------

JO = Person("Jo Park", "jo+1@x.example", "+15550100", "Acme")
ROOF: dict[int, Raw] = {AT["name"]: "Roof", AT["stage"]: ["p1", "s1"], AT["status"]: "open"}


class Desk:
    """The location's calls about contacts and new deals, scripted; what was sent, and what is answered."""

    def __init__(self, *, found: dict[str, str] | None = None, **answers: tuple[int, Any]) -> None:
        self.found, self.answers = found or {}, answers
        self.sent: list[tuple[str, Any]] = []
        self.location = Location([deal(1)])
        self.location.hook = self.answer
        self.side = self.location.side()

    def answer(self, request: httpx.Request) -> httpx.Response | None:
        params = dict(request.url.params)
        if request.url.path == "/contacts/search/duplicate":
            self.sent.append(("asked", {key: value for key, value in params.items() if key != "locationId"}))
            known = next((id for key, id in self.found.items() if key in params.values()), None)
            if "asked" in self.answers:
                return httpx.Response(self.answers["asked"][0], json=self.answers["asked"][1])
            return httpx.Response(200, json={"contact": {"id": known, "email": "e@x"} if known else None})
        name = {"/contacts/": "contact", "/opportunities/": "deal"}.get(request.url.path)
        if request.method != "POST" or name is None:
            return None
        self.sent.append((name, json.loads(request.content)))
        fresh = {"id": "c7", "firstName": "Jo"} if name == "contact" else deal(7, contactId="c7")
        status, body = self.answers.get(name, (201, {name if name == "contact" else "opportunity": fresh}))
        return httpx.Response(status, json=body)

    def names(self) -> list[str]:
        return [name for name, _ in self.sent]


def test_a_contact_is_found_by_address_then_by_number_and_nothing_is_written() -> None:
    desk = Desk(found={"jo+1@x.example": "c1"})
    assert desk.side.contact_for(JO) == "c1"
    assert desk.sent == [("asked", {"email": "jo+1@x.example"})]
    desk = Desk(found={"+15550100": "c2"})
    assert desk.side.contact_for(JO) == "c2"
    assert desk.sent == [("asked", {"email": "jo+1@x.example"}), ("asked", {"number": "+15550100"})]
    assert [request.method for request in desk.location.seen] == ["GET", "GET"]
    desk = Desk(found={"+15550100": "c2"})
    assert desk.side.contact_for(Person("", "", "+15550100", "")) == "c2"
    assert desk.names() == ["asked"]


def test_a_contact_that_is_not_found_is_made_of_what_is_known() -> None:
    desk = Desk()
    assert desk.side.contact_for(JO) == "c7"
    assert desk.names() == ["asked", "asked", "contact"]
    assert desk.sent[-1][1] == {"locationId": LOCATION, "name": "Jo Park", "email": "jo+1@x.example",
                                "phone": "+15550100", "companyName": "Acme"}  # fmt: skip
    desk = Desk()
    desk.side.contact_for(Person("", "jo@x.example"))
    assert desk.sent[-1][1] == {"locationId": LOCATION, "email": "jo@x.example"}, "nothing empty is sent"


def test_a_contact_that_highlevel_has_already_is_that_one() -> None:
    """The question did not find it (another form of the number, an index that lags), and making it is refused."""
    said = {"message": "This location does not allow duplicated contacts.", "meta": {"contactId": "c3"}}
    assert Desk(contact=(400, said)).side.contact_for(JO) == "c3"
    nameless = Desk(contact=(400, {**said, "meta": {}})).side.contact_for(JO)
    assert isinstance(nameless, Refused)


def test_a_refusal_that_says_not_found_is_no_refusal() -> None:
    desk = Desk(asked=(404, {"message": "Contact not found", "code": "CONTACT_NOT_FOUND"}))
    assert desk.side.contact_for(JO) == "c7"


def test_where_no_address_is_found_the_number_is_asked_for_all_the_same() -> None:
    desk = Desk(found={"+15550100": "c2"})

    def hook(request: httpx.Request) -> httpx.Response | None:
        known = desk.answer(request)
        said = {"message": "Contact not found", "code": "CONTACT_NOT_FOUND"}
        return httpx.Response(404, json=said) if "email" in request.url.params else known

    desk.location.hook = hook
    assert desk.side.contact_for(JO) == "c2"
    assert desk.names() == ["asked", "asked"]


def test_what_may_come_of_a_contact() -> None:
    result = Desk(contact=(422, {"message": ["email must be an email"]})).side.contact_for(JO)
    assert isinstance(result, Refused)
    assert (result.everyone, "email must be an email" in result.sentence) == (False, True)
    result = Desk(contact=(401, {"message": "The token is not authorized for this scope."})).side.contact_for(JO)
    assert isinstance(result, Refused)
    assert (result.everyone, "contacts.write" in result.sentence) == (True, True)
    result = Desk(asked=(401, {"message": "The token is not authorized for this scope."})).side.contact_for(JO)
    assert isinstance(result, Refused)
    assert (result.everyone, "contacts.readonly" in result.sentence) == (True, True)
    assert isinstance(Desk(contact=(500, {})).side.contact_for(JO), Lost)
    assert isinstance(Desk(contact=(201, {"contact": {}})).side.contact_for(JO), Lost)
    with pytest.raises(SideDown):
        Desk(asked=(500, {})).side.contact_for(JO)
    with pytest.raises(SideDown):
        Desk(contact=(401, {"message": "Invalid JWT"})).side.contact_for(JO)


def test_a_deal_is_made_of_what_is_named() -> None:
    desk = Desk()
    more: dict[int, Raw] = {AT["value"]: 12.5, AT["owner"]: "u1"}
    result = desk.side.create_deal("c7", {**ROOF, **more})
    assert isinstance(result, Written)
    assert (result.record.id, result.made, result.record.lacks) == ("d7", True, frozenset())
    assert desk.sent == [
        ("deal", {"locationId": LOCATION, "contactId": "c7", "name": "Roof", "pipelineId": "p1",
                  "pipelineStageId": "s1", "status": "open", "monetaryValue": 12.5, "assignedTo": "u1"}),
    ]  # fmt: skip


def test_what_may_come_of_a_deal() -> None:
    duplicate = {"message": "Can not create duplicate opportunity for the contact.", "code": "OPPORTUNITY_NO_DUPLICATE",
                 "meta": {"existingId": "d3"}}  # fmt: skip
    result = Desk(deal=(400, duplicate)).side.create_deal("c7", ROOF)
    assert isinstance(result, Refused)
    assert (result.existing, result.everyone) == ("d3", False)
    assert "It is d3: put that into the GHL ID" in result.sentence
    result = Desk(deal=(400, {**duplicate, "meta": None})).side.create_deal("c7", ROOF)
    assert isinstance(result, Refused)
    assert (result.existing, "put that" in result.sentence) == ("", False)
    result = Desk(deal=(422, {"message": ["assignedTo must be a string"]})).side.create_deal(
        "c7", {**ROOF, AT["owner"]: "u"}
    )
    assert isinstance(result, Refused)
    assert result.fields == {AT["owner"]}
    result = Desk().side.create_deal("c7", {**ROOF, AT["value"]: "x"})
    assert isinstance(result, Refused)
    assert isinstance(Desk(deal=(500, {})).side.create_deal("c7", ROOF), Lost)
    assert isinstance(Desk(deal=(201, {"opportunity": {"name": "Roof"}})).side.create_deal("c7", ROOF), Lost)
    with pytest.raises(SideDown):
        Desk(deal=(401, {"message": "Invalid JWT"})).side.create_deal("c7", ROOF)


def test_a_deal_that_was_made_never_counts_as_lost_whatever_its_answer_lacks() -> None:
    bare = {"opportunity": {"id": "d7", "contactId": "c7"}}
    desk = Desk(deal=(201, bare))
    result = desk.side.create_deal("c7", ROOF)
    assert isinstance(result, Written)
    assert result.record.raw[AT["contact"]] == "Ann Lee", "its contact was asked for"
    assert AT["name"] in result.record.lacks
    desk = Desk(deal=(201, bare))
    hook = desk.location.hook
    desk.location.hook = lambda request: httpx.Response(500) if request.url.path == "/contacts/c7" else hook(request)
    result = desk.side.create_deal("c7", ROOF)
    assert isinstance(result, Written)
    assert result.record.id == "d7"


def test_a_contacts_deals_as_search_and_as_get_show_them() -> None:
    first = deal(1, contactId="c1", createdAt="2025-10-02T09:31:30.255Z")
    location = Location([first, deal(2, contactId="c1"), deal(3)])
    side = location.side()
    found = {one.record.id: one for one in side.made_of("c1")}
    assert found.keys() == {"d1", "d2"}
    assert (found["d1"].pipeline, found["d1"].contact) == ("p1", "c1")
    assert found["d1"].created == pytest.approx(1759397490.255)
    assert found["d2"].created == pytest.approx(deal(2)["sort"][0] / 1000), "a row's place is the time of its making"
    assert len(location.seen) == 1
    one = side.made_deal("d1")
    assert one is not None
    assert (one.record.title, one.created) == ("Acme – roof", found["d1"].created)
    assert side.made_deal("nowhere") is None
    location.hook = lambda request: httpx.Response(500)
    for ask in (lambda: side.made_of("c1"), lambda: side.made_deal("d1")):
        with pytest.raises(SideDown):
            ask()


def test_a_deal_of_another_location_is_no_part_of_a_sweep() -> None:
    location = Location([deal(1), deal(2, locationId="anotherLocation")])
    assert swept(location.side()) == ["d1"]


# --- deals that a sieve knows ----------------------------------------------------------------------------------------


def test_a_sweep_hands_out_what_is_not_at_rest_and_takes_known_answers_no_more_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    location = tied([99, 198], 5)
    side = location.side()
    known = links_of(side.sweep(), NAMES)
    parsed: list[str] = []
    real = highlevel.parse_opportunity

    def noting(data: Any) -> highlevel.Opportunity:
        parsed.append(data["id"])
        return real(data)

    monkeypatch.setattr(highlevel, "parse_opportunity", noting)

    def kept() -> tuple[list[str], int, int]:
        sieve, calls = Sieve(Side.CRM, known, NAMES, {}), len(location.seen)
        parsed.clear()
        records = sorted(record.id for record in side.sweep(sieve))
        assert sieve.found == known.keys() - set(records)
        return records, len(set(parsed)), len(location.seen) - calls

    first, second = kept(), kept()
    assert first == second == ([], 250, first[2])
    assert kept() == ([], 0, first[2]), "the walk goes the same way"
    location.deals["d7"] = {**location.deals["d7"], "status": "won"}
    location.deals |= {"new": deal(300)}
    assert kept() == (["d300", "d7"], 2, first[2])
    known["d8"] = (*known["d8"][:4], 1.0, *known["d8"][5:])  # seen at another time
    assert kept()[:2] == (["d300", "d7", "d8"], 3)
    del location.deals["d9"]
    sieve = Sieve(Side.CRM, known, NAMES, {})
    assert "d9" not in {record.id for record in side.sweep(sieve)} | sieve.found, "a deal that is gone is at no rest"


def test_a_known_deal_that_left_the_synced_pipelines_is_looked_at() -> None:
    location = Location([deal(1), deal(2)])
    side = location.side(("Côté", "Sales Pipeline"))
    side.schema()
    known = links_of(side.sweep(), NAMES)
    for _ in range(3):
        assert not list(side.sweep(Sieve(Side.CRM, known, NAMES, {})))
    side._synced = ("p2",)
    location.hook = lambda request: None
    location.search = lambda asked: {"opportunities": list(location.deals.values()), "meta": {"total": 2}}  # type: ignore[method-assign]
    assert [one.outside for one in side.sweep(Sieve(Side.CRM, known, NAMES, {}))] == ["p1", "p1"]


# --- against the sandbox, over HTTP ----------------------------------------------------------------------------------


@contextmanager
def sandbox(
    deals: int = 250, pipelines: tuple[str, ...] | None = None, version: str = "2021-07-28", **settings: Any
) -> Iterator[tuple[HighLevel, Faulty, HighLevelSide]]:
    server = HighLevel(make_location(7, deals), rate_limit=100_000, **settings)
    faulty = Faulty(server)
    with serve(faulty) as served:
        client = highlevel.connect(
            server.token,
            server.location_id,
            version=version,
            base_url=served.url,
            bucket=Bucket.unlimited(),
            sleep=lambda seconds: None,
        )
        with client.http:
            yield server, faulty, HighLevelSide(client, FIELDS, pipelines)


@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
@pytest.mark.parametrize("cursor_id", ["contact", "opportunity"])
def test_the_sandboxs_deals_are_all_found(version: str, cursor_id: str) -> None:
    with sandbox(version=version) as (server, _, side):
        server.cursor_id = cursor_id  # type: ignore[assignment]
        side.schema()
        records = {record.id: record for record in side.sweep()}
        assert records.keys() == {one["id"] for one in server.deals()}
        sample = list(records)[:5]
        assert [side.read([id])[id] for id in sample] == [records[id] for id in sample]


def test_the_sandboxs_pipelines_by_name() -> None:
    with sandbox(pipelines=("renewals 2026", "SALES")) as (server, _, side):
        synced = {one.id for one in side.schema().pipelines if one.synced}
        assert len(synced) == 2
        expected = {one["id"] for one in server.deals() if one["pipelineId"] in synced}
        assert {record.id for record in side.sweep()} == expected


def test_the_sandbox_is_written_to_and_fires_once_per_field() -> None:
    with sandbox(20) as (server, faulty, side):
        target = next(one for one in server.deals() if one["assignedTo"])
        pipeline = server.pipelines[1]
        stage = pipeline["stages"][1]["id"]
        server.triggers.clear()
        values = {
            AT["name"]: "Renamed ✓",
            AT["stage"]: [pipeline["id"], stage],
            AT["status"]: "won" if target["status"] != "won" else "lost",
            AT["value"]: 77.25,
            AT["owner"]: None,
        }
        (result,) = side.write([Patch(target["id"], values)])
        assert isinstance(result, Written)
        assert {index: result.record.raw[index] for index in values} == values
        assert result.record.lacks == frozenset()
        assert [line.method for line in faulty.log] == ["PUT"]
        assert sorted(one.field for one in server.triggers) == sorted(
            ["name", "stage", "status", "monetaryValue", "assignedTo"]
        )


def test_the_sandbox_makes_one_contact_and_as_many_deals_as_asked_for() -> None:
    with sandbox(20, lag_seconds=60.0) as (server, _, side):
        pipeline = server.pipelines[0]
        values: dict[int, Raw] = {**ROOF, AT["stage"]: [pipeline["id"], pipeline["stages"][1]["id"]]}
        contacts = len(server.contacts)
        contact = side.contact_for(JO)
        assert isinstance(contact, str)
        assert side.contact_for(replace(JO, email="")) == side.contact_for(JO) == contact
        assert side.contact_for(replace(JO, email="other@x.example")) == contact, "by the number"
        assert len(server.contacts) == contacts + 1
        server.triggers.clear()
        first = side.create_deal(contact, values)
        assert isinstance(first, Written)
        assert {at: first.record.raw[at] for at in values} == values
        assert (first.record.lacks, first.record.raw[AT["company"]]) == (frozenset(), "Acme")
        assert [(one.kind, one.deal_id) for one in server.triggers] == [("OpportunityCreate", first.record.id)]
        again = side.create_deal(contact, values)
        assert isinstance(again, Refused)
        assert again.existing == first.record.id
        server.allow_duplicates = True
        assert isinstance(side.create_deal(contact, values), Written)
        assert side.made_of(contact) == []
        one = side.made_deal(first.record.id)
        assert one is not None
        assert (one.contact, one.pipeline) == (contact, pipeline["id"])
        server.flush_index()
        assert len(side.made_of(contact)) == 2


def test_the_sandboxs_refusals() -> None:
    with sandbox(20) as (server, _, side):
        one = server.deals()[0]
        (result,) = side.write([Patch(one["id"], {AT["stage"]: [one["pipelineId"], "nowhere"]})])
        assert isinstance(result, Refused)
        assert not result.everyone
        server.person_delete(one["id"])
        assert side.read([one["id"]]) == {one["id"]: ABSENT}
        (result,) = side.write([Patch(one["id"], {AT["name"]: "x"})])
        assert isinstance(result, Refused)
        assert side.delete(one["id"]) is ABSENT
        server.clears_owner_with = frozenset({""})
        owned = next(other for other in server.deals() if other["assignedTo"])
        (result,) = side.write([Patch(owned["id"], {AT["owner"]: None})])
        assert isinstance(result, Written)
        server.scopes = server.scopes - {"users.readonly"}
        with pytest.raises(Misconfigured, match=r"users\.readonly"):
            side.schema()
        server.token = "pit-another-one"
        with pytest.raises(SideDown, match="token"):
            side.schema()


def test_a_write_to_the_sandbox_whose_answer_is_cut_is_lost_and_done_once() -> None:
    with sandbox(20) as (server, faulty, side):
        one = server.deals()[0]
        faulty.faults.append(Fault(method="PUT", cut=True, when="after"))
        server.triggers.clear()
        (result,) = side.write([Patch(one["id"], {AT["name"]: "Once"})])
        assert isinstance(result, Lost)
        assert server.deal(one["id"])["name"] == "Once"
        assert len([line for line in faulty.log if line.method == "PUT"]) == 1


def test_the_sandboxs_clock_is_measured() -> None:
    import time

    server = HighLevel(make_location(7, 5))
    with serve(server, clock=lambda: time.time() - 40) as served:
        client = highlevel.connect(server.token, server.location_id, base_url=served.url, bucket=Bucket.unlimited())
        with client.http:
            side = HighLevelSide(client, FIELDS)
            swept(side)
            assert side.clock_offset == pytest.approx(40, abs=1.1)
