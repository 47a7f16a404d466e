"""The locks: whole, with hashes, and of the versions that are tested."""

import re
import runpy
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_architecture import ROOT

LOCKS = sorted((ROOT / "locks").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_ENTRY = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?P<marker> ; [^\\]+)? \\\n"
    r"(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def read(lock: Path) -> dict[str, str]:
    """Return name -> version of a lock; its other lines must be comments."""
    text = lock.read_text(encoding="utf-8")
    rest = re.sub(r"^#.*\n", "", _ENTRY.sub("", text), flags=re.MULTILINE)
    assert rest == "", f"{lock.name} has lines that are no entry with a hash"
    return {canonicalize_name(entry["name"]): entry["version"] for entry in _ENTRY.finditer(text)}


def versions_tested() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return {canonicalize_name(name): version for name, version in (x.split("==") for x in lines)}


def needed(requirements: list[str]) -> set[str]:
    """Return the names of all packages that these requirements install here."""
    found: set[str] = set()
    done: set[tuple[str, str]] = set()
    open_ = [Requirement(text) for text in requirements]
    while open_:
        one = open_.pop()
        name = canonicalize_name(one.name)
        found.add(name)
        for extra in ("", *one.extras):
            if (name, extra) not in done and name != "torch":
                done.add((name, extra))
                parts = map(Requirement, metadata.requires(name) or ())
                open_ += [p for p in parts if not p.marker or p.marker.evaluate({"extra": extra})]
    return found - {"torch"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_entry_has_a_version_and_hashes(lock: Path) -> None:
    packages = read(lock)
    assert packages
    # Their files differ from index to index.
    assert "torch" not in packages
    assert not [name for name in packages if name.startswith("nvidia-")]


def test_an_entry_without_a_hash_is_found(tmp_path: Path) -> None:
    lock = tmp_path / "bad.txt"
    lock.write_text((ROOT / "locks" / "serve.txt").read_text() + "requests==2.34.2\n")
    with pytest.raises(AssertionError, match="no entry with a hash"):
        read(lock)


@pytest.mark.parametrize("name", ["serve", "train", "dev", "backend", "weights"])
def test_versions_are_those_that_are_tested(name: str) -> None:
    versions = versions_tested()
    locked = read(ROOT / "locks" / f"{name}.txt")
    assert {k: v for k, v in locked.items() if versions.get(k, v) != v} == {}


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("serve", []),
        ("train", ["train"]),
        ("dev", ["train", "multilingual", "load", "eval", "docs", "dev"]),
    ],
)
def test_a_lock_names_all_that_is_needed(lock: str, extras: list[str]) -> None:
    project = PROJECT["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    assert needed(wanted) - set(read(ROOT / "locks" / f"{lock}.txt")) == set()


def test_what_torch_needs_is_in_the_locks_without_it() -> None:
    parts = [Requirement(text) for text in metadata.requires("torch") or ()]
    # A build with CUDA needs packages of NVIDIA, which come with torch and have no hashes either.
    wanted = {
        canonicalize_name(part.name)
        for part in parts
        if not part.marker or part.marker.evaluate({"extra": ""})
    }
    wanted = {name for name in wanted if not name.startswith(("nvidia-", "cuda-", "triton"))}
    assert wanted - set(read(ROOT / "locks" / "train.txt")) == set()


def test_the_build_backend_is_the_locked_one() -> None:
    version = read(ROOT / "locks" / "backend.txt")["hatchling"]
    assert PROJECT["build-system"]["requires"] == [f"hatchling=={version}"]


def test_only_torch_is_installed_without_hashes() -> None:
    install = runpy.run_path(str(ROOT / ".ci" / "install.py"))
    bare = [step for step in install["steps"]("dev") if "--require-hashes" not in step]
    assert [step[-1] for step in bare] == ["torch", "."]
    assert "--no-deps" in bare[1]
    assert "--no-build-isolation" in bare[1]
    dockerfile = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    runs = re.findall(r"\bpip\b[^&\n]*? install((?:[^&\n]|\\\n)*)", dockerfile.replace("\\\n", ""))
    assert len(runs) == 7
    # Our own wheel was made in a stage before.
    bare = {run.split()[-1] for run in runs if "--require-hashes" not in run}
    assert bare == {"torch", "/wheels/*.whl"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [line for line in re.findall(r"pip install .*", makefile) if "hashes" not in line] == []


def test_no_lock_names_an_index() -> None:
    for lock in LOCKS:
        assert "://" not in lock.read_text(encoding="utf-8"), lock.name
