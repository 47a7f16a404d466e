"""Titles that the answer is to resemble, or not to resemble."""

from typing import Final

from app.engine.intent.nodes import Node
from app.engine.intent.walk import GONE, JOINTS, Walk

_LONGEST: Final = 16
_IN_TITLE: Final = frozenset(
    {"word", "generic", "value", "stop", "quoted", "number", "amount", "and", "plain", "sign"}
)


def take_like(walk: Walk, at: int) -> int:
    """Take the titles behind a "like"."""
    return take_titles(walk, at, dislike=walk.nodes[at].kind == "unlike")


def take_titles(walk: Walk, at: int, *, dislike: bool) -> int:
    """Take the titles behind the node at a place, and return the place behind them."""
    titles = walk.demands.dislike if dislike else walk.demands.like
    walk.flag(walk.nodes[at], GONE)
    at += 1
    while walk.kind(at) == "title" or (
        walk.kind(at) in JOINTS and walk.kind(at + 1) in {"title", "and"}
    ):
        node = walk.nodes[at]
        walk.flag(node, GONE)
        if node.kind == "title":
            text = walk.text_of(node)
            titles.append(text)
            walk.note(node, f"{'dislike' if dislike else 'like'}:{text}")
            walk.demands.doubt *= 1.0 if node.value else 0.9
        at += 1
    return at


def take_title_before(walk: Walk, at: int) -> int:
    """Take the title, or the words, in front of a "like these", if there are some."""
    node = walk.nodes[at]
    walk.flag(node, GONE)
    first = _first_of_title(walk, at)
    if first == at:
        while walk.kind(first - 1) in {"word", "quoted", "stop"}:
            first -= 1
        if all(node.kind == "stop" for node in walk.nodes[first:at]):
            return at + 1
    _take(walk, first, at, dislike=False)
    return at + 1


def take_title_until_end(walk: Walk, at: int) -> int | None:
    """Dislike a known title between a negation and a "like these", and return the place behind.

    None where there is none. "Not that of Harbour of Glass" in the order of Chinese.
    """
    end = at
    while walk.kind(end) in _IN_TITLE and end < at + _LONGEST:
        end += 1
    if end == at or walk.kind(end) not in {"like_after", "like_end"}:
        return None
    if not _is_title(walk, at, end):
        return None
    walk.flag(walk.nodes[end], GONE)
    _take(walk, at, end, dislike=True)
    return end + 1


def _first_of_title(walk: Walk, at: int) -> int:
    """Return where the longest known title that ends in front of a place begins; else the place."""
    first, found = at, at
    while first > max(at - _LONGEST, 0) and walk.kind(first - 1) in _IN_TITLE:
        first -= 1
        if _is_title(walk, first, at):
            found = first
    return found


def _is_title(walk: Walk, first: int, end: int) -> bool:
    tokens = walk.slots.tokens[walk.nodes[first].start : walk.nodes[end - 1].end]
    words = [token for token in tokens if token[0].isalnum()]
    return bool(words) and walk.vocabulary.titles.count(" ".join(words)) > 0


def _asks(walk: Walk, node: Node) -> bool:
    """Tell whether a character that seemed part of a word asks for the title behind it."""
    meaning = walk.slots.book.phrases.get(walk.token(node.start), {}).get("")
    return meaning is not None and meaning.kind == "filler"


def _take(walk: Walk, first: int, end: int, *, dislike: bool) -> None:
    text = walk.text_of(walk.nodes[first], walk.nodes[end - 1] if first < end - 1 else None)
    (walk.demands.dislike if dislike else walk.demands.like).append(text)
    walk.drop(first, end)
    before = walk.nodes[first - 1] if first else None
    if before is not None and before.kind == "word" and _asks(walk, before):
        walk.flag(before, GONE)
    walk.note(walk.nodes[first], f"{'dislike' if dislike else 'like'}:{text}", walk.nodes[end])
    walk.positive = [place for place in walk.positive if not first <= place < end]
    for place in range(first, end):
        walk.nodes[place] = walk.nodes[place]._replace(kind="title")
