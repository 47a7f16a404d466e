"""Clients that others generate from the OpenAPI document: they compile, read well and work."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.api.server import create_app
from app.core.settings import Settings
from tests.e2e.conftest import recserve, serving

pytestmark = pytest.mark.e2e

CLIENTS = Path(__file__).parent.parent / "clients"
PYTHON = CLIENTS / ".venv" / "bin"
NODE = CLIENTS / "node_modules" / ".bin"
CONFIGURATION = """
literal_enums: true
post_hooks: []
# It knows no streams of events.
content_type_overrides: {text/event-stream: application/json}
"""
PROBLEMS = {"ErrorAnswer", "ErrorEvent", "ItemsRefused"}
MISSING = "its generator is missing: run `make .venv/.clients`"


def run(*command: object, folder: Path) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_text(json.dumps(create_app(Settings()).openapi()))
    return path


@pytest.fixture(scope="module")
def python_client(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the generated package and the program that uses it."""
    assert PYTHON.exists(), MISSING
    folder = tmp_path_factory.mktemp("python")
    (folder / "generator.yaml").write_text(CONFIGURATION)
    generate = ("generate", "--path", document, "--meta", "none", "--fail-on-warning")
    where = ("--output-path", folder / "recserve_client", "--config", folder / "generator.yaml")
    run(PYTHON / "openapi-python-client", *generate, *where, folder=folder)
    shutil.copy(CLIENTS / "shop.py", folder)
    return folder


@pytest.fixture(scope="module")
def types(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the generated TypeScript types."""
    if shutil.which("node") is None:
        pytest.skip("there is no node on this machine")
    assert NODE.exists(), MISSING
    folder = tmp_path_factory.mktemp("typescript")
    run(NODE / "openapi-typescript", document, "-o", folder / "recserve.d.ts", folder=folder)
    return folder


def test_typescript_types_compile_and_refuse_what_is_wrong(types: Path) -> None:
    shutil.copy(CLIENTS / "shop.ts", types)
    how = ("--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom")
    run(NODE / "tsc", *how, "--module", "esnext", types / "shop.ts", folder=types)


def test_typescript_types_read_well(types: Path) -> None:
    text = (types / "recserve.d.ts").read_text()

    assert "user_id?: string | number | null;" in text
    assert 'results: (components["schemas"]["Answer"] | components["schemas"]["Error' in text
    assert '"application/json": components["schemas"]["SentEvent"][] | components' in text
    assert "unknown[]" not in text
    assert not re.search(r"\bany\b(?=[;\[\]])", text)


def test_a_python_client_is_typed_throughout(python_client: Path) -> None:
    run(PYTHON / "mypy", "--strict", "shop.py", "recserve_client", folder=python_client)


def test_a_python_client_reads_well(python_client: Path) -> None:
    package = python_client / "recserve_client"
    modules = {path.stem for path in (package / "models").glob("*.py")} - {"__init__"}
    calls = {
        f"{path.parent.name}.{path.stem}"
        for path in (package / "api").glob("*/*.py")
        if path.stem != "__init__"
    }

    assert calls == {f"{each['tags'][0]}.{each['operationId']}" for _, each in operations()}
    assert calls >= {"recommendations.recommend", "events.send_events", "items.put_items"}
    assert not [name for name in modules if re.search(r"type_\d|response_\d|_post|body", name)]
    assert {"answer", "ranked_item", "recommend_request", "sent_event", "sent_item"} <= modules


def test_a_python_client_works(python_client: Path, bundle: Path, tmp_path: Path) -> None:
    keys = ("--api-keys-file", str(tmp_path / "keys.json"))
    made = recserve("keys", "add", "--role", "write", "--json", *keys)
    key = json.loads(made.stdout)["key"]
    with serving(bundle, tmp_path, *keys) as service:
        told = run(PYTHON / "python", "shop.py", service.url, key, folder=python_client)

    assert json.loads(told) == {
        "titles": ["Goodfellas", "Heat"],
        "cache": "miss",
        "accepted": 1,
        "category": "Crime",
        "error": ["invalid_request", "k"],
    }


def operations() -> list[tuple[str, dict[str, Any]]]:
    paths = create_app(Settings()).openapi()["paths"]
    return [
        (f"{method} {path}", operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


@pytest.mark.parametrize(("name", "operation"), operations(), ids=lambda x: str(x)[:40])
def test_each_route_says_what_it_is_and_how_it_fails(name: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]

    assert len(operation["tags"]) == 1
    assert operation["summary"]
    assert re.fullmatch(r"[a-z_]{4,24}", operation["operationId"])
    if "requestBody" in operation:
        assert {"413", "415", "422"} <= set(answers)
    if "{" in name and not name.startswith("put "):  # some make what was not there
        assert "404" in answers
    for status, answer in answers.items():
        for body in answer["content"].values():
            if status != "200":
                assert body["schema"]["$ref"].rpartition("/")[2] in PROBLEMS
