"""syncd/crm/highlevel.py: refusals told apart by body, both spellings, tolerant answers, what is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.crm import highlevel
from syncd.crm.highlevel import (
    BadToken,
    Blocked,
    ContactNotFound,
    DailyLimit,
    Duplicate,
    Forbidden,
    HighLevelClient,
    HighLevelError,
    MissingScope,
    NotFound,
    Unexpected,
    Validation,
    VersionRefused,
    WrongLocation,
    WrongPath,
    _careful_opportunity,
    classify,
    parse_opportunity,
)
from syncd.http import Bucket, NoAnswer, Reply

LOCATION = "ve9EPM428h8vShlRW1KT"
TOKEN = "pit-11111111-2222-3333-4444-555555555555"
Handler = Callable[[httpx.Request], httpx.Response]


class Fake:
    """A scripted HighLevel: a function per request, and the log of what was asked."""

    def __init__(self, handler: Handler, *, version: str = "2021-07-28") -> None:
        self.seen: list[httpx.Request] = []
        self.now = 1_790_000_000.0
        self.slept = 0.0
        self._handler = handler
        self.client: HighLevelClient = highlevel.connect(
            TOKEN,
            LOCATION,
            version=version,
            base_url="https://ghl.test",
            bucket=Bucket(90, 10, monotonic=lambda: self.now),
            transport=httpx.MockTransport(self._handle),
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            sleep=self._sleep,
            rng=lambda: 0.5,
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return self._handler(request)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.seen]


def answering(*answers: tuple[int, Any] | httpx.Response, version: str = "2021-07-28") -> Fake:
    """Answers in order; the last one for ever."""
    left = list(answers)

    def handler(request: httpx.Request) -> httpx.Response:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(answer[0], json=answer[1])

    return Fake(handler, version=version)


# --- refusals (ghl.md §2.3) ------------------------------------------------------------------------------------------

HTML = "<!DOCTYPE html><html><body><pre>Cannot GET /opportunities/x</pre></body></html>"
REFUSALS: list[tuple[int, Any, type[HighLevelError]]] = [
    (401, {"message": "Invalid JWT"}, BadToken),
    (401, {"message": "Invalid token: access token is invalid"}, BadToken),
    (401, {"message": "Invalid Private Integration token", "statusCode": 401}, BadToken),
    (401, {"error": {"code": "UNAUTHORIZED", "message": "token expired"}}, BadToken),  # v3
    (401, {}, BadToken),
    (401, "Unauthorized", BadToken),
    (401, {"message": "This route is not yet supported by the IAM Service. Please update your IAM config."}, BadToken),
    (401, {"statusCode": 401, "message": "The token is not authorized for this scope."}, MissingScope),
    (401, {"message": "version header was not found."}, VersionRefused),
    (401, {"message": "version header is invalid"}, VersionRefused),
    (401, {"message": "pipelineId can't be undefined", "code": "COMMON_PIPELINE_ID_UNDEFINED"}, Validation),
    (403, {"message": "The token does not have access to this location."}, WrongLocation),
    (401, {"message": "The token does not have access to this location."}, WrongLocation),
    (403, "error code: 1010", Blocked),
    (403, {"message": "You may not do this"}, Forbidden),
    (403, "<html>Attention Required! | Cloudflare</html>", Unexpected),
    (404, {"message": "The opportunity with id x was not found.", "code": "OPPORTUNITY_NOT_FOUND"}, NotFound),
    (404, {"statusCode": 404, "message": "Cannot GET /opportunities/x", "error": "Not Found"}, WrongPath),
    (404, HTML, WrongPath),
    (404, {"statusCode": 404, "message": "Not Found"}, Unexpected),
    (404, {}, Unexpected),
    (404, "", Unexpected),
    (404, {"message": "Contact not found"}, ContactNotFound),
    (400, {"message": "Contact with id abc not found", "error": "Bad Request"}, ContactNotFound),
    (400, {"message": "gone?", "code": "OPPORTUNITY_NOT_FOUND"}, Validation),  # not a 404: no proof of a deletion
    (410, {"code": "OPPORTUNITY_NOT_FOUND"}, Unexpected),
    (400, {"message": "The opportunity id x is invalid."}, Validation),
    (400, {"message": None}, Validation),
    (422, {"message": ["name must be a string", "name should not be empty"]}, Validation),
    (422, {"message": {"odd": True}}, Validation),
    (400, {"message": "Can not create duplicate opportunity for the contact.", "code": "OPPORTUNITY_NO_DUPLICATE",
           "meta": {"existingId": "e1"}}, Duplicate),
    (400, [1, 2], Unexpected),
    (418, {"message": "teapot"}, Unexpected),
]  # fmt: skip


def reply(status: int, body: Any) -> Reply:
    return Reply(status, {}, body.encode() if isinstance(body, str) else json.dumps(body).encode())


@pytest.mark.parametrize(("status", "body", "kind"), REFUSALS, ids=lambda part: str(part)[:50])
def test_refusals_are_told_apart_by_their_body(status: int, body: Any, kind: type[HighLevelError]) -> None:
    error = classify(reply(status, body), scope="opportunities.readonly")
    assert type(error) is kind
    assert error.status == status
    assert str(error)[0].isupper()
    assert "Traceback" not in str(error)


def test_a_missing_scope_is_named_per_call() -> None:
    fake = answering((401, {"message": "The token is not authorized for this scope."}))
    client = fake.client
    calls: list[tuple[Callable[[], object], str]] = [
        (client.pipelines, "opportunities.readonly"),
        (lambda: client.opportunity("a"), "opportunities.readonly"),
        (lambda: client.update_opportunity("a", {}), "opportunities.write"),
        (lambda: client.update_status("a", "lost"), "opportunities.write"),
        (lambda: client.create_opportunity({}), "opportunities.write"),
        (lambda: client.upsert_opportunity({}), "opportunities.write"),
        (lambda: client.delete_opportunity("a"), "opportunities.write"),
        (lambda: client.contact("a"), "contacts.readonly"),
        (lambda: client.find_contact(email="a@b"), "contacts.readonly"),
        (lambda: client.upsert_contact({}), "contacts.write"),
        (client.users, "users.readonly"),
        (lambda: client.user("a"), "users.readonly"),
        (client.custom_fields, "locations/customFields.readonly"),
        (client.lost_reasons, "opportunities.readonly"),
        (client.search_page, "opportunities.readonly"),
    ]
    for call, scope in calls:
        with pytest.raises(MissingScope, match=scope) as caught:
            call()
        assert caught.value.scope == scope


@pytest.mark.parametrize("call", ["search_page", "search_post"])
def test_a_spurious_scope_refusal_of_search_is_asked_once_more_later(call: str) -> None:
    refusal = (401, {"message": "The token is not authorized for this scope."})
    fake = answering(refusal, (200, {"opportunities": [], "meta": {"total": 0}}))
    assert getattr(fake.client, call)().opportunities == ()
    assert fake.slept >= 1
    fake = answering(refusal)
    with pytest.raises(MissingScope):
        getattr(fake.client, call)()
    assert len(fake.seen) == 2


def test_validation_says_which_of_our_fields_are_named() -> None:
    sent = {"name": "x", "monetaryValue": 1, "assignedTo": None, "status": "open"}
    messages = ["monetaryValue must be a number", "property assignedTo should not exist", "the name is fine"]
    error = classify(reply(422, {"message": messages}), scope="", sent=sent)
    assert isinstance(error, Validation)
    assert error.named == {"monetaryValue", "assignedTo"}
    assert error.messages == tuple(messages)
    assert error.says("should not exist")
    free = classify(reply(400, {"message": "The status of the deal is odd, statusCode 400."}), scope="", sent=sent)
    assert isinstance(free, Validation)
    assert free.named == {"status"}


def test_words_of_the_server_are_made_printable_and_tokens_hidden() -> None:
    said = f"bad \x1b[31m\x00 value \u202e {TOKEN} " + "x" * 900
    error = classify(reply(422, {"message": [said]}), scope="")
    assert str(error).isprintable()
    assert TOKEN not in str(error)
    assert len(str(error)) < 400


def test_a_duplicate_tells_the_deal_that_exists_if_it_can() -> None:
    for meta, expected in (({"existingId": "e1"}, "e1"), ({"existingId": 3}, None), ({}, None), (None, None)):
        error = classify(reply(400, {"code": "OPPORTUNITY_NO_DUPLICATE", "meta": meta}), scope="")
        assert isinstance(error, Duplicate)
        assert error.existing_id == expected


def test_the_daily_limit_is_no_matter_of_waiting() -> None:
    fake = answering(httpx.Response(429, headers={"X-RateLimit-Daily-Remaining": "0"}))
    with pytest.raises(DailyLimit, match="daily limit"):
        fake.client.pipelines()
    assert fake.slept == 0
    fake = answering(
        httpx.Response(429, headers={"X-RateLimit-Daily-Remaining": "7"}), (200, {"pipelines": [], "traceId": "t"})
    )
    assert fake.client.pipelines() == ()
    assert fake.slept >= 10


def test_the_servers_own_count_rests_the_bucket() -> None:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Interval-Milliseconds": "7000"}
    fake = answering(httpx.Response(200, headers=headers, json={"pipelines": []}))
    fake.client.pipelines()
    fake.client.pipelines()
    assert fake.slept == pytest.approx(7)
    for odd in ({"X-RateLimit-Remaining": "some"}, {"X-RateLimit-Remaining": "5"}, {}):
        fake = answering(httpx.Response(200, headers=odd, json={"pipelines": []}))
        fake.client.pipelines()
        fake.client.pipelines()
        assert fake.slept == 0


# --- spellings (ghl.md §1.1) -----------------------------------------------------------------------------------------

EMPTY = {"opportunities": [], "meta": {"total": 0}}


def strict(snake: bool) -> Handler:
    """Accepts one spelling of the search's parameters and refuses the other as HighLevel does."""
    allowed = {"limit", "startAfter", "startAfterId"}
    allowed |= {"location_id", "pipeline_id", "contact_id"} if snake else {"locationId", "pipelineId", "contactId"}

    def handler(request: httpx.Request) -> httpx.Response:
        wrong = [f"property {name} should not exist" for name in request.url.params if name not in allowed]
        return httpx.Response(422, json={"message": wrong}) if wrong else httpx.Response(200, json=EMPTY)

    return handler


