"""The records of the local HighLevel, and every write to them: stamps, triggers, owner coupling and the index's queue.

Records are dicts with HighLevel's field names; times are epoch milliseconds until they are rendered. A write makes a
new dict, so that what the index, an answer or a test holds is never changed behind its back.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from .data import LocationData, Record, new_id, new_uuid
from .highlevel_index import Doc, Index

Source = Literal["api", "person", "coupling"]

STATUSES = ("open", "won", "lost", "abandoned")
ALL_SCOPES = frozenset(
    {
        "opportunities.readonly",
        "opportunities.write",
        "contacts.readonly",
        "contacts.write",
        "users.readonly",
        "locations.readonly",
        "locations/customFields.readonly",
    }
)
_KINDS = {
    "stage": "OpportunityStageUpdate",
    "status": "OpportunityStatusUpdate",
    "monetaryValue": "OpportunityMonetaryValueUpdate",
    "assignedTo": "OpportunityAssignedToUpdate",
}
_TYPES = {"NUMERICAL": "number", "MONETORY": "number", "DATE": "date", "MULTIPLE_OPTIONS": "array", "CHECKBOX": "array"}


@dataclass(eq=False)
class Settings:
    """How this HighLevel behaves where the real one varies, or where nobody knows; all may be set at run time."""

    token: str = "pit-sandbox"
    scopes: frozenset[str] = ALL_SCOPES
    lag_seconds: float = 0.0  # search behind writes; a change counts for later writes only
    rate_limit: int = 100
    rate_window_seconds: float = 10.0
    daily_limit: int = 200_000  # per UTC day
    retry_after: float | None = None  # seconds in a 429's Retry-After; None: no such header
    allow_duplicates: bool = False
    closed_deals_count_as_duplicates: bool = True  # reference/ghl.md §13.7
    allow_duplicate_contacts: bool = False
    contact_owner_coupled: bool = False  # a deal's owner is its contact's, and so of all the contact's deals (§10)
    contact_edit_bumps_deal: bool = False  # reference/ghl.md §13.9
    deal_field_limits: dict[str, int] = field(default_factory=dict)  # longest text per field of a deal
    cursor_id: Literal["contact", "opportunity"] = "contact"  # what meta.startAfterId carries, §13.4
    honours_date_filter: bool = True  # False: a range of date_updated is silently ignored, §13.6
    refuses_filters: bool = False  # POST search refuses `filters` and `sort`, which OpenAPI does not list, §3.2
    hidden_from_search: set[str] = field(default_factory=set)  # ids that the index has lost
    total_drift: int = 0  # added to every total, §3.1
    clears_owner_with: frozenset[str] = frozenset({"null", ""})  # what PUT takes to clear assignedTo, §13.3
    malformed_id_status: int = 404  # 400 is reported too, §2.3
    lost_reasons_available: bool = True  # False: 401 for the scope, §10
    stage_stamp_lead_ms: int = 0  # lastStageChangeAt before updatedAt on a move; 453 was seen, §4


@dataclass(frozen=True, slots=True)
class Trigger:
    """One start of the customer's workflows. `field`: stage, status, name, custom:<id>, …; a stage "pipeline:stage"."""

    at: float  # epoch seconds
    deal_id: str
    kind: str  # OpportunityStageUpdate, OpportunityUpdate, …
    field: str
    old: Any
    new: Any
    source: Source


