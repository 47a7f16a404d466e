"""Limits that `recserve keys add` names: kept with the key, or refused in one line."""

from pathlib import Path

import pytest

from app.commands.keys import added, checked_limits, key_line, listed
from app.core.errors import UsageError
from app.serving.access.key_file import KeyFile, read_keys
from app.serving.access.limits import KeyLimits


async def test_limits_are_kept_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    limits = checked_limits(100.0, 250, 0.5)
    _, facts = await added(KeyFile(path), "read", "shop", limits=limits, priority="bulk")
    await added(KeyFile(path), "read", "", limits=checked_limits(None, None, None))
    kept, free = read_keys(path)
    assert (kept.limits, kept.priority) == (KeyLimits(100.0, 250, 0.5), "bulk")
    assert (free.limits, free.priority) == (KeyLimits(), "interactive")
    assert "rate" not in (await listed(KeyFile(path)))[1]
    said = "rate 100.0  burst 250  language_rate 0.5  class bulk"
    assert key_line(facts).endswith(f"shop  {said}")


async def test_an_administrator_is_of_a_class_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    await added(KeyFile(path), "admin", "")
    await added(KeyFile(path), "admin", "", priority="interactive")
    assert [key.priority for key in read_keys(path)] == ["admin", "interactive"]


@pytest.mark.parametrize(
    ("rate", "burst", "language_rate", "said"),
    [
        (0.0, None, None, "--rate is 0.001 to 1,000,000"),
        (float("nan"), None, None, "--rate is"),
        (None, None, -1.0, "--language-rate is"),
        (1.0, 0, None, "--burst is 1 to 10,000,000"),
        (None, 5, None, "give --rate as well"),
    ],
)
def test_limits_that_mean_nothing_are_refused(
    rate: float | None, burst: int | None, language_rate: float | None, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        checked_limits(rate, burst, language_rate)


@pytest.mark.parametrize("more", ['"rate": 0', '"rate": "x"', '"burst": 0', '"class": "urgent"'])
async def test_a_file_with_wrong_limits_is_refused(tmp_path: Path, more: str) -> None:
    path = tmp_path / "keys.json"
    await added(KeyFile(path), "read", "")
    path.write_text(path.read_text().replace('"role"', f'{more}, "role"'))
    with pytest.raises(UsageError, match="no file of keys"):
        read_keys(path)
