"""The checks of `make release`: version, changelog, tag and work tree must agree.

    python .ci/release.py          check; exit status 1 with the reasons if something disagrees
    python .ci/release.py --next   the same, then print the commands that publish the release

The version is the one in `app/__init__.py`. Nothing is changed here: whoever releases writes the
version and the changelog, and runs the printed commands.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_VERSION = re.compile(r'^__version__ = "(\d+)\.(\d+)\.(\d+)"$', re.MULTILINE)
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def version_of(source: str) -> str:
    """Return the version in the text of `app/__init__.py`.

    Raises:
        ValueError: there is none of the form MAJOR.MINOR.PATCH.
    """
    match = _VERSION.search(source)
    if match is None:
        raise ValueError('app/__init__.py has no __version__ = "MAJOR.MINOR.PATCH"')
    return ".".join(match.groups())


def sections_of(changelog: str) -> dict[str, str]:
    """Return heading -> text of each section of a changelog, in its order."""
    parts = _SECTION.split(changelog)[1:]
    return {head.strip(): text.strip() for head, text in zip(parts[::2], parts[1::2], strict=True)}


def changelog_problems(version: str, changelog: str) -> list[str]:
    """Return what in a changelog stands against releasing a version.

    The newest section must be "## VERSION (YYYY-MM-DD)" and have text. There must be nothing under
    "## Unreleased".
    """
    sections = sections_of(changelog)
    problems = []
    if sections.get("Unreleased"):
        problems.append("CHANGELOG.md still has lines under Unreleased: move them to a version")
    released = [head for head in sections if head != "Unreleased"]
    newest = released[0] if released else ""
    if not re.fullmatch(re.escape(version) + r" \(\d{4}-\d{2}-\d{2}\)", newest):
        problems.append(f"the newest section of CHANGELOG.md is not '## {version} (YYYY-MM-DD)'")
    elif not sections[newest]:
        problems.append(f"the section {version} of CHANGELOG.md is empty")
    return problems


def tag_problems(version: str, tags: Sequence[str], tags_here: Sequence[str]) -> list[str]:
    """Return what among the tags stands against releasing a version.

    Args:
        version: to be released.
        tags: all of the repository.
        tags_here: those of the commit that is checked out.
    """
    tag = f"v{version}"
    if tag in tags and tag not in tags_here:
        return [f"{tag} is the tag of another commit: raise the version in app/__init__.py"]
    later = [name for name in tags if name != tag and _parts(name) > _parts(tag)]
    return [f"{version} is not above the newest tag, {max(later, key=_parts)}"] if later else []


def _parts(tag: str) -> tuple[int, ...]:
    return tuple(map(int, tag[1:].split("."))) if re.fullmatch(r"v\d+\.\d+\.\d+", tag) else ()


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def problems_of(root: Path) -> tuple[str, list[str]]:
    """Return the version of a checkout, and what stands against releasing it."""
    version = version_of((root / "app" / "__init__.py").read_text(encoding="utf-8"))
    problems = changelog_problems(version, (root / "CHANGELOG.md").read_text(encoding="utf-8"))
    problems += tag_problems(
        version, _git(root, "tag", "--list"), _git(root, "tag", "--points-at", "HEAD")
    )
    if changed := _git(root, "status", "--porcelain"):
        problems.append(f"the work tree is not clean: {len(changed)} paths differ from HEAD")
    return version, problems


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Print what stands against the release, or what to do next."""
    parser = argparse.ArgumentParser(".ci/release.py", description=__doc__)
    parser.add_argument("--next", action="store_true", help="print the commands that publish it")
    options = parser.parse_args(argv)
    version, problems = problems_of(root)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    print(f"version, changelog, tags and work tree agree: {version}")
    if options.next:
        print(
            f"\nnext:\n  git tag --annotate v{version} --message 'recserve {version}'\n"
            f"  git push origin HEAD v{version}\n"
            "  .venv/bin/python -m build\n"
            f"  docker build --tag recserve:{version} ."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
