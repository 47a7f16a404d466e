"""`recserve evaluate --fairness` as a user meets it: the real engine, one document, one page."""

import json
from pathlib import Path

import pytest

from tests.bundles import write_jsonl
from tests.e2e.conftest import recserve

pytestmark = pytest.mark.e2e

KINDS = ("red wine", "garden chair", "mountain bike", "piano")
BIG = 25


def shop(folder: Path) -> tuple[str, str]:
    """A shop in which everybody takes what big providers have, and in the end something else."""
    items = [
        {
            "id": f"{kind}-{n}",
            "title": f"{KINDS[kind]} number {n}",
            "provider": "small" if n >= BIG else "big",
        }
        for kind in range(4)
        for n in range(BIG + 3)
    ]
    events = []
    for user in range(40):
        for place in range(5):
            late = place == 4 or (place == 3 and user % 2)
            n = BIG + (user + place) % 3 if late else (user * 7 + place * place) % BIG
            item = f"{user % 4}-{n}"
            events.append({"user_id": f"u{user}", "item_id": item, "timestamp": 1000 + place})
    return (
        str(write_jsonl(folder / "items.jsonl", items)),
        str(write_jsonl(folder / "events.jsonl", events)),
    )


def test_what_is_shown_to_whom_and_what_more_of_it_costs(tmp_path: Path) -> None:
    items, events = shop(tmp_path)
    page = tmp_path / "report.html"
    done = recserve(
        *("evaluate", "--items", items, "--events", events, "--protocol", "all-but-last"),
        *("--fairness", "--exposure-field", "provider", "--json", "-", "--report", str(page)),
    )
    assert done.returncode == 0, done.stderr
    fairness = json.loads(done.stdout)["fairness"]

    providers = {row["group"]: row for row in fairness["items"]["provider"]}
    assert set(providers) == {"big", "small"}
    assert providers["big"]["exposure"] + providers["small"]["exposure"] == pytest.approx(1.0)
    assert {row["by"] for row in fairness["users"]} == {"activity", "popularity of taste"}

    trade_off = fairness["trade_off"]
    assert trade_off["n_choosing"] + trade_off["n_users"] == 40
    rows = {(row["field"], row["value"]): row for row in trade_off["settings"]}
    plain = rows["plain", 0.0]
    assert rows["popularity_bias", -1.0]["tail_share"] > plain["tail_share"]
    assert rows["diversity", 0.9]["diversity@10"] > plain["diversity@10"]
    assert trade_off["floor"] == {"field": "provider", "group": "small"}
    assert plain["floor_share"] < 0.4
    assert rows["exposure", 0.5]["floor_share"] >= 0.5
    assert page.read_text("utf-8").count('class="curve ') >= 6
