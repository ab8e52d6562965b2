"""`syncd plan` of several pairs of which one is configured wrongly: the others are planned, and exit 2 counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.desk import Desk


@pytest.mark.parametrize(
    ("table", "token", "told"), [("Nowhere", "AIRTABLE_TOKEN", "Nowhere"), ("Others", "NOT_SET_TOKEN", "NOT_SET_TOKEN")]
)
def test_a_pair_that_names_what_is_not_there_is_a_configuration_error(
    tmp_path: Path, table: str, token: str, told: str
) -> None:
    with Desk(tmp_path, deals=4) as desk:
        desk.write_config()
        path = tmp_path / "config" / "syncd.toml"
        broken = f"""
[[pair]]
name = "broken"
[pair.ghl]
location_id = "{desk.highlevel.location_id}"
token = "env:GHL_TOKEN"
base_url = "{desk.sandbox.crm_url}"
[pair.table]
type = "airtable"
base_id = "{desk.airtable.base_id}"
table = "{table}"
token = "env:{token}"
base_url = "{desk.sandbox.table_url}"
"""
        path.write_text(broken + path.read_text("utf-8"), "utf-8")
        ran = desk.run("plan")
        assert (ran.code, "default:" in ran.out.split()) == (2, True)
        assert ran.err.startswith("broken: ")
        assert told in ran.err
        assert desk.run("plan", "--pair", "default").code == 0
