"""The demo's answers to 30 written requests, by the fixed blend and by the learned scorer.

    python -m loadtest.scenarios.demo_answers

asks `models/demo` twice, with the networks of queries and without them, and writes both answers
with the judgement of each pair to `docs/results/demo-answers.md`. Figures say how often an order is
right; this page lets a reader see what that looks like. Requests and judgements are in
`demo_answers.toml`.
"""

import argparse
import sys
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from app.bundle.reader import Bundle, open_bundle
from app.core.ranking import RankRequest
from app.engine.engine import RankEngine
from app.engine.open import engine_of
from app.engine.scoring.modes import MODES, Mode

REQUESTS: Final = Path(__file__).with_suffix(".toml")
PAGE: Final = Path("docs/results/demo-answers.md")
_SIZE: Final = 5
_WIDTH: Final = 100
_BEFORE: Final[tuple[Mode, ...]] = ("history",)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="demo_answers", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/demo"))
    parser.add_argument("--out", type=Path, default=PAGE, help=f"the page (default: {PAGE})")
    options = parser.parse_args(argv)
    bundle = open_bundle(options.bundle)
    requests = tomllib.loads(REQUESTS.read_text(encoding="utf-8"))["requests"]
    unjudged = [each for each in requests if not each["judged"]]
    if unjudged:
        sys.stderr.write(f"{len(unjudged)} requests of {REQUESTS.name} are not judged\n")
    before = _answers(engine_of(bundle, 1, modes=_BEFORE), requests)
    after = _answers(engine_of(bundle, 1, modes=MODES), requests)
    page = _page(bundle, requests, before, after)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page, encoding="utf-8")


def _answers(engine: RankEngine, requests: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the first titles of each request."""
    now = datetime.now(UTC).timestamp()
    ids = {
        title: item
        for title in {title for each in requests for title in each.get("history", ())}
        if (item := engine.item_of_title(title)) is not None
    }
    batch = [
        RankRequest(
            query=each.get("query", ""),
            history=tuple(ids[title] for title in each.get("history", ())),
            exclude=frozenset(ids[title] for title in each.get("history", ())),
            k=_SIZE,
            now=now,
        )
        for each in requests
    ]
    return [[item.title or item.id for item in one.items] for one in engine.rank(batch).results]


def _page(
    bundle: Bundle,
    requests: Sequence[Mapping[str, Any]],
    before: Sequence[Sequence[str]],
    after: Sequence[Sequence[str]],
) -> str:
    manifest = bundle.manifest
    notes = () if manifest.learned is None else manifest.learned.notes
    lines = [
        "# What the demo answers",
        "",
        _wrapped(
            "`python -m loadtest.scenarios.demo_answers` writes this page. Each request was asked "
            "by the fixed blend of words (before) and by the learned scorer (after). Both have the "
            "same sources, the same term for exact words, and the same network for histories. The "
            f"judgements were written by hand, for the bundle `{manifest.generation}`."
        ),
        "",
        *(_wrapped(f"- {note}", "  ") for note in notes),
    ]
    for number, (request, *pair) in enumerate(zip(requests, before, after, strict=True), 1):
        history = request.get("history", ())
        said = f"`{request['query']}`" if request.get("query") else ""
        who = f"somebody who took *{'*, *'.join(history)}*" if history else ""
        lines += [
            "",
            f"## {number}. {' for '.join(part for part in (said, who) if part)}",
            "",
            "| | before | after |",
            "|---|---|---|",
        ]
        longest = max(map(len, pair))
        filled = [[*titles, *[""] * (longest - len(titles))] for titles in pair]
        lines += [
            f"| {place} | {old} | {new} |"
            for place, (old, new) in enumerate(zip(*filled, strict=True), 1)
        ]
        lines += ["", _wrapped(request["judged"] or "Not judged yet.")]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)


if __name__ == "__main__":
    main()