@pytest.mark.parametrize("snake", [True, False])
@pytest.mark.parametrize("version", ["2021-07-28", "v3"])
def test_the_spelling_follows_the_version_and_flips_once_if_refused(version: str, snake: bool) -> None:
    fake = Fake(strict(snake), version=version)
    for _ in range(3):
        page = fake.client.search_page(pipeline_id="p", contact_id="c", cursor=(1, "c"))
        assert page.opportunities == ()
    right_at_once = snake == (version != "v3")
    assert len(fake.seen) == (3 if right_at_once else 4)
    last = dict(fake.seen[-1].url.params)
    assert last["startAfter"] == "1"
    assert last["startAfterId"] == "c"
    assert last["location_id" if snake else "locationId"] == LOCATION
    assert fake.seen[0].headers["Version"] == version


def test_a_spelling_that_helps_nothing_is_not_kept_nor_tried_again() -> None:
    fake = Fake(lambda request: httpx.Response(422, json={"message": ["property limit should not exist"]}))
    for _ in range(2):
        with pytest.raises(Validation, match="limit"):
            fake.client.search_page()
    assert ["location_id" in request.url.params for request in fake.seen] == [True, False, True]


def test_another_refusal_of_search_does_not_flip() -> None:
    fake = answering((422, {"message": ["limit must not be greater than 100"]}))
    with pytest.raises(Validation):
        fake.client.search_page()
    assert len(fake.seen) == 1


