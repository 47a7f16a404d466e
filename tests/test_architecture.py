"""Rules for the code and the documentation that no linter checks."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from app.api.problems import MEANING, STATUS
from app.core import errors
from app.core.settings import Settings

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "app").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_fits_in_500_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


def test_no_two_modules_have_a_class_of_the_same_name() -> None:
    modules = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                modules[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in modules.items() if len(paths) > 1} == {}


def test_no_two_test_modules_have_the_same_name() -> None:
    # pytest would take one for the other. Those of packages are told apart by it.
    packages = {path.parent for path in (ROOT / "tests").rglob("__init__.py")}
    found = defaultdict(list)
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path.parent not in packages and ".venv" not in path.parts:
            found[path.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


@pytest.mark.process
def test_importing_the_server_loads_no_model_library() -> None:
    code = (
        "import sys, app.api.server; "
        "print([m for m in ('torch','faiss','onnxruntime','transformers','redis') "
        "if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def _all_errors(kind: type[errors.AppError]) -> set[type[errors.AppError]]:
    return {kind}.union(*(_all_errors(sub) for sub in kind.__subclasses__()))


def test_every_error_has_a_status_that_is_explained() -> None:
    assert set(STATUS) == _all_errors(errors.AppError)
    assert set(STATUS.values()) <= set(MEANING)


def test_every_error_code_is_its_own() -> None:
    codes = [kind.code for kind in _all_errors(errors.AppError)]
    assert len(codes) == len(set(codes))


def test_every_setting_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `RECSERVE_{name.upper()}` \| `(.*?)` \|", page, re.MULTILINE)
        assert row, f"docs/operations.md has no row for RECSERVE_{name.upper()}"
        assert row[1] == ("unset" if field.default is None else str(field.default))


def test_no_unsafe_loading_is_reachable() -> None:
    unsafe = re.compile(r"\bpickle\b(?!\s*=)|joblib|allow_pickle=True|torch\.load\(")
    for path in SOURCES:
        code = re.sub(r'""".*?"""|#.*', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        code = code.replace("allow_pickle=False", "")
        assert not unsafe.search(code), path
