"""Reads a query from left to right: at each token the longest thing that a phrase or a name says.

The result is a list of nodes, which cover all tokens. What they mean together, such as how far a
negation reaches, is decided in `app.engine.intent.resolving`. Here stand only the choices that need
nothing but the tokens: a value of the catalogue against a phrase, a year against a part number.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from app.engine.intent.cutting import is_single
from app.engine.intent.names import Named
from app.engine.intent.nodes import ENDS_TITLE, STRONG, TASTES, Node, separated
from app.engine.intent.phrases import MAKER
from app.engine.intent.slots import Found, Slots, Time
from app.engine.intent.spelling import corrected
from app.engine.intent.vocabulary import FULL, IntentVocabulary

_LONGEST_TITLE: Final = 16
_QUOTES: Final = {'"': '"', "\u300a": "\u300b", "\u300c": "\u300d", "\u300e": "\u300f"}

# What may follow a title and a little word in a script without blanks.
_BEHIND_TITLE: Final = frozenset({"", "comma", "but", "like", "unlike", "not_before", "value"})
_BEHIND_KNOWN: Final = frozenset({"filler", "lead", "value"})
_WITH_SLOTS: Final = frozenset({"bound", "count", "date"})
_AT_START: Final = frozenset({"filler", "lead"})
_LIKE: Final = frozenset({"like", "unlike", "with_end"})
_BEHIND_VALUE: Final = frozenset({"not_after_value"})
_NEGATIONS: Final = frozenset({"not_before", "not_before_value", "not_before_known"})
_LONGEST_QUALITY: Final = 4
_THINGS: Final = frozenset({"generic", "value"})
_GROWN_UP: Final = 18
_FAR: Final = 3
_FARTHEST: Final = 8
"""How many choices may wait for the next one."""
_LONG_BEFORE: Final = 100
_LEAST_TITLE: Final = 2
_SAME_AS: Final = {"soft_sort": "sort", "thing": "plain"}
_RARE: Final = 0.005
_ORDINARY: Final = 5
_FEW_ITEMS: Final = 200
_FIXED_COUNT: Final = 3
_FIXED_SHARE: Final = 0.3
_MOST_COUNT: Final = 100


class QueryReading:
    """One query, as it is read."""

    def __init__(self, slots: Slots, vocabulary: IntentVocabulary) -> None:
        """Take the tokens with their phrases, and what the catalogue knows."""
        self.slots, self.vocabulary = slots, vocabulary
        slots.tokens = corrected(slots, vocabulary)
        self.tokens, self.n = slots.tokens, slots.n
        self._phrases = slots.book.phrases
        self._seen: dict[int, Node | None] = {}
        self._ahead = 0

    def nodes(self) -> list[Node]:
        """Return the nodes of the query, in order; they cover all its tokens."""
        n = self.n
        at, first = self._title_before_year(), True
        nodes = [Node("plain", 0, at)] if at else []
        while at < n:
            made = bool(nodes) and nodes[-1].value == MAKER
            node = self._value(at) if made else None
            node = node or self._at(at, first=first)
            if node is None:
                nodes.append(Node("word", at, at + 1))
                at, first = at + 1, False
                continue
            if node.kind in _BEHIND_VALUE and (not nodes or nodes[-1].kind != "value"):
                node = Node("word", at, at + 1)
            at, kind = node.end, node.kind
            first = first and kind in _AT_START
            if kind in TASTES or (kind == "not_before" and _likes(nodes)):
                kinds = TASTES.get(kind, TASTES["not_before_taste"])
                kind = kinds[not self._is_title_at(at)]
                node = node._replace(kind=kind)
            if kind == "sort" and nodes and nodes[-1].kind in _NEGATIONS:
                node = self._named_instead(node)
                kind = node.kind
            if kind == "parts":
                nodes += self._parts(node)
            elif kind in _LIKE:
                titles = list(self._titles(node))
                nodes += [node, *titles] if titles else [node._replace(kind="stop")]
                at = nodes[-1].end
            else:
                nodes.append(node)
        return separated(nodes, self.slots)

    def _is_title_at(self, at: int) -> bool:
        """Tell whether a known title begins at a token, and no value that is as long."""
        title = self._title(at)
        if title is None or not title.value:
            return False
        said = self._said(at)
        return said is None or said.kind != "value" or said.end < title.end

    def _at(self, at: int, *, first: bool) -> Node | None:
        """Return the node that begins at a token; None for a word."""
        node = self._quoted(at) if self.tokens[at] in _QUOTES else None
        return node or self._said(at, first=first) or self._number(at)

    def _value(self, at: int) -> Node | None:
        named = self._name(at) if at < self.n else None
        return named if named is not None and named.kind == "value" else None

    def _named_instead(self, sort: Node) -> Node:
        """Return the value that the words of a sort name as well: "not pop"."""
        named = self._name(sort.start)
        fits = named is not None and named.kind == "value" and named.end == sort.end
        return named if named is not None and fits else sort

    def _title_before_year(self) -> int:
        """Return the end of a title that all but a last year of the query is: 0 if there is none.

        Otherwise the words of the title could be demands of their own: "best in show 2000".
        """
        end = self.n - (1 if self.tokens and self.tokens[-1][-1].isalnum() else 2)
        if end < _LEAST_TITLE or not self.tokens[end].isdecimal() or len(self.tokens[end]) != 4:
            return 0
        end -= not self.tokens[end - 1][0].isalnum()
        return end if self._is_title(0, end) else 0

    def _parts(self, node: Node) -> list[Node]:
        """Return the values that one word stands for together; the word if they are unknown."""
        by_name = self.vocabulary.names.by_name
        known = [by_name[name] for name in node.value if name in by_name]
        values = [node._replace(kind="value", value=named) for named in known if named.targets]
        return values or [Node("word", node.start, node.end)]

    def _said(self, at: int, *, first: bool = False) -> Node | None:
        """Return what the longest phrase or name that begins at a token says; None for a word."""
        token = self.tokens[at]
        if (
            token not in self._phrases
            and token not in self.vocabulary.names.longest
            and not self.slots.may_fill(at)
        ):
            return None if token[0].isalnum() else Node("sign", at, at + 1)
        if at not in self._seen:
            if self._ahead >= _FARTHEST:
                return None  # "old old old old": each looks at the next
            self._ahead += 1
            self._seen[at] = self._choice(at)
            self._ahead -= 1
        node = self._seen[at]
        if node is not None and node.kind == "lead":
            return node if first else None
        return node

    def _choice(self, at: int) -> Node | None:
        named = self._name(at)
        found = self._phrase(at, named)
        if found is None or (
            named is not None
            and (named.end > found.end or (named.end == found.end and self._wins(named, found)))
        ):
            return named
        meaning = found.meaning
        value = (meaning.value, found.values) if meaning.kind in _WITH_SLOTS else meaning.value
        kind = _SAME_AS.get(meaning.kind, meaning.kind)
        return Node(kind, at, found.end, value, meaning.language)

    def _wins(self, named: Node, found: Found) -> bool:
        if found.meaning.kind in STRONG:
            return False
        if found.meaning.kind == "generic":
            if named.kind == "attribute":
                return False
            best = named.value.best
            return all(self.vocabulary.share(t.field, t.value) < FULL for t in best)
        return True

    def _name(self, at: int) -> Node | None:
        """Return the longest name of a value or field that begins at a token."""
        names = self.vocabulary.names
        tokens = self.tokens
        longest = names.longest.get(tokens[at])
        if longest is None:
            return None
        for end in range(min(at + longest, self.n), at, -1):
            named = names.by_name.get(tokens[at] if end == at + 1 else " ".join(tokens[at:end]))
            if named is not None and self._may_name(named, at, end):
                kind = "value" if named.targets else "attribute"
                return Node(kind, at, end, named)
        return None

    def _may_name(self, named: Named, at: int, end: int) -> bool:
        if end > at + 1:
            return True
        token = self.tokens[at]
        if is_single(token):
            # One character is a name only where no other word goes on with it.
            if end >= self.n or not is_single(self.tokens[end]):
                return True
            counted = bool(named.attributes) and at > 0 and self.tokens[at - 1].isdecimal()
            return counted or self.tokens[end] in self._phrases
        if self.n > 1 and self.slots.book.numbers.get(token) and not self._is_made_by(at):
            return False  # "five shirts", whatever a brand is called
        return not (named.targets and self._is_ordinary(token, named))

    def _is_made_by(self, at: int) -> bool:
        meaning = self._phrases.get(self.tokens[at - 1], {}).get("") if at else None
        return meaning is not None and meaning.value == MAKER

    def _is_ordinary(self, token: str, named: Named) -> bool:
        """Tell whether a value is rare, and its name a common word of titles: a brand called Go."""
        vocabulary = self.vocabulary
        if vocabulary.n_items < _FEW_ITEMS or named.attributes:
            return False
        shares = [vocabulary.share(target.field, target.value) for target in named.best]
        n = max(shares) * vocabulary.n_items
        return max(shares) < _RARE and vocabulary.words.count(token) > _ORDINARY * n

    def _phrase(self, at: int, named: Node | None) -> Found | None:
        token = self.tokens[at]
        if token not in self._phrases and not self.slots.may_fill(at):
            return None
        least = named.end if named is not None else 0
        found = [one for one in self.slots.found(self._phrases, at) if one.end >= least]
        found.sort(key=lambda one: (-one.end, one.meaning.kind != "date"))
        for one in found:
            if self._holds(at, one):
                return one
            if one.meaning.kind == "with_end":
                return one._replace(meaning=one.meaning._replace(kind="and"))
        return None

    def _holds(self, at: int, found: Found) -> bool:
        """Tell whether a phrase can mean what it says in this catalogue, and at this place."""
        test = _CONDITIONS.get(found.meaning.kind)
        return test is None or test(self, at, found)

    def _ends_words(self, _at: int, found: Found) -> bool:
        """Tell whether a bound does not end inside a name, as characters without blanks may."""
        last = found.end - 1
        if not is_single(self.tokens[last]):
            return True
        name = self._name(last)
        return name is None or name.end <= found.end

    def _sorts(self, at: int, found: Found) -> bool:
        return self._can_sort(found.meaning.value) and not self._is_fixed(at, found)

    def _sorts_softly(self, at: int, found: Found) -> bool:
        near = self._describes(found.end)
        far = found.meaning.value == "oldest" and self._describes_far(found.end)
        return (near or far) and self._sorts(at, found)

    def _describes_far(self, at: int) -> bool:
        """Tell whether a few words and a plural of things end the query: "old harbour films"."""
        end = at
        while end < min(at + _FAR, self.n) and self._kind_at(end) in {"", "and", "plain"}:
            end += 1
        node = self._said(end) if at < end < self.n and not is_single(self.tokens[at]) else None
        return node is not None and node.kind == "generic" and node.value and node.end == self.n

    def _sets_tone(self, at: int, found: Found) -> bool:
        """Tell whether a word of tone describes something: "dark thriller", "something light"."""
        if self._describes(found.end):
            return not self._is_fixed(at, found)
        if found.end >= self.n:
            return at > 0 and self._kind_at(at - 1) == "generic"
        return self._kind_at(found.end) in {"and", "comma"} and self._kind_at(found.end + 1) in {
            "tone",
            "soft_tone",
        }

    def _counts(self, _at: int, found: Found) -> bool:
        count = found.values[0] if found.values else 1
        amount = self.slots.slot("amount", found.end - 1)
        if amount is not None and amount.end > found.end:
            return False  # "cheapest 16gb laptop"
        return bool(count == int(count) and 0 < count <= _MOST_COUNT)

    def _negates_value(self, _at: int, found: Found) -> bool:
        at = found.end
        if self._kind_at(at) in {"value", "tone", "soft_tone"} or self._value(at) is not None:
            return True
        # Without blanks: one or two words, then a little word, then what they describe.
        end = at
        while end < min(at + _LONGEST_QUALITY, self.n) and self._is_plain_single(end):
            end += 1
        return end > at and self._kind_at(end) == "stop" and self._kind_at(end + 1) in _THINGS

    def _is_plain_single(self, at: int) -> bool:
        return self._kind_at(at) == "" and is_single(self.tokens[at])

    def _is_age(self, _at: int, found: Found) -> bool:
        """Tell whether the number of a phrase, if it has one, may be the age of a child."""
        return not found.values or found.values[0] < _GROWN_UP

    def _has_end(self, _at: int, found: Found) -> bool:
        places = range(found.end + 1, min(found.end + _LONGEST_TITLE, self.n))
        return any(
            self._kind_at(place) in {"like_end", "like_after"} or self._is_end(place)
            for place in places
        )

    def _is_end(self, at: int) -> bool:
        """Tell whether a "like" has no title behind it: in Chinese it may stand behind one."""
        said = self._said(at) if is_single(self.tokens[at]) else None
        return said is not None and said.kind == "like" and not self._is_title_at(said.end)

    def _can_sort(self, sort: str) -> bool:
        fields = self.vocabulary.fields
        if sort in {"newest", "oldest"}:
            return fields.years is not None
        return sort not in {"cheapest", "dearest"} or "price" in fields.by_role

    def _is_fixed(self, at: int, found: Found) -> bool:
        """Tell whether a word belongs to the one behind it, as titles show: "new york"."""
        if found.end != at + 1 or found.end >= self.n:
            return False
        first, second = self.tokens[at], self.tokens[found.end]
        together = self.vocabulary.pairs.count(f"{first} {second}")
        apart = self.vocabulary.words.count(second) if together >= _FIXED_COUNT else 0
        return bool(apart) and together >= _FIXED_SHARE * apart

    def _dated(self, at: int, found: Found) -> bool:
        years = self.vocabulary.fields.years
        value = self._value(at + 1) if found.meaning.value == "until" else None
        if years is None or (value is not None and value.end == found.end):
            return False  # there are no dates, or it is by a band: "by The Eighties"
        times = [value for value in found.values if isinstance(value, Time)]
        first = min(time.period.first.year for time in times)
        if found.meaning.value not in {"before", "until"} and first > years[1] + 1:
            return False  # "in the 25th century"
        by_role = self.vocabulary.fields.by_role
        if "price" in by_role and any(time.bare == "short" for time in times):
            return False  # "from 50 to 90" is about money
        alone = len(times) == 1 and not found.meaning.language
        if first < years[0] - _LONG_BEFORE:
            return False  # "house of 1000 corpses"
        if alone and times[0].bare == "year":
            return years[0] <= times[0].period.first.year <= years[1] + 1
        named = alone and times[0].bare == "month" and self._kind_at(found.end) == "generic"
        return not (alone and times[0].bare) or named

    def _describes(self, at: int) -> bool:
        """Tell whether what follows is a thing in general, or a category of things."""
        node = self._said(at) if at < self.n else None
        if node is None:
            return False
        if node.kind == "value":
            kinds = self.vocabulary.fields.kinds
            return all(kinds[target.field] == "strings" for target in node.value.best)
        return node.kind == "generic"

    def _negates(self, at: int, found: Found) -> bool:
        """Tell whether a weak "no" negates: no number, and no fixed expression of titles."""
        end = found.end
        if end >= self.n or self.tokens[end][0].isdecimal() or self._is_strange(at - 1):
            return False
        pair = f"{self.tokens[at]} {self.tokens[end]}"
        return self._kind_at(end) == "value" or not self.vocabulary.pairs.count(pair)

    def _is_strange(self, at: int) -> bool:
        """Tell whether a token is a word that neither the phrases nor the titles know."""
        token = self.tokens[at] if at >= 0 else ""
        if not token.isalpha() or token in self.slots.book.words:
            return False
        return token not in self.vocabulary.names.longest and not self.vocabulary.words.count(token)

    def _kind_at(self, at: int) -> str:
        node = self._said(at) if at < self.n else None
        return "" if node is None else node.kind

    def _quoted(self, at: int) -> Node | None:
        close = _QUOTES.get(self.tokens[at])
        if close is None or close not in self.tokens[at + 1 :]:
            return None
        end = self.tokens.index(close, at + 1)
        return Node("quoted", at, end + 1) if end > at + 1 else None

    def _number(self, at: int) -> Node | None:
        """Return a number that no phrase takes, with its unit, so that 2000 watt is no year."""
        if not self.slots.may_fill(at):
            return None
        amount = self.slots.slot("amount", at)
        if amount is None:
            return None
        kind = "amount" if amount.value.counts else "number"
        return Node(kind, at, amount.end, amount.value)

    def _titles(self, like: Node) -> Iterator[Node]:
        """Yield the titles behind a "like", with the words between them and behind the last."""
        at = like.end
        while at < self.n:
            title = self._title(at)
            if title is None:
                return
            yield title
            joint = self._kind_at(title.end)
            if title.end >= self.n:
                return
            if joint in {"like_end", "like_after"} or self._is_end(title.end):
                end = self._said(title.end)
                assert end is not None  # noqa: S101 - it has a kind
                yield end._replace(kind="like_end")
                return
            at = title.end
            while at < self.n and self._kind_at(at) in {"and", "or", "comma"}:
                said = self._said(at)
                at = at + 1 if said is None else said.end
            following = self._title(at) if title.end < at < self.n else None
            if following is None:
                return
            if not self._goes_on(following, joint):
                return
            yield Node("and", title.end, at)

    def _goes_on(self, title: Node, joint: str) -> bool:
        """Tell whether a list of titles goes on with one: not "less like this, more like that"."""
        at = title.start
        said = self._said(at)
        if self._ends(at) and said is not None and title.end <= said.end:
            return False
        return bool(title.value) or not (joint == "comma" or self._ends(at))

    def _title(self, at: int) -> Node | None:
        """Return the title that begins at a token, as far as it goes."""
        if at >= self.n:
            return None
        quoted = self._quoted(at)
        if quoted is not None:
            return quoted._replace(kind="title", value=self._is_title(at + 1, quoted.end - 1))
        if self._kind_at(at) == "generic":
            return None
        most = min(at + _LONGEST_TITLE, self.n)
        for end in range(most, at, -1):
            if (
                (end == most or self._bounds(end) or self._kind_at(end) in _BEHIND_KNOWN)
                and self.tokens[end - 1][-1].isalnum()
                and self._is_title(at, end)
            ):
                return Node("title", at, end, True)
        end = at if self._ends(at) else at + 1
        while at < end < most and not self._bounds(end):
            end += 1
        while end > at and self._kind_at(end - 1) in {"stop", "filler"}:
            end -= 1
        return Node("title", at, end, False) if end > at else None

    def _is_title(self, at: int, end: int) -> bool:
        words = [token for token in self.tokens[at:end] if token[0].isalnum()]
        return bool(words) and self.vocabulary.titles.count(" ".join(words)) > 0

    def _bounds(self, at: int) -> bool:
        """Tell whether a title may end in front of a token."""
        kind = self._kind_at(at)
        if kind in {"and", "or", "comma", "sign"} or self._ends(at):
            return True
        if kind == "generic" and self._closes(at):
            return True
        return is_single(self.tokens[at]) != is_single(self.tokens[at - 1])

    def _closes(self, at: int) -> bool:
        """Tell whether a generic noun is the last of its expression: not the one of "toy story"."""
        node = self._said(at)
        assert node is not None  # noqa: S101 - it has a kind
        return bool(node.value) or node.end >= self.n or self._kind_at(node.end) != ""

    def _ends(self, at: int) -> bool:
        if self.tokens[at] in self.slots.book.like_stops:
            return True
        node = self._said(at)
        if node is None:
            return False
        if node.kind == "date":
            return node.end > at + 1
        if node.kind == "stop":
            behind = self._kind_at(node.end)
            if is_single(self.tokens[at]) and behind in _BEHIND_TITLE:
                return True
            return behind in {"generic", "like_end", "like_after"}
        return node.kind in ENDS_TITLE


def _likes(nodes: list[Node]) -> bool:
    return any(node.kind in _LIKE for node in nodes)


_CONDITIONS: Final[Mapping[str, Callable[[QueryReading, int, Found], bool]]] = {
    "sort": QueryReading._sorts,  # noqa: SLF001 - its own class
    "soft_sort": QueryReading._sorts_softly,  # noqa: SLF001
    "tone": QueryReading._is_age,  # noqa: SLF001
    "soft_tone": QueryReading._sets_tone,  # noqa: SLF001
    "date": QueryReading._dated,  # noqa: SLF001
    "bound": QueryReading._ends_words,  # noqa: SLF001
    "count": QueryReading._counts,  # noqa: SLF001
    "not_before_value": QueryReading._negates_value,  # noqa: SLF001
    "not_before_known": QueryReading._negates,  # noqa: SLF001
    "with_end": QueryReading._has_end,  # noqa: SLF001
}
