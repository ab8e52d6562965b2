"""The opportunity endpoints of the local HighLevel but for search (reference/ghl.md §2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from .data import Record
from .highlevel_dto import Call, Endpoint, Refused, Rule, Rules, check, check_query
from .highlevel_store import STATUSES, Store, iso
from .wire import Answer

READ, WRITE = "opportunities.readonly", "opportunities.write"
Written: TypeAlias = Callable[[str, Record], None]

_TEXT = Rule("string")
_DEAL: Rules = {
    "pipelineId": _TEXT,
    "name": Rule("text"),
    "pipelineStageId": _TEXT,
    "status": Rule(STATUSES),  # "all" is of the search's enum only (reference/ghl.md §2.1)
    "monetaryValue": Rule("number"),
    "assignedTo": Rule("string", nullable=True),
    "source": Rule("string", nullable=True),  # in no specification, but accepted (§2.1)
    "customFields": Rule("array"),
}
_FORECAST: Rules = {"forecastExpectedCloseDate": _TEXT, "forecastProbability": Rule("number", least=0, most=100)}
_UPSERT: Rules = {
    **{name: rule for name, rule in _DEAL.items() if name != "customFields"},
    "pipelineId": Rule("string", required=True),
    "locationId": Rule("string", required=True),
    "id": _TEXT,
    "contactId": _TEXT,
    "lostReasonId": _TEXT,
    "followers": Rule("array"),
    "isRemoveAllFollowers": Rule("boolean"),
    "followersActionType": Rule(("add", "remove")),
}
_NEEDED = ("pipelineId", "locationId", "name", "status", "contactId")


class Deals:
    """The endpoints; `written` is told of each deal that was written, with the fields that the request named."""

    def __init__(self, store: Store, written: Written) -> None:
        self._store = store
        self._written = written

    def endpoints(self) -> list[Endpoint]:
        """All endpoints of this class. Fixed paths stand before those with an id."""
        return [
            Endpoint("GET", "/opportunities/pipelines", READ, self.pipelines),
            Endpoint("GET", "/opportunities/lost-reason", READ, self.lost_reasons),
            Endpoint("POST", "/opportunities/upsert", WRITE, self.upsert),
            Endpoint("POST", "/opportunities/", WRITE, self.create),
            Endpoint("GET", "/opportunities/*", READ, self.get),
            Endpoint("PUT", "/opportunities/*", WRITE, self.put),
            Endpoint("DELETE", "/opportunities/*", WRITE, self.delete),
            Endpoint("PUT", "/opportunities/*/status", WRITE, self.put_status),
            Endpoint("POST", "/opportunities/*/followers", WRITE, self.followers),
            Endpoint("DELETE", "/opportunities/*/followers", WRITE, self.followers),
        ]

    # --- reading

    def get(self, call: Call) -> Answer:
        """GET by id: current, whatever search shows."""
        return self._shown(self._deal(call.ids[0]), call.v3)

    def pipelines(self, call: Call) -> Answer:
        """All pipelines; the location's name is camel case in every version (reference/ghl.md §1.1)."""
        self._need_location(call)
        check_query(call, {"locationId": _TEXT})
        shown = [
            line | ({"useOpportunityProbability": False} if call.v3 else {})
            for line in (
                {**line, "stages": sorted(line["stages"], key=lambda stage: int(stage["position"]))}
                for line in self._store.pipelines
            )
        ]
        return self._ok({"pipelines": shown})

    def lost_reasons(self, call: Call) -> Answer:
        """The lost reasons, an optional capability (reference/ghl.md §10)."""
        if not self._store.settings.lost_reasons_available:
            raise Refused(401, "The token is not authorized for this scope.")
        self._need_location(call)
        number = Rule("number", least=0)
        rules: Rules = dict.fromkeys(("locationId", "name", "deleted", "query", "getCount"), _TEXT)
        given = check_query(call, {**rules, "skip": number, "limit": number})
        skip, limit = given.get("skip", 0), given.get("limit", 100)
        reasons = [
            {**one, "createdAt": iso(one["createdAt"]), "updatedAt": iso(one["updatedAt"])}
            for one in self._store.lost_reasons
        ]
        return self._ok({"lostReasons": reasons[skip : skip + limit], "total": len(reasons)})

    # --- writing

    def create(self, call: Call) -> Answer:
        """POST: a new deal, unless its contact has one in that pipeline (reference/ghl.md §9)."""
        rules: Rules = {**self._rules(call.v3), "locationId": _TEXT, "contactId": _TEXT}
        needed: Rules = {name: Rule(rules[name].kind, required=True, most=rules[name].most) for name in _NEEDED}
        check(call.body, {**rules, **needed})
        values = self._values(call)
        deal = self._create(values)
        return self._shown(deal, call.v3, 201)

    def put(self, call: Call) -> Answer:
        """PUT: the fields that are named, and the trigger of each of them (reference/ghl.md §§2.1, 7)."""
        check(call.body, self._rules(call.v3))
        self._check_clearing(call.body)
        old = self._deal(call.ids[0])
        values = self._values(call)
        if "pipelineStageId" in values:
            self._check_stage({**old, **values})
        deal = self._store.update(old["id"], values, "api")
        answer = self._shown(deal, call.v3)
        self._written(deal["id"], values)
        return answer

    def put_status(self, call: Call) -> Answer:
        """PUT status, with a lost reason if need be; the answer carries no record (reference/ghl.md §2)."""
        check(call.body, {"status": Rule(STATUSES, required=True), "lostReasonId": _TEXT})
        deal = self._deal(call.ids[0])
        reason = call.body.get("lostReasonId")
        if reason and reason not in {one["id"] for one in self._store.lost_reasons}:
            raise Refused(400, f"The lost reason id {reason} is invalid.")
        self._store.update(deal["id"], call.body, "api")
        self._written(deal["id"], call.body)
        return self._succeeded(call.v3)

    def delete(self, call: Call) -> Answer:
        """DELETE: search may show the deal for a while yet."""
        deal = self._deal(call.ids[0])
        self._store.delete(deal["id"], "api")
        return self._succeeded(call.v3)

    def upsert(self, call: Call) -> Answer:
        """POST upsert: writes the deal of that id, else of that contact in that pipeline, else a new one (§2.1)."""
        check(call.body, {**_UPSERT, **(_FORECAST if call.v3 else {})})
        values = {name: value for name, value in self._values(call).items() if name != "id"}
        values = {name: value for name, value in values.items() if not name.lower().count("followers")}
        contact, pipeline = values.get("contactId"), values["pipelineId"]
        if call.body.get("id"):
            deal: Record | None = self._deal(call.body["id"])
        elif contact:
            mine = [one for one in self._store.deals_of(contact) if one["pipelineId"] == pipeline]
            deal = mine[0] if mine else None
        else:
            raise Refused(422, ["contactId must be a string", "contactId should not be empty"])
        if deal is None:
            made = self._create({"name": "", "status": "open", **values}, duplicates_refused=False)
            return self._ok({"opportunity": self._store.full_deal(made, call.v3), "new": True})
        values.pop("contactId", None)
        self._check_stage({**deal, **values})
        changed = self._store.update(deal["id"], values, "api")
        answer = self._ok({"opportunity": self._store.full_deal(changed, call.v3), "new": False})
        self._written(deal["id"], values)
        return answer

    def followers(self, call: Call) -> Answer:
        """POST adds followers, DELETE removes them, or all."""
        check(call.body, {"followers": Rule("array")})
        deal = self._deal(call.ids[0])
        given, old = call.body.get("followers", []), deal["followers"]
        if call.request.method == "POST":
            new = [*old, *(one for one in given if one not in old)]
            if len(new) > 10:
                raise Refused(422, ["followers must contain no more than 10 elements"])
            body, status = {"followers": new, "followersAdded": [one for one in new if one not in old]}, 201
        else:
            new = [one for one in old if one not in given and call.request.first("isRemoveAllFollowers") != "true"]
            body, status = {"followers": new, "followersRemoved": [one for one in old if one not in new]}, 200
        self._store.update(deal["id"], {"followers": new}, "api")
        return Answer(status, {**body, "traceId": self._store.trace_id()})

    # --- inside

    def _create(self, values: Record, *, duplicates_refused: bool = True) -> Record:
        contact, pipeline = values["contactId"], values["pipelineId"]
        if contact not in self._store.contacts:
            raise Refused(400, f"The contact id {contact} is invalid.")
        try:
            values.setdefault("pipelineStageId", self._store.first_stage(pipeline))
        except KeyError:
            raise Refused(400, f"The pipeline id {pipeline} is invalid.") from None
        self._check_stage(values)
        settings = self._store.settings
        closed_too = settings.closed_deals_count_as_duplicates
        existing = [
            one
            for one in self._store.deals_of(contact)
            if one["pipelineId"] == pipeline and (closed_too or one["status"] == "open")
        ]
        if existing and duplicates_refused and not settings.allow_duplicates:
            message = "Can not create duplicate opportunity for the contact."
            raise Refused(400, message, "OPPORTUNITY_NO_DUPLICATE", {"existingId": existing[0]["id"]})
        deal = self._store.create(values, "api")
        self._written(deal["id"], values)
        return deal

    def _deal(self, deal_id: str) -> Record:
        settings = self._store.settings
        if settings.malformed_id_status != 404 and not re.fullmatch(r"[A-Za-z0-9]{20}", deal_id):
            raise Refused(settings.malformed_id_status, f"The opportunity id {deal_id} is invalid.")
        try:
            return self._store.deals[deal_id]
        except KeyError:
            message = f"The opportunity with id {deal_id} was not found."
            raise Refused(404, message, "OPPORTUNITY_NOT_FOUND") from None

    def _rules(self, v3: bool) -> Rules:
        limits = self._store.settings.deal_field_limits
        rules = {**_DEAL, **(_FORECAST if v3 else {})}
        return {
            name: Rule(rule.kind, False, rule.nullable, limits.get(name, rule.most)) for name, rule in rules.items()
        }

    def _check_clearing(self, body: Mapping[str, Any]) -> None:
        """Whether null or "" clears the owner is not known (reference/ghl.md §13.3); a setting says which are taken."""
        if "assignedTo" in body and not body["assignedTo"]:
            form = "null" if body["assignedTo"] is None else ""
            if form not in self._store.settings.clears_owner_with:
                reason = "assignedTo must be a string" if form else "assignedTo should not be empty"
                raise Refused(422, [reason])

    def _values(self, call: Call) -> Record:
        """The values as they are stored; 400 where they name what is not there."""
        body = call.body
        values = {name: value for name, value in body.items() if name not in ("locationId", "customFields")}
        if "assignedTo" in values:
            values["assignedTo"] = values["assignedTo"] or None
            if values["assignedTo"] and values["assignedTo"] not in self._store.users:
                raise Refused(400, f"The user id {values['assignedTo']} is invalid.")
        if "pipelineId" in values and values["pipelineId"] not in {one["id"] for one in self._store.pipelines}:
            raise Refused(400, f"The pipeline id {values['pipelineId']} is invalid.")
        if "customFields" in body:
            values["customFields"] = dict(self._custom(at, one, call.v3) for at, one in enumerate(body["customFields"]))
        return values

    def _custom(self, at: int, given: Any, v3: bool) -> tuple[str, Any]:
        """One custom field as {id or key, field_value}, in v3 also fieldValue; null and "" clear it."""
        if not isinstance(given, dict):
            raise Refused(422, ["each value in nested property customFields must be either object or array"])
        if unknown := given.keys() - {"id", "key", "field_value", *(("fieldValue",) if v3 else ())}:
            raise Refused(422, [f"customFields.{at}.property {name} should not exist" for name in sorted(unknown)])
        fields = [one for one in self._store.custom_fields if one["model"] == "opportunity"]
        wanted = given.get("id") or given.get("key")
        for field in fields:
            if wanted in (field["id"], field["fieldKey"], field["fieldKey"].partition(".")[2]):
                value = given.get("fieldValue", given.get("field_value"))
                return field["id"], _stored(field, value)
        raise Refused(400, f"customFields.{at}: no custom field {wanted!r}")

    def _check_stage(self, deal: Record) -> None:
        pipeline_id, stage_id = deal["pipelineId"], deal["pipelineStageId"]
        try:
            found = self._store.pipeline_of(stage_id)["id"]
        except KeyError:
            raise Refused(400, f"The pipeline stage id {stage_id} is invalid.") from None
        if found != pipeline_id:
            raise Refused(400, f"The pipeline stage id {stage_id} does not belong to the pipeline {pipeline_id}.")

    def _need_location(self, call: Call) -> None:
        if not call.request.first("locationId"):
            raise Refused(422, "locationId can't be undefined", "COMMON_LOCATION_ID_UNDEFINED")

    def _shown(self, deal: Record, v3: bool, status: int = 200) -> Answer:
        return Answer(status, {"opportunity": self._store.full_deal(deal, v3), "traceId": self._store.trace_id()})

    def _ok(self, body: Record) -> Answer:
        return Answer(200, body | {"traceId": self._store.trace_id()})

    def _succeeded(self, v3: bool) -> Answer:
        """Misspelt, as HighLevel spells it (reference/ghl.md §2.1)."""
        return self._ok({"succeded": True} | ({"success": True} if v3 else {}))


def _stored(field: Record, value: Any) -> Any:
    """A custom field's value as it is kept: numbers as numbers, days as epoch ms; 400 where it cannot be."""
    if value in (None, "", []):
        return None
    try:
        if field["dataType"] in ("NUMERICAL", "MONETORY"):
            number = float(value)
            return int(number) if number.is_integer() else number
        if field["dataType"] == "DATE" and isinstance(value, str) and not value.isdigit():
            day = datetime.fromisoformat(value)
            return int((day if day.tzinfo else day.replace(tzinfo=UTC)).timestamp() * 1000)
        return int(value) if field["dataType"] == "DATE" else value
    except (TypeError, ValueError):
        raise Refused(400, f"Invalid value for the custom field {field['name']}.") from None
