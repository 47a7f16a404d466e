"""The wheel in an environment of its own: what a user gets from `pip install recserve`."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from app import __version__
from tests.e2e.conftest import serving, write_data
from tests.test_architecture import ROOT

pytestmark = pytest.mark.e2e


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command outside of the checkout."""
    return subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(autouse=True)
def _no_other_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it into a new environment; return the command `recserve` there.

    The packages that it needs are those of the environment of the tests.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    done = run(*build, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("recserve-*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    done = run(*pip, wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    (site,) = (folder / "venv" / "lib").glob("python3*/site-packages")
    # At the end of the path, and its own .pth files, such as that of our checkout, are not read.
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder / "venv" / "bin" / "recserve"


def test_it_builds_and_serves_outside_of_a_checkout(installed: Path, tmp_path: Path) -> None:
    done = run(installed, "--version", cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == (f"recserve {__version__}", "")
    place = "import app, recserve; print(app.__file__)"
    done = run(installed.with_name("python"), "-c", place, cwd=tmp_path)
    assert str(installed.parents[1]) in done.stdout

    items, events = write_data(tmp_path)
    files = ("--items", items, "--events", events, "--recipe", "video", "--no-learn")
    done = run(installed, "build", *files, "--out", "models/small", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bundle = tmp_path / "models" / "small"
    with serving(bundle, tmp_path, program=[str(installed)]) as service:
        answer = service.recommend(query="i robot", k=1)
        assert answer.json()["items"][0]["title"] == "I, Robot"
        assert service.client.get("/docs").status_code == 200


def test_it_has_the_recipe_of_the_demo_and_all_presets(installed: Path, tmp_path: Path) -> None:
    code = (
        "from app.offline.input.recipe import load_recipe\n"
        "from app.offline.presets import DEMO, PRESETS, SCENARIOS\n"
        "assert sorted(SCENARIOS) == sorted(PRESETS)\n"
        "print(load_recipe(DEMO).items.id, *sorted(PRESETS), DEMO)"
    )
    done = run(installed.with_name("python"), "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *found, place = done.stdout.split()
    assert found == ["movieId", "news", "people", "shop", "social", "video"]
    assert Path(place).is_relative_to(installed.parents[1])


def test_a_project_with_a_package_of_our_name_does_not_disturb(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise RuntimeError('not ours')")
    done = run(installed, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, f"recserve {__version__}")
    code = (
        "import subprocess; from app.core.own_package import python_module\n"
        "subprocess.run([*python_module('app.cli'), '--version'], check=True)"
    )
    done = run(installed.with_name("python"), "-P", "-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, f"recserve {__version__}")
