"""Made-up but lifelike data of one HighLevel location, the same for the same seed.

Records have HighLevel's field names; times are epoch milliseconds, custom field values of a deal a dict by field id.
What is awkward in the real service is awkward here: stage names, CSV imports, no owners (reference/ghl.md §§2, 3, 8).
"""

from __future__ import annotations

import random
import string
import time
import uuid
from dataclasses import dataclass
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]

PAGE = 100  # the page boundary that an imported pair is made to straddle
YEAR_MS = 365 * 86_400_000


def _words(text: str, separator: str) -> tuple[str, ...]:
    return tuple(text.split(separator))


_ALPHABET = string.ascii_letters + string.digits

# "Négociation" is in NFD: the accent is a character of its own.
_PIPELINES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Sales", ("New Lead", "Contacted ", "Proposal  Sent", "Ne\u0301gociation", "🔥 Hot", "Won", "Lost")),
    ("Onboarding", ("New Lead", "Kick-off call", "Going live", "Won")),
    ("Renewals  2026 ", ("new lead", "Reminder sent", "WON", "Not renewed")),
)
_FIRST = _words(
    "Maria James Aisha Chen Olivia Noah Priya Lukas Sofía Ethan Zoë Malik Hannah Diego Ingrid Tom Amara Björn Chloé "
    "Ravi Grace Omar Lena Patrick Yuki Nadia Samuel Élodie Victor Ruth",
    " ",
)
_LAST = _words(
    "Garcia Smith Müller Nguyen O'Brien Johansson Patel Kowalski Brown Rossi Okafor Dubois Kim Hernandez Baker Novák "
    "Walker Singh Larsen Moreau Fischer Adams Costa Young Haddad Lopez Turner Weber Ali Carter",
    " ",
)
_TRADES = _words(
    "Roofing,Dental,Landscaping,Solar,Plumbing,Fitness,Legal,Bakery,Auto Repair,Interiors,Logistics,Vet Clinic", ","
)
_FORMS = ("LLC", "Inc", "& Sons", "Group", "Studio", "Co.")
_JOBS = _words(
    "roof replacement,website + SEO,annual plan,kitchen refit,solar 8 kWp,consulting retainer,ad campaign,"
    "pool installation,CRM setup,fleet contract,office cleaning,brand relaunch",
    ",",
)
_SOURCES = ("Facebook form", "google ads", "Referral", "Website", "CSV import", "Cold call")
_USERS = (
    ("Dana", "Whitfield"),
    ("Marco", "Bellini"),
    ("Sigrid", "Ångström"),
    ("Jo", "Park"),
    ("Jo", "Parker"),
    ("Terrence", "Oyelaran"),
)


@dataclass(slots=True)
class LocationData:
    """Everything a location holds when the sandbox starts. A server takes copies, so one may start several servers."""

    seed: int
    now: float  # epoch seconds; no record is younger
    location: Record
    pipelines: list[Record]
    users: list[Record]
    contacts: list[Record]
    deals: list[Record]
    custom_fields: list[Record]
    lost_reasons: list[Record]

    @property
    def id(self) -> str:
        """The location's id."""
        return str(self.location["id"])


def new_id(source: random.Random, length: int = 20) -> str:
    """An id as HighLevel makes them: letters and digits."""
    return "".join(source.choices(_ALPHABET, k=length))


def new_uuid(source: random.Random) -> str:
    """A stage's id."""
    return str(uuid.UUID(int=source.getrandbits(128), version=4))


