"""The pages of docs/ as a site: built strictly, and nothing that a reader's browser would fetch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_architecture import ROOT

pytestmark = pytest.mark.e2e

_FETCHED = re.compile(r'(?:src="|<link[^>]*rel="stylesheet"[^>]*href=")(https?://[^"]+)')


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--strict"]
    return subprocess.run(
        [*command, "--config-file", config, "--site-dir", site],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    pages = {
        str(page.relative_to(tmp_path / "site")): page.read_text(encoding="utf-8")
        for page in (tmp_path / "site").rglob("*.html")
    }
    assert {"index.html", "guides/shop.html", "api.html"} <= set(pages)
    assert {name: found for name, text in pages.items() if (found := _FETCHED.findall(text))} == {}
    # A link out of docs/ is a path, and a bar in a table has no backslash.
    assert "<code>app/offline/input/column_names.toml</code>" in pages["data.html"]
    assert "<code>a|b</code>" in pages["data.html"]


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[gone](gone.md)", "gone.md"),
        ("[gone](index.md#gone)", "#gone"),
        ("[gone](../app/gone.py)", "app/gone.py"),
    ],
)
def test_a_link_to_nothing_fails_the_build(tmp_path: Path, link: str, complaint: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n{link}\n")
    lines = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").splitlines()
    settings = "\n".join(lines[: lines.index("nav:")])
    settings = settings.replace(".ci/site_links.py", str(ROOT / ".ci" / "site_links.py"))
    (tmp_path / "mkdocs.yml").write_text(settings)
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert complaint in done.stdout + done.stderr
