"""`recserve bench` over a real bundle: whole and consistent figures. No time is judged."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import FILMS, recserve

pytestmark = pytest.mark.e2e

SIZES = [1, 2, 4, 8, 16, 32, 64]


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif not isinstance(value, str):
        yield value


def test_the_page_and_the_json_are_whole(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = recserve("bench", "--bundle", str(bundle), "--seconds", "1.5", "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("ceiling ") for line in lines)

    found = json.loads(out.read_text())
    values = list(numbers(found))
    assert None not in values
    assert all(math.isfinite(value) and value >= 0 for value in values)
    assert (found["bundle"]["name"], found["bundle"]["items"]) == ("small", len(FILMS))
    # A slow machine may not come to the largest ones.
    assert [row["batch"] for row in found["batches"]] == SIZES[: len(found["batches"])]
    for row in found["batches"]:
        for kind in ("words", "user", "both"):
            cost = row[kind]
            assert cost["passes"] >= 1
            assert cost["requests_per_second"] == pytest.approx(row["batch"] / cost["ms"] * 1e3)
        assert row["words"]["encode_ms"] > row["user"]["encode_ms"]
    best = next(row for row in found["batches"] if row["batch"] == found["best_batch"])
    assert found["requests_per_second"] == best["mix"]["requests_per_second"]
    counts = [row["threads"] for row in found["threads"]]
    assert counts[0] == 1
    assert {found["advice"]["threads"], found["settings"]["threads"]} <= set(counts)


def test_few_queries_of_ones_own_make_small_batches_and_json_goes_alone_to_stdout(
    bundle: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("space\nrobots\ncrime drama\nspace\n")
    flags = ("--queries", str(mine), "--seconds", "0.5", "--threads", "1", "--json", "-")
    done = recserve("bench", "--bundle", str(bundle), *flags)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["asked"]["queries"] == "3 queries of mine.txt"
    assert [row["batch"] for row in found["batches"]] == [1, 2]
    assert found["settings"]["threads"] == 1
    assert found["advice"]["max_batch_requests"] == 64
