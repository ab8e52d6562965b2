"""What people do in the local HighLevel's own pages: edits, deletions, renames, by method or by `/_sandbox/` path."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from .control import not_allowed, not_found
from .data import Record
from .highlevel_store import STATUSES, Settings, Store, Trigger
from .wire import Answer

_EDITABLE = frozenset(
    {"name", "pipelineId", "pipelineStageId", "status", "monetaryValue", "assignedTo", "source", "lostReasonId"}
    | {"customFields"}
)
_CONTACT = frozenset({"firstName", "lastName", "email", "phone", "companyName", "tags", "source", "assignedTo"})


class People(Settings):
    """People's edits, thread-safe. KeyError for an id that is not there, ValueError for what nobody could do."""

    _store: Store
    _lock: threading.RLock

    # --- reading, for tests

    @property
    def location_id(self) -> str:
        """The location's id."""
        return self._store.location_id

    @property
    def pipelines(self) -> list[Record]:
        """The pipelines with their stages, as copies."""
        with self._lock:
            return [{**line, "stages": [dict(one) for one in line["stages"]]} for line in self._store.pipelines]

    @property
    def users(self) -> list[Record]:
        """The users, as copies."""
        with self._lock:
            return [dict(user) for user in self._store.users.values()]

    @property
    def contacts(self) -> list[Record]:
        """The contacts, as copies; times in ms."""
        with self._lock:
            return [dict(contact) for contact in self._store.contacts.values()]

    @property
    def triggers(self) -> list[Trigger]:
        """Every start of a workflow so far, oldest first; clearing the list forgets them."""
        return self._store.triggers

    def deal(self, deal_id: str) -> Record:
        """A deal as GET by id shows it under 2021-07-28; KeyError if it is deleted or never was."""
        with self._lock:
            return self._store.full_deal(self._store.deals[deal_id])

    def deals(self) -> list[Record]:
        """All deals, as `deal` shows them."""
        with self._lock:
            return [self._store.full_deal(deal) for deal in self._store.deals.values()]

    def stage_id(self, pipeline_name: str, stage_name: str) -> str:
        """The id of a stage by the exact names; KeyError if there is none."""
        for pipeline in self.pipelines:
            for stage in pipeline["stages"]:
                if (pipeline["name"], stage["name"]) == (pipeline_name, stage_name):
                    return str(stage["id"])
        raise KeyError(f"{pipeline_name} / {stage_name}")

    # --- deals

    def person_edit(self, deal_id: str, **changes: Any) -> Record:
        """Edits a deal as a person does: only what really changes is written and fires.

        A stage brings its pipeline with it, a pipeline alone its first stage. `customFields` is a dict by field id.
        """
        with self._lock:
            self._store.update(deal_id, self._settled(changes), "person")
            return self.deal(deal_id)

    def person_create(self, *, contact_id: str | None = None, contact: Record | None = None, **values: Any) -> str:
        """Makes a deal and returns its id; without `contact_id` a contact is made of `contact` (firstName, email, …).

        Without a stage or pipeline it is the first pipeline's first stage, without a status open.
        """
        with self._lock:
            contact_id = values.pop("contactId", contact_id)
            if "pipelineId" not in values and "pipelineStageId" not in values:
                values["pipelineId"] = self._store.pipelines[0]["id"]
            settled = {"name": "New deal", "status": "open", **self._settled(values)}
            if contact_id is None:
                contact_id = self._store.create_contact(_checked(contact or {"firstName": "New"}, _CONTACT))["id"]
            return str(
                self._store.create({**settled, "contactId": self._store.contacts[contact_id]["id"]}, "person")["id"]
            )

    def person_delete(self, deal_id: str) -> None:
        """Deletes a deal."""
        with self._lock:
            self._store.delete(deal_id, "person")

    def person_restore(self, deal_id: str) -> None:
        """Brings a deleted deal back from the audit log, under the same id."""
        with self._lock:
            self._store.restore(deal_id)

    def person_edit_contact(self, contact_id: str, **changes: Any) -> None:
        """Edits a contact: firstName, lastName, email, phone, companyName, tags, source, assignedTo."""
        with self._lock:
            self._store.update_contact(contact_id, _checked(changes, _CONTACT))

    # --- pipelines, stages, users

    def rename_stage(self, stage_id: str, name: str) -> None:
        """Renames a stage; no deal is touched."""
        with self._lock:
            stages = self._store.pipeline_of(stage_id)["stages"]
            next(stage for stage in stages if stage["id"] == stage_id)["name"] = name

    def add_stage(self, pipeline_id: str, name: str) -> str:
        """Adds a stage at the end of a pipeline and returns its id."""
        with self._lock:
            stages = self._store.pipeline(pipeline_id)["stages"]
            stage = {"id": self._store.trace_id(), "name": name, "position": len(stages)}
            stages.append({**stage, "showInFunnel": True, "showInPieChart": True})
            return str(stage["id"])

    def delete_stage(self, stage_id: str) -> None:
        """Deletes a stage; its deals go to the lowest remaining one (reference/ghl.md §3.5)."""
        with self._lock:
            pipeline = self._store.pipeline_of(stage_id)
            left = [stage for stage in pipeline["stages"] if stage["id"] != stage_id]
            if not left:
                raise ValueError("a pipeline keeps at least one stage")
            pipeline["stages"] = [{**stage, "position": at} for at, stage in enumerate(left)]
            target = self._store.first_stage(pipeline["id"])
            for deal in list(self._store.deals.values()):
                if deal["pipelineStageId"] == stage_id:
                    self._store.update(deal["id"], {"pipelineStageId": target}, "person")

    def rename_pipeline(self, pipeline_id: str, name: str) -> None:
        """Renames a pipeline."""
        with self._lock:
            self._store.pipeline(pipeline_id)["name"] = name

    def delete_pipeline(self, pipeline_id: str) -> None:
        """Deletes a pipeline and every deal in it (reference/ghl.md §3.5)."""
        with self._lock:
            self._store.pipelines.remove(self._store.pipeline(pipeline_id))
            for deal in list(self._store.deals.values()):
                if deal["pipelineId"] == pipeline_id:
                    self._store.delete(deal["id"], "person")

    def rename_user(self, user_id: str, name: str) -> None:
        """Renames a user."""
        with self._lock:
            first, _, last = name.partition(" ")
            self._store.users[user_id] |= {"name": name, "firstName": first, "lastName": last}

    def flush_index(self) -> None:
        """Lets search show everything that was written so far, whatever the lag."""
        with self._lock:
            self._store.index.advance(float("inf"))

    # --- /_sandbox/

    def control(self, method: str, path_parts: tuple[str, ...], body: Any) -> Answer:
        """Answers `/_sandbox/...`: deals, contacts, stages, pipelines, users, triggers, settings, index."""
        given: Record = body if isinstance(body, dict) else {}
        thing, *rest = path_parts or ("",)
        handlers: dict[str, Callable[[str, list[str], Record], Answer]] = {
            "deals": self._control_deals,
            "contacts": self._control_contacts,
            "pipelines": self._control_pipelines,
            "stages": self._control_stages,
            "users": self._control_users,
            "triggers": self._control_triggers,
            "settings": self._control_settings,
            "index": self._control_index,
        }
        if thing not in handlers:
            return not_found(path_parts)
        with self._lock:
            return handlers[thing](method, rest, given)

    def _control_deals(self, method: str, rest: list[str], body: Record) -> Answer:
        match method, rest:
            case "GET", []:
                return Answer(200, {"deals": self.deals()})
            case "POST", []:
                return Answer(201, {"deal": self.deal(self.person_create(**body))})
            case "GET", [deal_id]:
                return Answer(200, {"deal": self.deal(deal_id)})
            case "PUT", [deal_id]:
                return Answer(200, {"deal": self.person_edit(deal_id, **body)})
            case "DELETE", [deal_id]:
                self.person_delete(deal_id)
                return Answer(200, {})
            case "POST", [deal_id, "restore"]:
                self.person_restore(deal_id)
                return Answer(200, {"deal": self.deal(deal_id)})
        return not_allowed(method)

    def _control_contacts(self, method: str, rest: list[str], body: Record) -> Answer:
        match method, rest:
            case "GET", []:
                return Answer(200, {"contacts": self.contacts})
            case "PUT", [contact_id]:
                self.person_edit_contact(contact_id, **body)
                return Answer(200, {})
        return not_allowed(method)

    def _control_pipelines(self, method: str, rest: list[str], body: Record) -> Answer:
        match method, rest:
            case "GET", []:
                return Answer(200, {"pipelines": self.pipelines})
            case "PUT", [pipeline_id]:
                self.rename_pipeline(pipeline_id, body["name"])
                return Answer(200, {})
            case "DELETE", [pipeline_id]:
                self.delete_pipeline(pipeline_id)
                return Answer(200, {})
            case "POST", [pipeline_id, "stages"]:
                return Answer(201, {"id": self.add_stage(pipeline_id, body["name"])})
        return not_allowed(method)

    def _control_stages(self, method: str, rest: list[str], body: Record) -> Answer:
        match method, rest:
            case "PUT", [stage_id]:
                self.rename_stage(stage_id, body["name"])
                return Answer(200, {})
            case "DELETE", [stage_id]:
                self.delete_stage(stage_id)
                return Answer(200, {})
        return not_allowed(method)

    def _control_users(self, method: str, rest: list[str], body: Record) -> Answer:
        match method, rest:
            case "GET", []:
                return Answer(200, {"users": self.users})
            case "PUT", [user_id]:
                self.rename_user(user_id, body["name"])
                return Answer(200, {})
        return not_allowed(method)

    def _control_triggers(self, method: str, rest: list[str], body: Record) -> Answer:
        if method not in ("GET", "DELETE") or rest:
            return not_allowed(method)
        found = [asdict(trigger) for trigger in self.triggers]
        if method == "DELETE":
            self.triggers.clear()
        return Answer(200, {"triggers": found})

    def _control_settings(self, method: str, rest: list[str], body: Record) -> Answer:
        if method not in ("GET", "PUT") or rest:
            return not_allowed(method)
        known = {field.name: getattr(self, field.name) for field in fields(Settings)}
        if unknown := body.keys() - known:
            raise ValueError(f"unknown settings {sorted(unknown)}")
        for name, value in body.items():
            shape = type(known[name])
            setattr(self, name, shape(value) if shape in (set, frozenset) else value)
            known[name] = getattr(self, name)
        shown = {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in known.items()}
        return Answer(200, {"settings": shown | {"location_id": self.location_id}})

    def _control_index(self, method: str, rest: list[str], body: Record) -> Answer:
        if (method, rest) != ("POST", ["flush"]):
            return not_allowed(method)
        self.flush_index()
        return Answer(200, {})

    # --- inside

    def _settled(self, changes: Record) -> Record:
        """Checked changes with pipeline and stage made to agree, as HighLevel's pages see to."""
        found = _checked(changes, _EDITABLE)
        if found.get("status", "open") not in STATUSES:
            raise ValueError(f"no such status: {found['status']}")
        owner = found.get("assignedTo")
        if owner is not None and owner not in self._store.users:
            raise KeyError(owner)
        if "pipelineStageId" in found:
            pipeline = self._store.pipeline_of(found["pipelineStageId"])["id"]
            if found.setdefault("pipelineId", pipeline) != pipeline:
                raise ValueError("that stage is of another pipeline")
        elif "pipelineId" in found:
            found["pipelineStageId"] = self._store.first_stage(found["pipelineId"])
        return found


def _checked(changes: Record, allowed: frozenset[str]) -> Record:
    if unknown := changes.keys() - allowed:
        raise ValueError(f"cannot be edited: {sorted(unknown)}")
    return dict(changes)
