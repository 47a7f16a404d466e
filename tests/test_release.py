import runpy
import subprocess
from pathlib import Path

import pytest

from tests.test_architecture import ROOT

pytestmark = pytest.mark.process

_release = runpy.run_path(str(ROOT / ".ci" / "release.py"))
changelog_problems, tag_problems = _release["changelog_problems"], _release["tag_problems"]
version_of, main = _release["version_of"], _release["main"]

GOOD = """# Changelog

## Unreleased

## 0.2.0 (2027-01-31)

- New.

## 0.1.0 (2026-11-28)

- All.
"""


def test_a_complete_changelog_has_no_problem() -> None:
    assert changelog_problems("0.2.0", GOOD) == []


@pytest.mark.parametrize(
    ("changelog", "part"),
    [
        (GOOD.replace("## Unreleased\n", "## Unreleased\n\n- Something.\n"), "under Unreleased"),
        (GOOD.replace(" (2027-01-31)", ""), "not '## 0.2.0 (YYYY-MM-DD)'"),
        (GOOD.replace("0.2.0", "0.3.0"), "not '## 0.2.0 (YYYY-MM-DD)'"),
        (GOOD.replace("- New.\n", ""), "0.2.0 of CHANGELOG.md is empty"),
        ("# Changelog\n", "not '## 0.2.0 (YYYY-MM-DD)'"),
    ],
)
def test_what_is_wrong_with_a_changelog_is_said(changelog: str, part: str) -> None:
    (problem,) = changelog_problems("0.2.0", changelog)
    assert part in problem


@pytest.mark.parametrize(
    ("tags", "here", "part"),
    [
        (["v0.2.0"], [], "another commit"),
        (["v0.1.0", "v0.10.0"], [], "not above the newest tag, v0.10.0"),
    ],
)
def test_a_tag_that_disagrees_is_named(tags: list[str], here: list[str], part: str) -> None:
    (problem,) = tag_problems("0.2.0", tags, here)
    assert part in problem


def test_older_tags_foreign_tags_and_the_tag_of_this_commit_are_fine() -> None:
    assert tag_problems("0.2.0", ["v0.1.0", "nightly", "v0.2.0"], ["v0.2.0"]) == []


def test_the_version_is_read_from_the_package() -> None:
    assert version_of('"""Doc."""\n\n__version__ = "1.20.3"\n') == "1.20.3"
    with pytest.raises(ValueError, match="no __version__"):
        version_of('__version__ = "1.2"\n')


def _checkout(root: Path, changelog: str) -> None:
    (root / "app").mkdir()
    (root / "app" / "__init__.py").write_text('__version__ = "0.2.0"\n')
    (root / "CHANGELOG.md").write_text(changelog)
    name = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "."], [*name, "commit", "--quiet", "-m", "All"]):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)


def test_a_checkout_that_agrees_gets_the_next_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _checkout(tmp_path, GOOD)
    assert main(["--next"], tmp_path) == 0
    assert "git tag --annotate v0.2.0" in capsys.readouterr().out


def test_a_checkout_with_changes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _checkout(tmp_path, GOOD)
    (tmp_path / "new.txt").write_text("x")
    assert main([], tmp_path) == 1
    assert "not clean: 1 paths" in capsys.readouterr().err


def test_this_repository_has_a_dated_section_for_its_version() -> None:
    version = version_of((ROOT / "app" / "__init__.py").read_text(encoding="utf-8"))
    heads = _release["sections_of"]((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert any(head.startswith(f"{version} (") for head in heads)
