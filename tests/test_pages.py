"""What the pages say about commands and files is true: flags exist, and links lead somewhere."""

import json
import re
import shlex

import pytest

from app.commands.arguments import make_parser
from app.domain.request import RecommendRequest
from tests.test_architecture import ROOT

OUTSIDE = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
PAGES = [*OUTSIDE, *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
_LINE = re.compile(
    r"^ *(?:\.venv/bin/)?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?recserve ([a-z]+ .*)$", re.MULTILINE
)
_BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```$|((?:^    .*\n)+)", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`recserve ([a-z]+[^`]*)`")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _slug(heading: str) -> str:
    """Return the id that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("name", OUTSIDE)
def test_links_of_the_pages_outside_of_the_site_lead_somewhere(name: str) -> None:
    for path, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", _text(name)):
        assert (ROOT / path).exists(), path
        if heading:
            headings = re.findall(r"^#+ (.*)$", _text(path or name), re.MULTILINE)
            assert heading in map(_slug, headings), f"{path}#{heading}"


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page_can_be_called(name: str) -> None:
    for block in _BLOCK.finditer(_text(name)):
        for command in _LINE.findall((block[1] or block[2]).replace("\\\n", " ")):
            words = shlex.split(re.sub(r"[>|].*", "", command), comments=True)
            make_parser().parsed(word for word in words if word != "…")


@pytest.mark.parametrize("name", PAGES)
def test_the_flags_that_a_text_names_exist(name: str) -> None:
    parser = make_parser()
    for span in _SPAN.findall(_text(name)):
        command = span.split()[0]
        assert command in parser.commands, span
        flags = set(re.findall(r"--[a-z][a-z-]*", span))
        assert flags <= set(re.findall(r"--[a-z][a-z-]*", parser.of(command).format_help())), span


def test_the_fields_of_a_request_in_the_guide_to_tune_are_right() -> None:
    text = _text("docs/guides/tune.md")
    bodies = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for row in re.findall(r"^\|.*\|$", text, re.MULTILINE):
        bodies += [f"{{{span}}}" for span in re.findall(r"`(\"[^`]*: [^`]*)`", row)]
    assert len(bodies) >= 12
    for body in bodies:
        RecommendRequest.model_validate(json.loads(body.replace(", …", "").replace("{…}", "{}")))