# --- answers ---------------------------------------------------------------------------------------------------------

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
    "createdAt": "2025-10-02T09:31:30.255Z",
    "updatedAt": "2025-10-02T09:44:02.575Z",
    "lastStageChangeAt": "2025-10-02T09:44:02.122Z",
    "lastStatusChangeAt": "2025-10-02T09:31:30.255Z",
    "sort": [1759397490255, "c1"],
    "contact": {"id": "c1", "name": "Jo Park", "companyName": None, "email": "jo@x.y", "phone": "+1555"},
}


def test_a_whole_deal_is_read() -> None:
    deal = parse_opportunity(DEAL)
    assert (deal.id, deal.name, deal.value, deal.pipeline_id, deal.stage_id) == (
        "d1",
        "Acme – roof",
        4200.5,
        "p1",
        "s1",
    )
    assert deal.updated_at == pytest.approx(1759398242.575)
    assert deal.sort == (1759397490255, "c1")
    assert deal.contact is not None
    assert (deal.contact.name, deal.contact.email, deal.contact.company) == ("Jo Park", "jo@x.y", None)
    assert deal.odd == frozenset()
    assert deal.told >= {"name", "assignedTo", "monetaryValue"}


@pytest.mark.parametrize("key", [key for key in DEAL if key != "id"])
@pytest.mark.parametrize("odd", [{"a": 1}, ["x"], True, [], {}], ids=str)
def test_a_wrong_type_anywhere_is_none_and_noted_never_an_exception(key: str, odd: Any) -> None:
    deal = parse_opportunity({**DEAL, key: odd})
    plain = parse_opportunity({name: value for name, value in DEAL.items() if name != key})
    if key == "contact" and isinstance(odd, dict):
        assert deal.contact is None  # an object that says nothing
        return
    assert key in deal.odd
    assert key not in deal.told
    for name in deal.__slots__:
        if name not in ("told", "odd"):
            assert getattr(deal, name) == getattr(plain, name)


