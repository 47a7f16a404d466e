"""A whole evaluation with --fairness: known figures, a document, lines, and a page."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import UsageError
from app.core.types import Item
from app.evaluation.report import render, summary_lines
from app.evaluation.run_command import run_evaluation
from app.offline.build import build
from app.offline.input.recipe import Recipe
from tests.bundles import fake_encoder, write_jsonl
from tests.evaluation_rig import ScoreEngine, arguments, popular, sequences_folder

GENRES = {name: "rare" if name == "e" else "common" for name in "abcdef"}
USERS = {f"u{n}": list("abcd" if n % 3 else "abe") for n in range(12)}


class GenreEngine(ScoreEngine):
    """Popular items first, and items with their genre."""

    def item(self, item_id: str) -> Item:  # type: ignore[override]
        return Item(item_id, None, {"studio": GENRES[item_id]})


def run(*flags: object) -> int:
    return run_evaluation(arguments(*flags), fake_encoder, lambda path: GenreEngine(path, popular))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    items = [
        {"id": name, "title": f"film {name}", "studio": genre} for name, genre in GENRES.items()
    ]
    events = [
        {"user_id": user, "item_id": item, "timestamp": 1000 + 100 * place + int(user[1:])}
        for user, taken in USERS.items()
        for place, item in enumerate(taken)
    ]
    users = [{"user_id": user, "country": "NZ"} for user in list(USERS)[:11]]
    return (
        *("--items", str(write_jsonl(tmp_path / "items.jsonl", items))),
        *("--events", str(write_jsonl(tmp_path / "events.jsonl", events))),
        *("--attributes", str(write_jsonl(tmp_path / "users.jsonl", users))),
        *("--protocol", "all-but-last"),
    )


def test_known_figures(files: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Fitted on a b c for eight users, and a b for four; e and d are what they took next.

    Everybody is shown all that is left, the popular first: c (where it is not taken), d, e, f.
    """
    assert run(*files, "--fairness", "--exposure-field", "studio", "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    fairness = document["fairness"]
    assert fairness["coverage@10"] == pytest.approx(4 / 6, abs=1e-6)
    head, middle, tail = fairness["items"]["popularity"]
    assert [(row["group"], row["n_items"]) for row in (head, middle, tail)] == [
        ("head", 1.0),  # a: 12 of 32 events
        ("middle", 1.0),  # b
        ("tail", 4.0),
    ]
    assert (head["exposure"], tail["exposure"], tail["relevance"]) == (0.0, 1.0, 1.0)
    rare = next(row for row in fairness["items"]["studio"] if row["group"] == "rare")
    # A quarter of four lists of four places, a third of eight lists of three.
    assert rare["exposure"] == pytest.approx((4 / 4 + 8 / 3) / 12, abs=1e-6)
    assert rare["relevance"] == pytest.approx(4 / 12, abs=1e-6)
    groups = {(row["by"], row["group"]): row for row in fairness["users"]}
    assert groups["country", "NZ"]["n_users"] == 11
    assert groups["activity", "lower third"]["n_users"] == 4
    # Nobody took d, e or f before: they are tied behind c. Rank 1 to 3, in the mean 2.
    assert groups["activity", "lower third"]["ndcg@10"]["value"] == pytest.approx(0.5)
    trade_off = fairness["trade_off"]
    assert (trade_off["n_choosing"], trade_off["n_users"]) == (6, 6)
    plain = trade_off["settings"][0]
    assert (plain["field"], plain["lost"]["value"], plain["tail_share"]) == ("plain", 0.0, 1.0)
    fields = {row["field"] for row in trade_off["settings"]}
    assert {"diversity", "popularity_bias"} <= fields
    # This engine does what it always does, whatever is asked: no setting shows more.
    assert set(trade_off["chosen"].values()) == {None}
    assert all(row["lost"]["value"] == 0.0 for row in trade_off["settings"])


def test_the_page_and_the_lines_show_it(
    files: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert run(*files, "--fairness", "--exposure-field", "studio", "--report", page) == 0
    lines = capsys.readouterr().out
    assert "studio: rare" in lines
    assert "popularity of taste: " in lines
    assert "diversity 0.5" in lines
    shown = page.read_text("utf-8")
    assert shown.count('class="curve ') >= 4
    for title in ("by studio", "by popularity", "How well different users are served", "tail"):
        assert title in shown


def test_without_the_flag_nothing_changes(
    files: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*files, "--json", "-") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert "fairness" not in document
    assert "fairness" not in "".join(summary_lines(document))
    assert 'class="curve' not in render(document)


def test_a_finished_bundle_knows_its_users_and_fields(
    files: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = dict(zip(files[::2], files[1::2], strict=True))
    events = Path(values["--events"])
    early = tmp_path / "early.jsonl"
    lines = events.read_text().splitlines()
    early.write_text("\n".join(x for x in lines if json.loads(x)["timestamp"] < 1200) + "\n")
    bundle = build(
        items=Path(values["--items"]),
        events=early,
        recipe=Recipe(),
        out=tmp_path / "shop",
        make_encoder=fake_encoder,
        users=Path(values["--attributes"]),
    ).bundle
    flags = ("--bundle", bundle.path, "--events", events, "--exposure-field", "studio")
    assert run(*flags, "--fairness", "--json", "-") == 0
    fairness = json.loads(capsys.readouterr().out)["fairness"]
    assert {row["group"] for row in fairness["items"]["studio"]} == {"common", "rare"}
    assert "country" in {row["by"] for row in fairness["users"]}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--fairness", "--exposure-field", "colour"),
            "'colour' makes no groups of items; .*studio",
        ),
        (("--fairness", "--exposure-field", "published_at"), "makes no groups"),
        (("--exposure-field", "studio"), "goes with --fairness"),
        (("--fairness", "--ablation"), "without --ablation"),
        (("--fairness", "--protocol", "newcomers"), "needs users with a history"),
    ],
)
def test_what_does_not_go_together(
    files: tuple[str, ...], flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(*files, *flags)


def test_a_folder_without_fields_makes_no_groups(tmp_path: Path) -> None:
    folder = sequences_folder(tmp_path / "x", USERS, {name: name for name in GENRES})
    with pytest.raises(UsageError, match="the fields that do: none"):
        run("--dataset", folder, "--fairness", "--exposure-field", "studio")