def iso(milliseconds: int) -> str:
    """An instant as HighLevel writes it: ISO-8601, UTC, milliseconds, Z."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{rest:03d}Z"


def full_name(contact: Record) -> str:
    """The name of a contact as a deal shows it."""
    return " ".join(part for part in (contact.get("firstName"), contact.get("lastName")) if part)


class Store:
    """All records of one location. Not thread-safe: `HighLevel` holds the lock."""

    def __init__(self, data: LocationData, clock: Callable[[], float], settings: Settings) -> None:
        self.settings = settings
        self.clock = clock
        self.location = dict(data.location)
        self.pipelines = [{**line, "stages": [dict(stage) for stage in line["stages"]]} for line in data.pipelines]
        self.users: dict[str, Record] = {user["id"]: dict(user) for user in data.users}
        self.contacts: dict[str, Record] = {contact["id"]: dict(contact) for contact in data.contacts}
        self.deals: dict[str, Record] = {deal["id"]: dict(deal) for deal in data.deals}
        self.deleted: dict[str, Record] = {}
        self.custom_fields = [dict(one) for one in data.custom_fields]
        self.lost_reasons = [dict(one) for one in data.lost_reasons]
        self.triggers: list[Trigger] = []
        self.index = Index()
        self._deals_of: dict[str, set[str]] = {}
        for deal in self.deals.values():
            self._deals_of.setdefault(deal["contactId"], set()).add(deal["id"])
        self.index.load(Doc(deal, self.contacts[deal["contactId"]]) for deal in self.deals.values())
        self._random = random.Random(f"server {data.seed}")

    # --- looking up

    @property
    def location_id(self) -> str:
        """The one location of this server."""
        return str(self.location["id"])

    def now_ms(self) -> int:
        """The server's clock in epoch milliseconds."""
        return round(self.clock() * 1000)

    def trace_id(self) -> str:
        """A new trace id."""
        return new_uuid(self._random)

    def new_id(self) -> str:
        """A new record id."""
        return new_id(self._random)

    def pipeline(self, pipeline_id: str) -> Record:
        """One pipeline; KeyError if there is none."""
        for pipeline in self.pipelines:
            if pipeline["id"] == pipeline_id:
                return pipeline
        raise KeyError(pipeline_id)

    def pipeline_of(self, stage_id: str) -> Record:
        """The pipeline of a stage; KeyError if no pipeline has it."""
        for pipeline in self.pipelines:
            if any(stage["id"] == stage_id for stage in pipeline["stages"]):
                return pipeline
        raise KeyError(stage_id)

    def first_stage(self, pipeline_id: str) -> str:
        """The id of a pipeline's lowest stage."""
        return str(min(self.pipeline(pipeline_id)["stages"], key=lambda stage: stage["position"])["id"])

    def deals_of(self, contact_id: str) -> list[Record]:
        """The deals of a contact, oldest first."""
        found = (self.deals[deal_id] for deal_id in self._deals_of.get(contact_id, ()))
        return sorted(found, key=lambda deal: (deal["createdAt"], deal["id"]))

    # --- writing deals

    def create(self, values: Mapping[str, Any], source: Source) -> Record:
        """Makes a deal of checked values (pipelineId, pipelineStageId, name, status, contactId at least)."""
        now = self.now_ms()
        deal_id = self.new_id()
        # At creation updatedAt may be 1 ms before lastStageChangeAt (8 in 100, reference/ghl.md §4).
        begun = now - 1 if zlib.crc32(deal_id.encode()) % 12 == 0 else now
        deal: Record = {
            "id": deal_id,
            "name": "",
            "monetaryValue": 0,
            "assignedTo": None,
            "source": None,
            "locationId": self.location_id,
            "lostReasonId": None,
            "followers": [],
            "createdAt": begun,
            "updatedAt": begun,
            "lastStageChangeAt": now,
            "lastStatusChangeAt": begun,
            "indexVersion": None,
            "customFields": {},
            **values,
        }
        self._deals_of.setdefault(deal["contactId"], set()).add(deal_id)
        self._keep(deal)
        self._fire(deal_id, "OpportunityCreate", "", None, deal["name"], source)
        if deal["assignedTo"]:
            self._couple(deal)
        return deal

    def update(self, deal_id: str, changes: Mapping[str, Any], source: Source) -> Record:
        """Writes fields of a deal. The API fires the trigger of every field it names, a person's edit of every change.

        `changes` has HighLevel's names, with `customFields` a dict by field id. A person who changes nothing writes
        nothing.
        """
        old = self.deals[deal_id]
        custom = {**old["customFields"], **changes.get("customFields", {})}
        new: Record = {
            **old,
            **changes,
            "customFields": {key: value for key, value in custom.items() if value is not None},
        }
        if new["status"] != "lost":
            new["lostReasonId"] = None
        if source != "api" and new == old:
            return old
        now = self.now_ms()
        new["updatedAt"] = now
        if new["pipelineStageId"] != old["pipelineStageId"]:
            new["lastStageChangeAt"] = now - self.settings.stage_stamp_lead_ms
        if new["status"] != old["status"]:
            new["lastStatusChangeAt"] = now
        new["indexVersion"] = (old["indexVersion"] or 1) + 1
        self._keep(new)
        for name, before, after in _touched(changes, old, new):
            if source == "api" or before != after:
                self._fire(deal_id, _KINDS.get(name, "OpportunityUpdate"), name, before, after, source)
        if new["assignedTo"] != old["assignedTo"]:
            self._couple(new)
        return new

    def delete(self, deal_id: str, source: Source) -> None:
        """Deletes a deal; `restore` can bring it back."""
        deal = self.deals.pop(deal_id)
        self._deals_of[deal["contactId"]].discard(deal_id)
        self.deleted[deal_id] = deal
        self.index.put(deal_id, None, self.clock() + self.settings.lag_seconds)
        self._fire(deal_id, "OpportunityDelete", "", deal["name"], None, source)

    def restore(self, deal_id: str) -> Record:
        """Brings a deleted deal back under its id, as the audit log does (reference/ghl.md §3.5)."""
        deal = {**self.deleted.pop(deal_id), "updatedAt": self.now_ms()}
        stages = {stage["id"] for stage in self.pipeline(deal["pipelineId"])["stages"]}
        if deal["pipelineStageId"] not in stages:  # its stage was deleted meanwhile
            deal |= {"pipelineStageId": self.first_stage(deal["pipelineId"]), "lastStageChangeAt": self.now_ms()}
        self._deals_of.setdefault(deal["contactId"], set()).add(deal_id)
        self._keep(deal)
        self._fire(deal_id, "OpportunityCreate", "restored", None, deal["name"], "person")
        return deal

    # --- writing contacts

    def create_contact(self, values: Mapping[str, Any]) -> Record:
        """Makes a contact of checked values."""
        now = self.now_ms()
        contact: Record = {
            "id": self.new_id(),
            "locationId": self.location_id,
            **dict.fromkeys(("firstName", "lastName", "email", "phone", "companyName", "source", "assignedTo")),
            "tags": [],
            "dateAdded": now,
            "dateUpdated": now,
            "customFields": [],
            **values,
        }
        self.contacts[contact["id"]] = contact
        return contact

    def update_contact(self, contact_id: str, changes: Mapping[str, Any]) -> Record:
        """Writes fields of a contact and queues its deals' search rows, which show it."""
        old = self.contacts[contact_id]
        new = {**old, **changes, "dateUpdated": self.now_ms()}
        self.contacts[contact_id] = new
        for deal in self.deals_of(contact_id):
            bumped = {**deal, "updatedAt": self.now_ms()} if self.settings.contact_edit_bumps_deal else deal
            self._keep(bumped)
        if self.settings.contact_owner_coupled and new["assignedTo"] != old["assignedTo"]:
            self._own_deals(contact_id, new["assignedTo"])
        return new

    # --- rendering

    def contact_of(self, deal: Record) -> Record:
        """The current contact of a deal."""
        return self.contacts[deal["contactId"]]

    def full_deal(self, deal: Record, v3: bool = False) -> Record:
        """A deal as GET by id shows it: current, with all custom fields as {id, fieldValue}."""
        shown = _common(deal, self.contact_of(deal), v3)
        shown["customFields"] = [{"id": key, "fieldValue": value} for key, value in deal["customFields"].items()]
        if not v3:  # v3 leaves them out (reference/ghl.md §2, #305)
            shown |= {"notes": [], "tasks": [], "calendarEvents": []}
        return shown

    def search_row(self, doc: Doc, v3: bool) -> Record:
        """A deal as search shows it: only the first custom field, in search's shape (reference/ghl.md §§3.2, 10)."""
        deal, contact = doc.deal, doc.contact
        shown = _common(deal, contact, v3)
        first = next((one for one in self.custom_fields if one["model"] == "opportunity"), None)
        shown["customFields"] = []
        if first is not None and first["id"] in deal["customFields"]:
            shape = _TYPES.get(first["dataType"], "string")
            value = deal["customFields"][first["id"]]
            shown["customFields"] = [{"id": first["id"], "type": shape, f"fieldValue{shape.capitalize()}": value}]
        relation = {
            "associationId": "OPPORTUNITIES_CONTACTS_ASSOCIATION",
            "relationId": deal["id"],
            "primary": True,
            "objectKey": "contact",
            "recordId": contact["id"],
        }
        return shown | {"relations": [relation], "attributions": []}

    # --- inside

    def _keep(self, deal: Record) -> None:
        self.deals[deal["id"]] = deal
        self.index.put(deal["id"], Doc(deal, self.contact_of(deal)), self.clock() + self.settings.lag_seconds)

    def _fire(self, deal_id: str, kind: str, name: str, old: Any, new: Any, source: Source) -> None:
        self.triggers.append(Trigger(self.clock(), deal_id, kind, name, old, new, source))

    def _couple(self, deal: Record) -> None:
        """Makes a deal's owner its contact's owner, where owners are coupled (reference/ghl.md §10)."""
        contact = self.contact_of(deal)
        if self.settings.contact_owner_coupled and contact["assignedTo"] != deal["assignedTo"]:
            self.contacts[contact["id"]] = {**contact, "assignedTo": deal["assignedTo"], "dateUpdated": self.now_ms()}
            self._own_deals(contact["id"], deal["assignedTo"])

    def _own_deals(self, contact_id: str, owner: str | None) -> None:
        for deal in self.deals_of(contact_id):
            self.update(deal["id"], {"assignedTo": owner}, "coupling")