@pytest.mark.parametrize("key", [key for key in DEAL if key != "id"])
def test_null_and_absent_are_none(key: str) -> None:
    null = parse_opportunity({**DEAL, key: None})
    absent = parse_opportunity({name: value for name, value in DEAL.items() if name != key})
    assert key in null.told
    assert key not in absent.told
    assert null.odd == absent.odd == frozenset()


@pytest.mark.parametrize(
    ("sent", "value"),
    [(0, 0), (12, 12), (0.1, 0.1), ("4200", "4200"), (float("inf"), None), ("", None), ("much", None), (10**400, None)],
)
def test_values_are_kept_as_sent(sent: Any, value: Any) -> None:
    assert parse_opportunity({**DEAL, "monetaryValue": sent}).value == value


@pytest.mark.parametrize("data", [None, [], "x", {}, {"id": None}, {"id": ""}, {"id": 7}])
def test_a_deal_without_an_id_is_a_failure(data: Any) -> None:
    with pytest.raises(Unexpected, match="without an id"):
        parse_opportunity(data)
    with pytest.raises(Unexpected):
        answering((200, {"opportunities": [DEAL, data], "meta": {}})).client.search_page()


@pytest.mark.parametrize(
    "body",
    [{}, {"meta": {"total": 0}}, {"opportunities": None}, {"opportunities": {}}, [], None, "x", "<html>hi</html>"],
    ids=str,
)
def test_a_search_without_its_list_is_a_failure(body: Any) -> None:
    content = body if isinstance(body, str) and body.startswith("<") else json.dumps(body)
    with pytest.raises(Unexpected):
        answering(httpx.Response(200, text=content)).client.search_page()


def test_the_cursor_is_of_both_halves_or_of_the_last_row() -> None:
    def page(meta: Any) -> highlevel.SearchPage:
        return answering((200, {"opportunities": [DEAL], "meta": meta})).client.search_page()

    assert page({"startAfter": 5, "startAfterId": "z"}).cursor == (5, "z")
    halves: list[Any] = [{"startAfter": 5}, {"startAfterId": "z"}, {"startAfter": 5, "startAfterId": ""}, {}, None, []]
    for meta in halves:
        assert page(meta).cursor == (1759397490255, "c1")
    assert page({"nextPage": 2}).more
    assert page({"nextPageUrl": "http://x"}).more
    assert not page({"nextPage": None, "nextPageUrl": None, "total": "many"}).more
    assert page({"total": "many"}).total is None
    assert page({"total": 4}).total == 4


