"""Contacts, users and the location of the local HighLevel (reference/ghl.md §§9, 10)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .data import Record
from .highlevel_dto import Call, Endpoint, Refused, Rule, Rules, check, check_query
from .highlevel_store import Store, full_name, iso
from .wire import Answer

_TEXT = Rule("string")
_NULLABLE = Rule("string", nullable=True)
_CONTACT: Rules = {
    **dict.fromkeys(("firstName", "lastName", "name"), _NULLABLE),
    "email": Rule("email", nullable=True),  # an empty string is refused (reference/ghl.md §9)
    **dict.fromkeys(("phone", "address1", "city", "state", "website", "timezone", "source"), _NULLABLE),
    **dict.fromkeys(("postalCode", "country"), _TEXT),
    "dnd": Rule("boolean"),
    **dict.fromkeys(("dndSettings", "inboundDndSettings"), Rule("object")),
    "tags": Rule("array"),
    "customFields": Rule("array"),
    "dateOfBirth": _NULLABLE,
    "assignedTo": _NULLABLE,
}
_NEW_CONTACT: Rules = {
    **_CONTACT,
    "locationId": Rule("string", required=True),
    "gender": _TEXT,
    "companyName": _NULLABLE,
}
_SEARCH_CONTACTS: Rules = {
    "locationId": Rule("string", required=True),
    "pageLimit": Rule("number", required=True, least=1, most=500),
    "page": Rule("number", least=1),
    "searchAfter": Rule("array"),
    "query": Rule("string", most=75),
    "filters": Rule("array"),
    "sort": Rule("array"),
}


class Directory:
    """The endpoints of contacts, users and the location."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def endpoints(self) -> list[Endpoint]:
        """All endpoints of this class. Fixed paths stand before those with an id."""
        read, write, users, fields = "contacts.readonly", "contacts.write", "users.readonly", "locations/customFields"
        fields = f"{fields}.readonly"
        return [
            Endpoint("GET", "/contacts/search/duplicate", read, self.duplicate),
            Endpoint("POST", "/contacts/search", read, self.search),
            Endpoint("POST", "/contacts/upsert", write, self.upsert),
            Endpoint("POST", "/contacts/", write, self.create),
            Endpoint("GET", "/contacts/*", read, self.get),
            Endpoint("PUT", "/contacts/*", write, self.put),
            Endpoint("GET", "/users/", users, self.users),
            Endpoint("GET", "/users/search", users, self.search_users),
            Endpoint("GET", "/users/*", users, self.user),
            Endpoint("GET", "/locations/*", "locations.readonly", self.location),
            Endpoint("GET", "/locations/*/customFields", fields, self.custom_fields),
            Endpoint("GET", "/locations/*/custom-fields", fields, self.custom_fields, v3_only=True),
        ]

    # --- contacts

    def get(self, call: Call) -> Answer:
        """GET a contact by id."""
        return self._ok({"contact": _shown(self._contact(call.ids[0]))})

    def put(self, call: Call) -> Answer:
        """PUT a contact; another contact's email or phone is refused where duplicates are not allowed."""
        check(call.body, _CONTACT)
        contact = self._contact(call.ids[0])
        values = _values(call.body)
        self._refuse_duplicate(values, but=contact["id"])
        changed = self._store.update_contact(contact["id"], values)
        done = "succeeded" if call.v3 else "succeded"
        return self._ok({done: True, "contact": _shown(changed)})

    def create(self, call: Call) -> Answer:
        """POST a contact."""
        check(call.body, _NEW_CONTACT)
        values = _values(call.body)
        self._refuse_duplicate(values)
        shown = _shown(self._store.create_contact(values))
        del shown["name"]  # this answer has its own schema
        return self._ok({"contact": shown}, 201)

    def upsert(self, call: Call) -> Answer:
        """POST upsert: writes the contact with that email, else with that phone, else a new one. Tags are replaced."""
        check(call.body, {**_NEW_CONTACT, "createNewIfDuplicateAllowed": Rule("boolean")})
        values = _values(call.body)
        forced = values.pop("createNewIfDuplicateAllowed", False) and self._store.settings.allow_duplicate_contacts
        found = None if forced else self._same(values)
        if found is None:
            return self._ok({"new": True, "contact": _shown(self._store.create_contact(values))})
        changed = self._store.update_contact(found[0]["id"], values)
        return self._ok({"new": False, "contact": _shown(changed)})

    def duplicate(self, call: Call) -> Answer:
        """GET the contact of an email or a number, or null. A bare + in the query is a space, and matches nothing."""
        given = check_query(call, {"locationId": Rule("string", required=True), "number": _TEXT, "email": _TEXT})
        found = self._same({"email": given.get("email"), "phone": given.get("number")})
        return self._ok({"contact": _shown(found[0]) if found else None})

    def search(self, call: Call) -> Answer:
        """POST search for contacts: pages, `query`, and filters with eq and contains on texts."""
        check(call.body, _SEARCH_CONTACTS)
        body = call.body
        needle = str(body.get("query") or "").casefold()
        tests = [self._filter(one) for one in body.get("filters") or []]
        found = [
            contact
            for contact in sorted(self._store.contacts.values(), key=lambda one: (-one["dateAdded"], one["id"]))
            if (not needle or needle in _haystack(contact))
            and all(_matches(contact, name, operator, value) for name, operator, value in tests)
        ]
        limit = body["pageLimit"]
        start = (int(body.get("page", 1)) - 1) * limit
        if body.get("searchAfter"):
            added, contact_id = body["searchAfter"][0], str(body["searchAfter"][-1])
            if not str(added).isdigit():
                raise Refused(422, ["searchAfter must be that of a row"])
            after = (-int(added), contact_id)
            start = sum((-one["dateAdded"], one["id"]) <= after for one in found)
        rows = [
            {**_shown(one), "searchAfter": [one["dateAdded"], one["id"]]}
            for one in found[int(start) : int(start) + limit]
        ]
        return self._ok({"contacts": rows, "total": len(found)})

    def _filter(self, given: Any) -> tuple[str, str, Any]:
        names = ("email", "phone", "firstName", "lastName", "companyName", "id", "assignedTo")
        if not isinstance(given, dict) or given.get("field") not in names or given.get("operator") not in _OPERATORS:
            raise Refused(422, [f"filters: {given!r} is not supported"])
        return given["field"], given["operator"], given.get("value")

    def _contact(self, contact_id: str) -> Record:
        try:
            return self._store.contacts[contact_id]
        except KeyError:
            raise Refused(404, f"Contact with id {contact_id} not found", "CONTACT_NOT_FOUND") from None

    def _same(self, values: Mapping[str, Any], but: str = "") -> tuple[Record, str] | None:
        """The contact with that email, else with that phone, and which of them matched (email has priority, §9)."""
        email, phone = str(values.get("email") or "").casefold(), str(values.get("phone") or "")
        others = [one for one in self._store.contacts.values() if one["id"] != but]
        for one in others:
            if email and email == (one["email"] or "").casefold():
                return one, "email"
        for one in others:
            if phone and phone == one["phone"]:
                return one, "phone"
        return None

    def _refuse_duplicate(self, values: Mapping[str, Any], but: str = "") -> None:
        found = None if self._store.settings.allow_duplicate_contacts else self._same(values, but)
        if found is not None:
            contact, field = found
            meta = {"contactId": contact["id"], "contactName": full_name(contact), "matchingField": field}
            raise Refused(400, "This location does not allow duplicated contacts.", meta=meta)

    # --- users and the location

    def users(self, call: Call) -> Answer:
        """GET the users of the location: deprecated, but answered under every version (reference/ghl.md §10)."""
        check_query(call, {"locationId": Rule("string", required=True)})
        return self._ok({"users": list(self._store.users.values())})

    def search_users(self, call: Call) -> Answer:
        """GET users by company."""
        names = ("query", "locationId", "type", "role", "ids", "sort", "sortDirection", "enabled2waySync")
        number = Rule("number", least=0)
        rules: Rules = {"companyId": Rule("string", required=True), **dict.fromkeys(names, _TEXT)}
        given = check_query(call, {**rules, "skip": number, "limit": number})
        if given["companyId"] != self._store.location["companyId"]:
            raise Refused(403, "The token does not have access to this company.")
        needle = str(given.get("query", "")).casefold()
        found = [user for user in self._store.users.values() if needle in f"{user['name']} {user['email']}".casefold()]
        skip, limit = given.get("skip", 0), given.get("limit", 25)
        return self._ok({"users": found[skip : skip + limit], "count": len(found)})

    def user(self, call: Call) -> Answer:
        """GET a user by id: not wrapped."""
        try:
            user = self._store.users[call.ids[0]]
        except KeyError:
            raise Refused(404, f"User with id {call.ids[0]} not found") from None
        return self._ok({name: value for name, value in user.items() if name != "deleted"})

    def location(self, call: Call) -> Answer:
        """GET the location with its settings."""
        settings = self._store.settings
        shown = {
            "allowDuplicateContact": settings.allow_duplicate_contacts,
            "allowDuplicateOpportunity": settings.allow_duplicates,
        }
        return self._ok({"location": {**self._store.location, "settings": shown}})

    def custom_fields(self, call: Call) -> Answer:
        """GET the custom fields; without a model those of contacts only (reference/ghl.md §10)."""
        given = check_query(call, {"model": Rule(("contact", "opportunity", "all"))})
        model = given.get("model", "contact")
        found = [one for one in self._store.custom_fields if model in ("all", one["model"])]
        return self._ok({"customFields": found})

    def _ok(self, body: Record, status: int = 200) -> Answer:
        return Answer(status, body | {"traceId": self._store.trace_id()})


