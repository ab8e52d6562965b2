"""The daemon reads the columns amid a pass, since a select was edited: every value stays in its place (P1)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from syncd.pairs import Connection
from syncd.reconcile import PassResult
from syncd.settings import load_settings
from tests.end_to_end.desk import Desk

CONTACT = {"firstName": "Zoe", "email": "zoe@zed.example", "phone": "+15550001111", "companyName": "Zed Inc"}


def one_pass(connection: Connection) -> PassResult:
    """A pass as the daemon runs it."""
    return connection.run_pass(lambda _what, _done, _total: None, patient=True)


@pytest.mark.parametrize("column", ["Contact", "Owner"])
def test_beside_a_computed_column(tmp_path: Path, column: str) -> None:
    with Desk(tmp_path, deals=8) as rig:
        rig.write_config(pair="quiet = 0")
        rig.airtable.delete_field("Deals", column)
        rig.airtable.add_field("Deals", column, "formula", {"formula": "1+1"})
        settings = load_settings(rig.folder / "config" / "syncd.toml", rig.environment)
        settings = settings.model_copy(update={"state_dir": tmp_path / "state"})
        with Connection(settings, settings.pair[0], threading.Event()) as connection:
            assert [one_pass(connection).code for _ in range(2)] == [3, 3]  # a person is told of the computed column
            old, other = (str(deal["id"]) for deal in rig.deals()[:2])
            rig.later()
            rig.type(old, Status="lost" if rig.read(old, "status") != "lost" else "open")
            stage = rig.highlevel.deal(other)["pipelineStageId"]
            rig.highlevel.person_create(contact=CONTACT, name="New deal", source="Ads", pipelineStageId=stage)
            result = one_pass(connection)
            assert (result.error, result.tally.refusals, result.code) == ("", [], 3)
            [row] = [one for one in rig.airtable.rows("Deals").values() if one.get("Name") == "New deal"]
            shown = [row.get(name) for name in ("Contact", "Email", "Phone", "Company", "Source")]
            contact = 2 if column == "Contact" else "Zoe"
            assert shown == [contact, CONTACT["email"], CONTACT["phone"], "Zed Inc", "Ads"]
            assert rig.read(old, "status") == rig.row(old)["Status"]
            assert [one_pass(connection).code for _ in range(2)] == [3, 3]