def test_stages_stand_in_order_of_position() -> None:
    stages = [{"id": "c", "name": "C"}, {"id": "b", "name": "B ", "position": 2}]
    stages += [{"id": "a", "name": "", "position": 1}]
    fake = answering((200, {"pipelines": [{"id": "p", "name": "Sales", "stages": stages}]}))
    (pipeline,) = fake.client.pipelines()
    assert [stage.id for stage in pipeline.stages] == ["a", "b", "c"]
    assert [stage.name for stage in pipeline.stages] == ["a", "B ", "C"]
    assert fake.seen[0].url.params["locationId"] == LOCATION  # camel case in every version


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["abc/../def", "a?b", "a#b", "a b", "ä", "%2F", "../x"])
def test_an_id_is_one_segment_of_the_path(id: str) -> None:
    fake = answering((404, {"code": "OPPORTUNITY_NOT_FOUND"}))
    with pytest.raises(NotFound):
        fake.client.opportunity(id)
    raw = fake.seen[0].url.raw_path.decode()
    assert raw.count("/") == 2
    assert httpx.URL("https://x/" + raw.removeprefix("/opportunities/")).path == f"/{id}"


@pytest.mark.parametrize("id", ["", ".", ".."])
def test_an_id_that_would_be_another_path_is_never_sent(id: str) -> None:
    fake = answering((200, {}))
    for call in (fake.client.opportunity, fake.client.delete_opportunity, fake.client.contact):
        with pytest.raises(Validation):
            call(id)
    assert fake.seen == []


def test_an_update_names_what_it_is_given_and_nothing_else() -> None:
    fake = answering((200, {"opportunity": DEAL}))
    assert fake.client.update_opportunity("d1", {"monetaryValue": 5}) == parse_opportunity(DEAL)
    assert fake.bodies() == [{"monetaryValue": 5}]
    for body in ({"succeded": True}, {}, {"opportunity": None}, {"opportunity": {**DEAL, "id": "other"}}):
        assert answering((200, body)).client.update_opportunity("d1", {"name": "x"}) is None
    assert answering(httpx.Response(200, text="<html>")).client.update_opportunity("d1", {"name": "x"}) is None


def test_a_status_with_its_reason_and_any_2xx_is_enough() -> None:
    fake = answering(httpx.Response(200, text="nonsense"))
    fake.client.update_status("d1", "lost", "r1")
    fake.client.update_status("d1", "won")
    assert fake.bodies() == [{"status": "lost", "lostReasonId": "r1"}, {"status": "won"}]
    assert fake.seen[0].url.path == "/opportunities/d1/status"


def test_a_new_deal_whose_id_is_not_told_has_an_unknown_outcome() -> None:
    fake = answering((201, {"opportunity": DEAL}))
    assert fake.client.create_opportunity({"name": "x"}).id == "d1"
    assert fake.bodies() == [{"locationId": LOCATION, "name": "x"}]
    assert fake.seen[0].url.path == "/opportunities/"
    with pytest.raises(NoAnswer):
        answering((201, {"traceId": "t"})).client.create_opportunity({})


def test_contacts_are_never_sent_tags_or_empty_values() -> None:
    fake = answering((200, {"new": True, "contact": {"id": "c1", "email": "a@b"}}))
    body = {"email": "a@b", "phone": "", "firstName": None, "tags": ["x"], "score": 0}
    assert fake.client.upsert_contact(body) == "c1"
    assert fake.bodies() == [{"locationId": LOCATION, "email": "a@b", "score": 0}]


def test_a_contact_is_looked_for_with_its_plus_sign() -> None:
    fake = answering((200, {"contact": None}))
    assert fake.client.find_contact(email="a+b@c.d", phone="+1555") is None
    assert b"%2B1555" in fake.seen[0].url.raw_path
    assert b"a%2Bb" in fake.seen[0].url.raw_path
    found = answering((200, {"contact": {"id": "c1", "phone": "+1555"}})).client.find_contact(phone="+1555")
    assert found is not None
    assert found.id == "c1"
    with pytest.raises(Unexpected):
        answering((200, {"contact": "c1"})).client.find_contact(phone="+1555")