def make_location(seed: int, deals: int = 250, *, now: float | None = None) -> LocationData:
    """Makes the data of one location; the same arguments give the same data.

    `deals` is the number of deals, `now` the instant (epoch seconds) at which the past year ends (default: now).
    From 150 deals on, two deals of one contact that were created in the same millisecond straddle the first boundary
    of a 100-row page in search's default order, and again in that of the first pipeline if it has 150 deals.
    """
    now = time.time() if now is None else now
    source = random.Random(f"location {seed}")
    now_ms = int(now * 1000)
    location_id = new_id(source)
    location = {
        "id": location_id,
        "companyId": new_id(source),
        "name": "Harbour & Pine Home Services",
        "email": "office@harbourpine.example",
        "phone": "+15550100000",
        "country": "US",
        "timezone": "America/Chicago",
    }
    users = [_user(source, location, first, last) for first, last in _USERS]
    pipelines = [_pipeline(source, location_id, name, stages) for name, stages in _PIPELINES]
    contacts = [_contact(source, location_id, number, now_ms) for number in range(max(3, deals * 4 // 5))]
    fields = _custom_fields(source, location_id)
    reasons = [
        {"id": new_id(source), "name": name, "locationId": location_id, "createdAt": now_ms, "updatedAt": now_ms}
        for name in ("Too expensive", "Chose a competitor", "No answer")
    ]
    data = LocationData(seed, now, location, pipelines, users, contacts, [], fields, reasons)
    data.deals = _deals(source, data, deals, now_ms)
    return data


def _user(source: random.Random, location: Record, first: str, last: str) -> Record:
    return {
        "id": new_id(source),
        "name": f"{first} {last}",
        "firstName": first,
        "lastName": last,
        "email": f"{first}.{last}@harbourpine.example".lower(),
        "phone": "",
        "deleted": False,
        "roles": {"type": "account", "role": "user", "locationIds": [location["id"]]},
    }


def _pipeline(source: random.Random, location_id: str, name: str, stages: tuple[str, ...]) -> Record:
    return {
        "id": new_id(source),
        "name": name,
        "locationId": location_id,
        "showInFunnel": True,
        "showInPieChart": True,
        "stages": [
            {"id": new_uuid(source), "name": stage, "position": at, "showInFunnel": True, "showInPieChart": True}
            for at, stage in enumerate(stages)
        ],
    }


def _contact(source: random.Random, location_id: str, number: int, now_ms: int) -> Record:
    first, last = source.choice(_FIRST), source.choice(_LAST)
    mail = f"{first}.{last}{number}".lower().replace("'", "")
    area, line = divmod(number, 10_000)
    added = now_ms - YEAR_MS - source.randrange(YEAR_MS)
    return {
        "id": new_id(source),
        "locationId": location_id,
        "firstName": first,
        "lastName": last,
        "email": None if source.random() < 0.05 else f"{mail}@mail.example".encode("ascii", "ignore").decode(),
        "phone": None if source.random() < 0.1 else f"+1{212 + area}555{line:04d}",
        "companyName": f"{last} {source.choice(_TRADES)} {source.choice(_FORMS)}" if source.random() < 0.6 else None,
        "tags": ["newsletter"] if source.random() < 0.2 else [],
        "source": None,
        "assignedTo": None,
        "dateAdded": added,
        "dateUpdated": added,
        "customFields": [],
    }


def _custom_fields(source: random.Random, location_id: str) -> list[Record]:
    shapes: tuple[tuple[str, str, str, list[str]], ...] = (
        ("opportunity", "Priority", "SINGLE_OPTIONS", ["Low", "Medium", "High"]),
        ("opportunity", "Site area m²", "NUMERICAL", []),
        ("opportunity", "Install date", "DATE", []),
        ("opportunity", "Extras", "MULTIPLE_OPTIONS", ["Gutters", "Skylight", "Warranty"]),
        ("contact", "Preferred language", "TEXT", []),
    )
    found = []
    for position, (model, name, data_type, options) in enumerate(shapes):
        key = "".join(char if char.isalnum() else "_" for char in name.lower())
        field: Record = {"id": new_id(source), "name": name, "model": model, "fieldKey": f"{model}.{key}"}
        field |= {
            "dataType": data_type,
            "position": position * 50,
            "parentId": new_id(source),
            "locationId": location_id,
        }
        found.append(field | ({"picklistOptions": options} if options else {}))
    return found


def _deals(source: random.Random, data: LocationData, count: int, now_ms: int) -> list[Record]:
    """The deals, youngest first (the order of search)."""
    times = {now_ms - 3_600_000 - source.randrange(YEAR_MS) for _ in range(count)}
    while len(times) < count:
        times.add(now_ms - 3_600_000 - source.randrange(YEAR_MS))
    deals = [_deal(source, data, created, now_ms) for created in sorted(times, reverse=True)]
    first = data.pipelines[0]["id"]
    _import_together(deals, PAGE)
    _import_together([deal for deal in deals if deal["pipelineId"] == first], PAGE)
    for at in range(12, count - 3, 97):  # some more imports, of two or three rows of one contact
        if not PAGE - 3 <= at <= PAGE + 1:
            _import_together(deals[at : at + source.choice((2, 3))], 1)
    return sorted(deals, key=lambda deal: -int(deal["createdAt"]))


def _import_together(deals: list[Record], boundary: int) -> None:
    """Gives the two deals around `boundary` (1: all of a slice) one contact and one instant, as an import does."""
    if len(deals) < boundary * 3 // 2 or len(deals) < 2:
        return
    group = deals if boundary == 1 else deals[boundary - 1 : boundary + 1]
    for deal in group[1:]:
        shift = group[0]["createdAt"] - deal["createdAt"]
        deal["contactId"] = group[0]["contactId"]
        deal["source"] = "CSV import"
        deal["createdAt"] += shift
        for stamp in ("updatedAt", "lastStageChangeAt", "lastStatusChangeAt"):
            deal[stamp] = max(deal[stamp], deal["createdAt"])


def _deal(source: random.Random, data: LocationData, created: int, now_ms: int) -> Record:
    contact = source.choice(data.contacts)
    pipeline = source.choices(data.pipelines, weights=(7, 2, 1))[0]
    stage = source.choice(pipeline["stages"])
    # A stage called "Won" says nothing about the status (reference/ghl.md §8).
    status = source.choices(("open", "won", "lost", "abandoned"), weights=(70, 14, 12, 4))[0]
    edits = sorted(source.randrange(created, now_ms - 60_000) for _ in range(3))
    stage_at, status_at, updated = edits if source.random() < 0.8 else (created, created, created)
    if source.random() < 0.08:  # never touched since: updatedAt 1 ms before lastStageChangeAt (reference/ghl.md §4)
        stage_at, status_at, updated = created + 1, created, created
    who = contact["companyName"] or f"{contact['firstName']} {contact['lastName']}"
    return {
        "id": new_id(source),
        "name": f"{who} – {source.choice(_JOBS)}",
        "monetaryValue": _money(source),
        "pipelineId": pipeline["id"],
        "pipelineStageId": stage["id"],
        "status": status,
        "assignedTo": source.choice(data.users)["id"] if source.random() < 0.35 else None,
        "source": source.choice(_SOURCES) if source.random() < 0.5 else None,
        "contactId": contact["id"],
        "locationId": data.id,
        "lostReasonId": source.choice(data.lost_reasons)["id"] if status == "lost" and source.random() < 0.5 else None,
        "followers": [],
        "createdAt": created,
        "updatedAt": updated,
        "lastStageChangeAt": stage_at,
        "lastStatusChangeAt": status_at,
        "indexVersion": source.randrange(1, 9) if source.random() < 0.03 else None,
        "customFields": _values(source, data.custom_fields, created),
    }


def _money(source: random.Random) -> float | int:
    draw = source.random()
    if draw < 0.25:
        return 0
    whole = source.randrange(1, 400) * 50
    return whole if draw < 0.75 else round(whole + source.randrange(1, 100) / 100, 2)


def _values(source: random.Random, fields: list[Record], created: int) -> Record:
    values: Record = {}
    for field in fields:
        if field["model"] != "opportunity" or source.random() < 0.5:
            continue
        match field["dataType"]:
            case "SINGLE_OPTIONS":
                values[field["id"]] = source.choice(field["picklistOptions"])
            case "NUMERICAL":
                values[field["id"]] = source.randrange(20, 900)
            case "DATE":  # a day, as epoch milliseconds of its start
                values[field["id"]] = created // 86_400_000 * 86_400_000 + source.randrange(90) * 86_400_000
            case "MULTIPLE_OPTIONS":
                values[field["id"]] = source.sample(field["picklistOptions"], 2)
    return values