def _touched(changes: Mapping[str, Any], old: Record, new: Record) -> list[tuple[str, Any, Any]]:
    """The fields that a write names, with their values before and after. Pipeline and stage are one field."""
    found: list[tuple[str, Any, Any]] = []
    if "pipelineId" in changes or "pipelineStageId" in changes:
        before, after = (f"{deal['pipelineId']}:{deal['pipelineStageId']}" for deal in (old, new))
        found.append(("stage", before, after))
    for name in changes:
        if name == "customFields":
            found += [
                (f"custom:{key}", old["customFields"].get(key), new["customFields"].get(key)) for key in changes[name]
            ]
        elif name not in ("pipelineId", "pipelineStageId", "lostReasonId"):
            found.append((name, old.get(name), new.get(name)))
    return found


def _common(deal: Record, contact: Record, v3: bool) -> Record:
    """What GET by id and search have in common."""
    shown: Record = {
        name: deal[name]
        for name in ("id", "name", "monetaryValue", "pipelineId", "pipelineStageId", "status", "assignedTo", "source")
    }
    shown["pipelineStageUId"] = deal["pipelineStageId"]
    shown |= {name: deal[name] for name in ("contactId", "locationId", "lostReasonId", "followers")}
    for stamp in ("createdAt", "updatedAt", "lastStageChangeAt", "lastStatusChangeAt"):
        shown[stamp] = iso(deal[stamp])
    if deal["indexVersion"] is not None:
        shown["indexVersion"] = deal["indexVersion"]
    if zlib.crc32(deal["id"].encode()) % 5 == 0:  # null and absent are both normal (reference/ghl.md §2.2)
        shown = {name: value for name, value in shown.items() if value is not None}
    shown["contact"] = {
        "id": contact["id"],
        "name": full_name(contact),
        "companyName": contact["companyName"],
        "email": contact["email"],
        "phone": contact["phone"],
        "tags": contact["tags"],
        "score": [],
    }
    if v3:
        forecast = ("forecastExpectedCloseDate", "forecastProbability")
        shown |= {name: deal[name] for name in forecast if deal.get(name) is not None}
        shown["effectiveProbability"] = deal.get("forecastProbability") or {"won": 100, "open": 50}.get(
            deal["status"], 0
        )
    return shown
