"""The examples in the docstrings are true."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [
    path
    for package in ("app", "loadtest")
    for path in (ROOT / package).rglob("*.py")
    if ".venv" not in path.parts and ">>>" in path.read_text(encoding="utf-8")
]
BESIDE_LOCUST = "loadtest.runners.arrivals"
MODULES = sorted(
    {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES} - {BESIDE_LOCUST}
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))

    assert found.attempted > 0
    assert found.failed == 0


def test_examples_beside_locust() -> None:
    """Locust changes the process that imports it, so these have one of their own."""
    code = f"import doctest, {BESIDE_LOCUST} as m; r = doctest.testmod(m); print(*r)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "0 1\n"


def test_all_modules_with_examples_are_tried() -> None:
    assert len(MODULES) > 90
    assert "app.offline.metrics.ranking" in MODULES