_OPERATORS = ("eq", "contains")


def _values(body: Mapping[str, Any]) -> Record:
    """A contact's values as they are stored: a whole name is split, a phone is brought to E.164."""
    values = {name: value for name, value in body.items() if name != "locationId"}
    if "name" in values:
        first, _, last = (values.pop("name") or "").partition(" ")
        values = {"firstName": first or None, "lastName": last.strip() or None, **values}
    if "customFields" in values:
        if not all(isinstance(one, dict) for one in values["customFields"]):
            raise Refused(422, ["each value in nested property customFields must be either object or array"])
        values["customFields"] = [
            {"id": one.get("id"), "value": one.get("fieldValue", one.get("field_value"))}
            for one in values["customFields"]
        ]
    if values.get("phone"):
        digits = re.sub(r"\D", "", values["phone"])
        values["phone"] = f"+{digits}" if values["phone"].strip().startswith("+") else f"+1{digits}"
    return values


def _shown(contact: Record) -> Record:
    """A contact as its endpoints show it; what it lacks is left out."""
    shown = {**contact, "name": full_name(contact), "type": "lead", "dnd": False}
    shown = {name: value for name, value in shown.items() if value is not None}
    return shown | {"dateAdded": iso(contact["dateAdded"]), "dateUpdated": iso(contact["dateUpdated"])}


def _haystack(contact: Record) -> str:
    parts = (full_name(contact), contact["email"], contact["phone"], contact["companyName"])
    return "\n".join(part for part in parts if part).casefold()


def _matches(contact: Record, name: str, operator: str, value: Any) -> bool:
    mine, wanted = str(contact.get(name) or "").casefold(), str(value).casefold()
    return mine == wanted if operator == "eq" else wanted in mine