def test_users_fall_back_to_the_successor() -> None:
    people = [{"id": f"u{number}", "firstName": "A", "lastName": str(number)} for number in range(130)]

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/users/":
            return httpx.Response(404, json={"message": "Cannot GET /users/"})
        skip, limit = int(request.url.params["skip"]), int(request.url.params["limit"])
        return httpx.Response(200, json={"users": people[skip : skip + limit], "count": 130})

    fake = Fake(handler)
    users = fake.client.users()
    assert len(users) == 130
    assert users[1].name == "A 1"
    assert len(fake.seen) == 3
    direct = answering((200, {"users": [{"id": "u", "email": "a@b", "deleted": True}]})).client.users()
    assert (direct[0].name, direct[0].deleted) == ("a@b", True)


@pytest.mark.parametrize(("version", "first"), [("2021-07-28", "customFields"), ("v3", "custom-fields")])
def test_custom_fields_are_found_on_either_path(version: str, first: str) -> None:
    field = {"id": "f", "fieldKey": "opportunity.x", "dataType": "RADIO", "picklistOptions": ["a", 1, "b"]}
    fake = answering((404, {"message": "Cannot GET /locations/x"}), (200, {"customFields": [field]}), version=version)
    (found,) = fake.client.custom_fields()
    assert (found.key, found.options) == ("opportunity.x", ("a", "b"))
    assert fake.seen[0].url.path.endswith("/" + first)
    assert fake.seen[0].url.path != fake.seen[1].url.path
    assert fake.seen[0].url.params["model"] == "opportunity"


def test_lost_reasons() -> None:
    fake = answering((200, {"lostReasons": [{"id": "r", "name": "Too expensive"}]}))
    assert [reason.name for reason in fake.client.lost_reasons()] == ["Too expensive"]


def test_a_page_and_a_cursor_are_never_sent_together() -> None:
    fake = answering((200, {"opportunities": [DEAL], "total": 3}))
    page = fake.client.search_post(filters=[{"field": "id"}], sort=[{"field": "date_updated"}], page=2)
    assert (page.total, page.cursor) == (3, (1759397490255, "c1"))
    fake.client.search_post(search_after=(5, "c"), page=2)
    first, second = fake.bodies()
    assert first["page"] == 2
    assert "searchAfter" not in first
    assert second["searchAfter"] == [5, "c"]
    assert "page" not in second
    assert "filters" not in second


def test_headers_of_every_call() -> None:
    fake = answering((200, {"pipelines": []}))
    fake.client.pipelines()
    headers = fake.seen[0].headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Version"] == "2021-07-28"
    assert headers["Accept"] == "application/json"
    assert headers["User-Agent"].startswith("syncd/")
    assert "Location-Id" not in headers


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=5), st.just({}),
    st.sampled_from(["2026-11-21T18:15:40.635Z", "2026-11-21", "9999-12-31T00:00:00Z", 1795222975041, -5, "12.5"]),
    st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=3),
)  # fmt: skip


KEYS = st.sampled_from(sorted(DEAL))
PERSON = st.dictionaries(st.sampled_from(["id", "name", "email", "phone", "companyName"]), ODD, max_size=3)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(KEYS, ODD, max_size=4), st.sets(KEYS), st.none() | PERSON)
def test_the_short_way_reads_a_deal_as_the_careful_one_does(
    odd: dict[str, Any], without: set[str], contact: dict[str, Any] | None
) -> None:
    data = {key: value for key, value in {**DEAL, **odd}.items() if key not in without} | {"id": "d1"}
    if contact is not None:
        data["contact"] = contact
    assert parse_opportunity(data) == _careful_opportunity(data, "d1")


@pytest.mark.parametrize("word", ["succeded", "succeeded", "success"])
def test_a_deletion_is_one_when_the_answer_says_so(word: str) -> None:
    fake = answering((200, {word: True, "traceId": "t"}))
    fake.client.delete_opportunity("d1")
    assert (fake.seen[0].method, fake.seen[0].url.path) == ("DELETE", "/opportunities/d1")


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"traceId": "t"}),
        (200, {"succeded": False}),
        (200, {"succeded": "true"}),
        (200, [True]),
        httpx.Response(200, text="<html>Welcome</html>"),
        httpx.Response(204),
    ],
    ids=str,
)
def test_a_deletion_that_the_answer_does_not_confirm_has_an_unknown_outcome(answer: Any) -> None:
    with pytest.raises(NoAnswer, match="did not say whether it deleted"):
        answering(answer).client.delete_opportunity("d1")
