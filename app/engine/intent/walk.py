"""The state in which a query is put together: its nodes, which words are left, what is demanded.

The modules `negating`, `ranges`, `gathering` and `resolving` work on one `Walk` in turn.
"""

from collections.abc import Sequence
from typing import Final

from app.domain.intent import Span
from app.engine.intent.collected import Collected
from app.engine.intent.conditions import Choice
from app.engine.intent.nodes import Node
from app.engine.intent.reading import QueryReading
from app.engine.intent.vocabulary import IntentVocabulary

GONE: Final = 0
SOFT: Final = 1
KEPT: Final = 2

SILENT: Final = frozenset({"stop", "filler", "lead", "sign"})
JOINTS: Final = frozenset({"and", "or", "comma"})


class Walk:
    """One query while it is put together.

    Attributes:
        nodes: of the query; a rule may replace one.
        demands: what was collected.
        spans: which characters said what.
        flags: for each token: `KEPT` as text, `SOFT` = kept between kept ones only, or `GONE`.
        positive: places of the values that are demanded.
        taken: places of the names of fields that a bound has taken.
    """

    def __init__(self, query: str, reading: QueryReading, nodes: list[Node]) -> None:
        """Take a query, and its nodes as `reading` found them."""
        self.query, self.nodes = query, nodes
        self.slots = reading.slots
        self.vocabulary: IntentVocabulary = reading.vocabulary
        self.demands = Collected()
        self.spans: list[Span] = []
        self.flags = [KEPT] * reading.n
        self.positive: list[int] = []
        self.taken: set[int] = set()

    def kind(self, at: int) -> str:
        """Return the kind of the node at a place, "" outside."""
        return self.nodes[at].kind if 0 <= at < len(self.nodes) else ""

    def flag(self, node: Node, flag: int) -> None:
        """Say what becomes of the tokens of a node."""
        for token in range(node.start, node.end):
            self.flags[token] = flag

    def drop(self, first: int, end: int) -> None:
        """Say that the nodes [first, end) are no text."""
        for node in self.nodes[first:end]:
            self.flag(node, GONE)

    def note(self, node: Node, means: str, last: Node | None = None) -> None:
        """Note what the characters of a node, or of several up to `last`, mean."""
        start, end = self.slots.starts[node.start], self.slots.ends[(last or node).end - 1]
        self.spans.append(Span(start, end, means))
        self.demands.n += 1

    def skip(self, at: int) -> int:
        """Return the place of the first node from there on that says something."""
        while self.kind(at) in SILENT:
            self.flag(self.nodes[at], SOFT)
            at += 1
        return at

    def begins_softly(self, at: int) -> bool:
        """Tell whether the first word of a node is a little one: "for kids"."""
        node = self.nodes[at]
        meaning = self.slots.book.phrases.get(self.token(node.start), {}).get("")
        return node.end > node.start + 1 and meaning is not None and meaning.kind == "stop"

    def beside(self, at: int, step: int) -> int:
        """Return the place of the next node in a direction that says something."""
        at += step
        while self.kind(at) in SILENT:
            at += step
        return at

    def token(self, at: int) -> str:
        """Return a folded token."""
        return self.slots.tokens[at]

    def characters(self, first: int, last: int) -> str:
        """Return the characters of the query from one token to another, that one included."""
        return self.query[self.slots.starts[first] : self.slots.ends[last]]

    def text_of(self, first: Node, last: Node | None = None) -> str:
        """Return the characters of nodes as typed; of something in quotes what they contain."""
        start, end = first.start, (last or first).end - 1
        if last is None and end > start + 1 and not self.token(start)[0].isalnum():
            start, end = start + 1, end - 1
        return self.characters(start, end)


def shown(choices: Sequence[Choice]) -> str:
    """Return choices as a span shows them."""
    return ",".join(f"{field}={'|'.join(map(str, values))}" for field, values in choices)
