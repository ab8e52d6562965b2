"""A CSV file with decimal commas, over runs of the real command line."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.rig import Rig


def test_a_point_in_one_cell_changes_that_deal_alone(tmp_path: Path) -> None:
    with Rig(tmp_path, deals=6) as rig:
        deals = [str(deal["id"]) for deal in rig.deals()]
        for number, deal in enumerate(deals):
            rig.highlevel.person_edit(deal, monetaryValue=1_500 + number if number else 99.5)
        path = tmp_path / "deals.csv"
        lines = [f"{'99,50' if not number else f'1.{500 + number}'};{deal}" for number, deal in enumerate(deals)]
        path.write_text("Value;GHL ID;Stage;Status\n" + "".join(f"{line};;\n" for line in lines), encoding="utf-8")
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "syncd.toml").write_text(
            f'[[pair]]\nname = "commas"\n[pair.ghl]\nlocation_id = "{rig.highlevel.location_id}"\n'
            f'token = "env:GHL_TOKEN"\nbase_url = "{rig.sandbox.crm_url}"\n'
            '[pair.table]\ntype = "workbook"\npath = "deals.csv"\n'
        )
        rig.environment = {name: one for name, one in rig.environment.items() if not name.startswith("AIRTABLE")}
        assert rig.reconcile(expect=None)["updated"]["crm"] == 0
        rig.forget_log()
        assert rig.reconcile()["updated"] == {"crm": 0, "table": 0}
        path.write_text(path.read_text(encoding="utf-8").replace("99,50", "98.25"), encoding="utf-8")
        assert rig.reconcile()["updated"] == {"crm": 1, "table": 0}
        assert rig.fired() == [(deals[0], "monetaryValue")]
        assert rig.highlevel.deal(deals[0])["monetaryValue"] == 98.25
