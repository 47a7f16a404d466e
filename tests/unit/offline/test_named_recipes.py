"""`--recipe` names a file or a preset, and the presets travel with the package."""

from pathlib import Path

import pytest

from app.cli import main
from app.offline.presets import DEMO, PRESETS, SCENARIOS, recipe_path
from tests.bundles import ITEMS, write_jsonl


def test_the_recipes_are_there() -> None:
    assert DEMO.is_file()
    assert sorted(PRESETS) == ["news", "people", "shop", "social", "video"]
    assert sorted(SCENARIOS) == sorted(PRESETS)


@pytest.mark.parametrize("named", ["shop", "shop.toml", "models/presets/shop.toml"])
def test_a_preset_is_found_from_any_folder_by_its_name(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert recipe_path(Path(named)) == PRESETS["shop"]


def test_a_file_wins_over_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text("")
    (tmp_path / "news").mkdir()
    assert recipe_path(Path("shop.toml")) == Path("shop.toml")
    assert recipe_path(Path("shop")) == PRESETS["shop"]
    assert recipe_path(Path("news")) == PRESETS["news"]


@pytest.mark.parametrize("named", ["absent.toml", "other/shop.toml", "/shop.toml", "shop.json"])
def test_any_other_name_stays(
    named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recipe_path(Path(named)) == Path(named)
    items = write_jsonl(tmp_path / "items.jsonl", ITEMS)
    flags = ["--items", str(items), "--out", str(tmp_path / "out"), "--recipe", named]
    assert main(["build", *flags]) == 2
    assert f"the recipe {Path(named).name} cannot be read" in capsys.readouterr().err
