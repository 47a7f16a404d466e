"""Every module of the load tests can be imported: names of `app` that they use still exist."""

import importlib
from pathlib import Path

import pytest

from loadtest.runners.services import ROOT

# locust changes the sockets and threads of the process that imports it.
NEEDS_LOCUST = {"loadtest.runners.arrivals"}
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("runners", "scenarios", "reports", "chaos", "soak")
    for path in sorted(Path(ROOT, "loadtest", folder).rglob("*.py"))
]


@pytest.mark.parametrize("name", [name for name in MODULES if name not in NEEDS_LOCUST])
def test_it_can_be_imported(name: str) -> None:
    if name == "loadtest.scenarios.encoder":
        pytest.importorskip("sentence_transformers", reason="comes with the extra `train`")
    module = importlib.import_module(name)

    assert module.__doc__
