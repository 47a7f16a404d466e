"""The nodes that a query is read as, and which of them are words after all."""

from typing import Any, Final, NamedTuple

from app.engine.intent.cutting import is_single
from app.engine.intent.slots import Slots

# Where a phrase and the name of a value are equally long, these kinds of phrases win.
STRONG: Final = frozenset(
    {
        *("sort", "soft_sort", "not_before", "not_before_known", "not_after"),
        *("not_before_taste", "only_end", "like_taste"),
        *("like", "unlike", "with_end", "like_end", "like_after", "count", "bound", "date"),
        *("lead", "filler", "and", "or", "but", "comma", "stop", "connective"),
    }
)
# What ends the title behind "like".
ENDS_TITLE: Final = frozenset(
    {
        *("not_before", "not_before_taste", "like_taste", "like", "unlike", "with_end", "like_end"),
        *("like_after", "but", "sort", "count", "bound", "tone", "comma"),
    }
)
# What such a phrase is in front of a known title, and in front of anything else.
TASTES: Final = {"like_taste": ("like", "filler"), "not_before_taste": ("unlike", "not_before")}
_INSIDE_WORDS: Final = frozenset({"filler", "lead", "but"})
_JOINED: Final = frozenset({"word", "value", "generic", "date", "title", "sign", "tone"})


class Node(NamedTuple):
    """Tokens [start, end) of the query, and what they say.

    `kind`: that of a phrase, or "value", "attribute", "title", "quoted", "number", "word".
    """

    kind: str
    start: int
    end: int
    value: Any = None
    language: str = ""


def separated(nodes: list[Node], slots: Slots) -> list[Node]:
    """Return the nodes, with characters that only look like filler inside a word as words again."""
    for at, node in enumerate(nodes):
        starts = node.kind == "and" and (at == 0 or nodes[at - 1].kind not in _JOINED)
        if (node.kind not in _INSIDE_WORDS and not starts) or node.end != node.start + 1:
            continue
        if not is_single(slots.tokens[node.start]):
            continue
        sides = [nodes[place] for place in (at - 1, at + 1) if 0 <= place < len(nodes)]
        if any(
            side.kind == "word"
            and is_single(slots.tokens[side.start])
            and (slots.glued(side.start) or slots.glued(side.end))
            for side in sides
        ):
            nodes[at] = node._replace(kind="word", value=None)
    return nodes
