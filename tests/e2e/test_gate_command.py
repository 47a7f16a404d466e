"""The promotion gate as a user meets it: the real engine, exit codes, one plain line."""

import json
from pathlib import Path

import pytest

from app.bundle.reader import open_bundle
from tests.e2e.conftest import FILMS, recserve, write_data

pytestmark = pytest.mark.e2e


def write_log(path: Path, rows: list[tuple[str, str, int]]) -> Path:
    names = ("user_id", "item_id", "timestamp")
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    return path


def test_a_worse_build_ends_with_1_and_force_publishes_it(tmp_path: Path) -> None:
    """Film 8 is what newcomers take; a flood of clicks on all others hides it from the build."""
    early = [(f"e{n}", "8", n) for n in range(5)]
    flood = [(f"f{n}", FILMS[n % 7][0], 100 + n) for n in range(240)]
    newcomers = [(f"n{n}", "8", 1000 + n) for n in range(60)]
    items, _ = write_data(tmp_path)
    out = tmp_path / "models" / "shop"
    flags = ("build", "--no-learn", "--items", str(items), "--out", str(out), "--events")
    good = write_log(tmp_path / "good.jsonl", early)
    bad = write_log(tmp_path / "bad.jsonl", [*early, *flood, *newcomers])

    first = recserve(*flags, str(good))
    assert first.returncode == 0, first.stderr
    assert "gate: no comparison, nothing was being served yet: published" in first.stdout
    before = open_bundle(out)

    refused = recserve(*flags, str(bad))
    assert refused.returncode == 1
    assert "NDCG@10 .3155 against 1.0000 being served" in refused.stderr
    assert "over 60 users; publish it anyway with --force" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert open_bundle(out) == before

    forced = recserve(*flags, str(bad), "--force")
    assert forced.returncode == 0, forced.stderr
    assert "over 60 users: worse, published because it was forced" in forced.stdout
    assert open_bundle(out).manifest.trained_until == 339.0
