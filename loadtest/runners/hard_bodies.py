"""Requests that may be hard to answer, drawn from a tape of numbers: a search can change each.

A tape is a list of numbers in [0, 1). `drawn` reads it from the front, and makes one request of it:
which route, how many ids, how long a text, how many fields nobody knows. So a changed number is
another request that is much like the first, and a longer list or text is a larger number.
"""

import base64
import json
import random
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.domain.filters import MAX_TESTS, MAX_VALUES
from app.domain.intent import MAX_WITHOUT, SORTS, TONES
from app.domain.request import MAX_BATCH, MAX_CANDIDATES, MAX_EVENTS, MAX_EXCLUDE
from app.domain.request_parts import MAX_HISTORY
from app.domain.shelf_requests import MAX_SHELVES
from loadtest.runners.wide_shop import FIELDS, N_ITEMS

TAPE: Final = 48
"""Numbers of a tape; what needs more begins at its front again."""

_MOST_BYTES: Final = 1_048_576
_MOST_ADDRESS: Final = 16_000


@dataclass(frozen=True, slots=True)
class Hard:
    """One request. `shape`: what kind it is, for people."""

    shape: str
    method: str
    path: str
    body: bytes

    def sent(self) -> bytes:
        """Return the bytes to send on a connection of its own."""
        head = f"{self.method} {self.path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n"
        if self.body:
            head += f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n"
        return head.encode() + b"\r\n" + self.body


class Tape:
    """Numbers that are read from the front; see the module."""

    def __init__(self, numbers: Sequence[float]) -> None:
        """Begin at the front of `numbers`, which are in [0, 1)."""
        self._numbers, self._at = numbers, 0

    def next(self) -> float:
        """Return the next number."""
        self._at += 1
        return self._numbers[(self._at - 1) % len(self._numbers)]

    def whole(self, most: int) -> int:
        """Return a whole number from 0 to `most`; small ones are as likely as large ones."""
        return min(most, round((most + 1.0) ** self.next() - 1))

    def one(self, choices: Sequence[Any]) -> Any:  # noqa: ANN401 - of what is given
        """Return one of the choices."""
        return choices[int(self.next() * len(choices))]

    def likely(self, share: float) -> bool:
        """Return true with this probability."""
        return self.next() < share


def new_tape(rng: random.Random) -> list[float]:
    """Return a tape; every third has many numbers near 1, for long lists and texts."""
    heavy = rng.random() < 1 / 3
    return [rng.random() ** (0.15 if heavy and rng.random() < 0.7 else 1.0) for _ in range(TAPE)]


def changed(tape: Sequence[float], rng: random.Random) -> list[float]:
    """Return a tape with one to four other numbers."""
    numbers = list(tape)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(numbers))
        numbers[at] = rng.choice([rng.random(), 0.999999, min(0.999999, numbers[at] * 1.1)])
    return numbers


def drawn(numbers: Sequence[float]) -> Hard:
    """Return the request of a tape."""
    tape = Tape(numbers)
    return tape.one(_KINDS)(tape)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _post(shape: str, path: str, value: object, *, method: str = "POST") -> Hard:
    body = value if isinstance(value, bytes) else _json(value)
    return Hard(shape, method, path, body[:_MOST_BYTES])


def _number(tape: Tape, most: int, kinds: Sequence[object]) -> int:
    """Return how many entries of these kinds a body has: at most as many as fit."""
    size = max(len(_json(kind)) for kind in kinds)
    return max(1, min(1 + tape.whole(most - 1), _MOST_BYTES // (size + 20)))


_PIECES: Final = (
    *("a", "é", "不", " ", "space ", "not ", "like ", "between 1 and 2 ", "除了", "under $50 "),
    *("1990 ", "without ", "movies like alien and ", "-", "(", '"', "last year ", "<b>", "&amp;"),
    *("https://a.example/ ", "\U0001d160", "a.b@c ", "neither nor ", "\t\n", "ﬁ", "<", "&#", "]]>"),
    *("0,1", "A > B|", "12:30 ", "1e9", "İ", "ß", "horor ", "best 10 comedies ", "aa aa "),
)


def _text(tape: Tape, most: int) -> str:
    pieces = [tape.one(_PIECES) for _ in range(1 + tape.whole(3))]
    length = tape.whole(most)
    whole = "".join(pieces)
    return (whole * (length // len(whole) + 1))[:length]


def _ids(tape: Tape, most: int) -> list[Any]:
    n, kind = tape.whole(most), tape.whole(4)
    if kind == 0:
        return list(range(n))
    if kind == 1:
        return [f"{x:0>{1 + tape.whole(255)}}"[:256] for x in range(n)]
    if kind == 2:
        return ["\U0001f600" * 256 for _ in range(n)]
    if kind == 3:
        return [{} for _ in range(n)]
    return [str(x * 17 % N_ITEMS) for x in range(n)]


def _unknown(tape: Tape, most: int = 100_000) -> dict[str, Any]:
    """Return fields that nobody knows; mostly none."""
    if not tape.likely(0.2):
        return {}
    length = tape.whole(60)
    return {f"{n:x>{length}}": tape.whole(1) for n in range(tape.whole(most))}


def _values(tape: Tape, kind: str, n: int) -> list[Any]:
    match kind:
        case "number":
            return [x / 10 for x in range(n)]
        case "time":
            return [f"20{x % 100:02}-0{1 + x % 9}-01" for x in range(n)]
        case "boolean":
            return [x % 2 == 0 for x in range(n)]
        case _:
            stem = tape.one(("code-", "tag-", "provider-", "\U0001f600" * 50))
            return [f"{stem}{x:06}" if stem == "code-" else f"{stem}{x}" for x in range(n)]


def _test(tape: Tape, field: str) -> dict[str, Any]:
    kind = FIELDS[field]
    operator = tape.one(("any", "all", "not", "eq", "gte", "lt", "exists"))
    if operator in {"any", "all", "not"}:
        return {operator: _values(tape, kind, 1 + tape.whole(MAX_VALUES - 1))}
    if operator == "exists":
        return {operator: tape.likely(0.5)}
    return {operator: _values(tape, kind, 1)[0]}


def _filter(tape: Tape, depth: int = 0) -> dict[str, Any]:
    n, field = 1 + tape.whole(MAX_TESTS - 1), tape.one(tuple(FIELDS))
    group = tape.one(("$and", "$or", "$not"))
    if depth < 8 and tape.likely(0.2):
        return {group: [_filter(tape, depth + 1)]}
    test = _test(tape, field)
    return {group: [{field: test} for _ in range(n)], **_unknown(tape, 5_000)}


def _cursor(tape: Tape) -> str:
    ids = tape.one(("\n", "1\n", "\U0001f600\n", "a" * 256 + "\n")).encode() * tape.whole(1_000_000)
    packed = zlib.compress(ids[:4_000_000])
    head = struct.pack(">BQ8sI", 1, int(time.time()), bytes(8), zlib.crc32(packed))
    return base64.urlsafe_b64encode(head + packed).decode().rstrip("=")[:32_768]


def _intent(tape: Tape) -> dict[str, Any]:
    intent: dict[str, Any] = {"sort": tape.one(SORTS), **_unknown(tape)}
    if tape.likely(0.5):
        intent["filters"] = _filter(tape)
    if tape.likely(0.3):
        intent["prefers"] = _filter(tape)
    if tape.likely(0.4):
        words = [_text(tape, 60) or "a" for _ in range(8)]
        intent["without"] = [words[n % 8] for n in range(tape.whole(MAX_WITHOUT))]
    if tape.likely(0.3):
        intent["like"] = _ids(tape, MAX_HISTORY)
    if tape.likely(0.2):
        intent["tone"] = list(TONES) * tape.whole(50)
    if tape.likely(0.2):
        spans = 1 + tape.whole(50_000)
        intent["spans"] = [{"start": 0, "end": 1, "means": "x"} for _ in range(spans)]
    return intent


def _request(tape: Tape) -> dict[str, Any]:
    """Return the fields of a request for recommendations."""
    parts: dict[str, Callable[[], Any]] = {
        "query": lambda: _text(tape, 512),
        "history": lambda: _ids(tape, MAX_HISTORY),
        "like": lambda: _ids(tape, MAX_HISTORY),
        "exclude": lambda: _ids(tape, MAX_EXCLUDE),
        "candidates": lambda: _ids(tape, MAX_CANDIDATES) or ["1"],
        "filter": lambda: _filter(tape),
        "intent": lambda: _intent(tape),
        "cursor": lambda: _cursor(tape),
        "context": lambda: {f"c{n}": _text(tape, 256) for n in range(tape.whole(16))},
        "exposure": lambda: {
            "field": tape.one(("provider", "tags", "code")),
            "groups": {f"provider-{n}": {"max": 0.5} for n in range(1 + tape.whole(5_000))},
        },
        "max_per": lambda: dict.fromkeys(tuple(FIELDS)[: 1 + tape.whole(3)], 1),
        "fields": lambda: list(FIELDS) * (1 + tape.whole(20)),
        "goals": lambda: {f"g{n}": 0.5 for n in range(tape.whole(20_000))},
        "exclude_seen": lambda: {"events": ["x"] * tape.whole(50_000), "within": "9w"},
        "user_id": lambda: str(tape.whole(199)),
    }
    fields = {name: part() for name, part in parts.items() if tape.likely(0.3)}
    if tape.likely(0.3):
        fields |= {"k": 1 + tape.whole(99), "diversity": 0.5, "explain": tape.likely(0.5)}
    return fields | _unknown(tape)


def _recommend(tape: Tape) -> Hard:
    path = tape.one(("/recommend", "/recommend?way=long", "/recommend/stream"))
    return _post("recommend", path, _request(tape))


def _batch(tape: Tape) -> Hard:
    kinds = [_request(tape) for _ in range(2)]
    requests = [{**kinds[n % 2], "seed": n} for n in range(_number(tape, MAX_BATCH, kinds))]
    return _post("batch", "/recommend/batch", {"requests": requests})


def _shelves(tape: Tape) -> Hard:
    fields = {name: value for name, value in _request(tape).items() if name != "cursor"}
    kind = tape.one(("request", "because", "continue", "new", "popular"))
    n_rows = _number(tape, MAX_SHELVES, [fields])
    rows = [{**fields, "name": f"r{n}", "kind": kind} for n in range(n_rows)]
    whole = {"user_id": "7", "exclude": _ids(tape, MAX_EXCLUDE), "shelves": rows}
    return _post("shelves", "/shelves", whole | _unknown(tape))


def _similar(tape: Tape) -> Hard:
    sent = {"items": _ids(tape, MAX_HISTORY) or ["1"], "filter": _filter(tape)}
    return _post("similar", "/similar", sent | _unknown(tape))


def _interpret(tape: Tape) -> Hard:
    return _post("interpret", "/interpret", {"query": _text(tape, 512)} | _unknown(tape))


def _facets(tape: Tape) -> Hard:
    sent: dict[str, Any] = {"limit": 1 + tape.whole(999), "fields": list(FIELDS)}
    if tape.likely(0.5):
        sent["filter"] = _filter(tape)
    return _post("facets", "/facets", sent | _unknown(tape))


def _why_not(tape: Tape) -> Hard:
    return _post("why-not", "/why-not", {"request": _request(tape), "item_id": "7"})


def _event(tape: Tape) -> dict[str, Any]:
    parts: dict[str, Callable[[], Any]] = {
        "user_id": lambda: tape.one(("7", 7, {}, "\U0001f600" * 256)),
        "event": lambda: tape.one(("view", "rating", _text(tape, 64))),
        "value": lambda: tape.one((1, "3.5", "1e400", "1" * 400, "nan?")),
        "timestamp": lambda: tape.one((1.5e9, "2020-01-01T00:00:00Z", "x" * 99, "2020", -5)),
        "query": lambda: _text(tape, 600),
        "context": lambda: {f"c{n}": _text(tape, 60) for n in range(tape.whole(16))},
    }
    event = {name: part() for name, part in parts.items() if tape.likely(0.4)}
    return {"session_id": "s", "item_id": str(tape.whole(99)), **event, **_unknown(tape, 200)}


def _events(tape: Tape) -> Hard:
    kinds = [_event(tape) for _ in range(2)]
    several = tape.one(("event_id", "event", "item_id", "context"))
    events = [
        {**kinds[n % 2], several: f"{n} add to cart"}
        for n in range(_number(tape, MAX_EVENTS, kinds))
    ]
    return _post("events", "/events", {"events": events} if tape.likely(0.5) else events)


def _nested(tape: Tape) -> Any:  # noqa: ANN401 - any JSON
    value: Any = _text(tape, 100)
    for _ in range(tape.whole(120)):
        value = tape.one(([value], {"name": value}, {"children": [value], "name": "x"}))
    return value


def _item(tape: Tape) -> dict[str, Any]:
    parts: dict[str, Callable[[], Any]] = {
        "title": lambda: _text(tape, 3_000),
        "text": lambda: _text(tape, 100_000),
        "categories": lambda: tape.one(
            (
                [f"c{n}" for n in range(tape.whole(10_000))],
                "|".join(f"c{n}" for n in range(tape.whole(10_000))),
                "a > " * tape.whole(10_000),
                _nested(tape),
            )
        ),
        "tags": lambda: [f"t{n}" for n in range(tape.whole(10_000))],
        "code": lambda: _text(tape, 1_000),
        "price": lambda: tape.one((1, "9", 1e308, int("9" * 400))),
        "published_at": lambda: tape.one((2000, "2016-01-02T03:04:05Z", "x" * 300)),
        "extra": lambda: _nested(tape),
    }
    return {name: part() for name, part in parts.items() if tape.likely(0.4)} | _unknown(tape)


def _items(tape: Tape) -> Hard:
    kinds = [_item(tape) for _ in range(2)]
    n = _number(tape, 1_000, kinds)
    items = [{"id": f"n{x}", **kinds[x % 2]} for x in range(n)]
    return _post("items", "/items", items, method="PUT")


def _patch(tape: Tape) -> Hard:
    return _post("patch", "/items/1", _item(tape), method="PATCH")


def _rule(tape: Tape) -> dict[str, Any]:
    action = tape.one(("boost", "block", "promote", "pin"))
    some: dict[str, Any] = {"filter": _filter(tape)}
    if action == "pin":
        some = {"item_id": "1", "place": 1}
    elif action != "block":
        some |= {"weight": 1.0} if action == "boost" else {"share": 0.3}
    when = {"query": {"exact": _text(tape, 512)}} if tape.likely(0.5) else None
    return {action: some, **({"when": when} if when else {}), **_unknown(tape, 20_000)}


def _rules(tape: Tape) -> Hard:
    kinds = [_rule(tape) for _ in range(2)]
    n = _number(tape, 1_000, kinds)
    rules = [{"id": f"r{x}", **kinds[x % 2]} for x in range(n)]
    if tape.likely(0.5):
        tried = {"rules": rules, "requests": [_request(tape)]}
        return _post("dry-run", "/admin/rules/dry-run", tried)
    return _post("rules", "/admin/rules", {"rules": rules}, method="PUT")


def _scenarios(tape: Tape) -> Hard:
    request = {name: value for name, value in _request(tape).items() if name != "cursor"}
    n = _number(tape, 1_000, [request])
    sent = {"scenarios": {f"s{x}": request for x in range(n)}}
    return _post("scenarios", "/admin/scenarios", sent, method="PUT")


def _user(tape: Tape) -> Hard:
    texts = [_text(tape, 256)] * 16
    attributes = {f"a{n}": texts for n in range(tape.whole(200))}
    return _post("user", "/users/7", {"attributes": attributes} | _unknown(tape), method="PUT")


def _address(tape: Tape) -> Hard:
    path = tape.one(("/popular?", "/newest?k=5&", "/items/", "/users/", "/recomend", "/admin/"))
    text = tape.one(("a=1&", "%F0%9F%98%80", "a", "/", "filter={}&", "%22", "exclude=1,2&"))
    return Hard("address", "GET", path + text * (tape.whole(_MOST_ADDRESS) // len(text)), b"")


_TOKENS: Final = (
    *(b"[", b'{"a":', b"{},", b"[],", b'"",', b"0,", b"1e9,", b"-", b"9", b'"\\u0041', b'"a":1,'),
    *(b'"query":"x",', b"null,", b" ", b"\\", b'"\\ud800",', b'{"a":1},', b'"\xff', b"1.5E+9,"),
)


_OPENINGS: Final = (
    *(b"", b"[", b"{", b'{"events":[', b'{"items":[', b'{"requests":[', b'{"exclude":['),
    *(b'{"filter":{"code":{"any":[', b'{"shelves":[', b'{"intent":{"spans":[', b'{"query":"'),
)


def _raw(tape: Tape) -> Hard:
    path = tape.one(
        ("/recommend", "/recommend/batch", "/shelves", "/events", "/items", "/admin/rules/dry-run")
    )
    opening = tape.one(_OPENINGS)
    pieces = b"".join(tape.one(_TOKENS) for _ in range(1 + tape.whole(2)))
    ending = tape.one((b"", b"0]}", b'"]}', b"0]}}}", b'"a":1}'))
    body = opening + pieces * (tape.whole(_MOST_BYTES) // len(pieces)) + ending
    return _post("raw", path, body, method="PUT" if path == "/items" else "POST")


_KINDS: Final = (
    *(_recommend, _batch, _shelves, _similar, _interpret, _facets, _why_not, _events, _items),
    *(_patch, _rules, _scenarios, _user, _address, _raw),
)


def known_to_be_hard() -> list[Hard]:
    """Return requests that once held the loop for a tenth of a second and more."""
    test = {"code": {"any": [f"code-{n:06}" for n in range(MAX_VALUES)]}}
    packed = zlib.compress(b"\n" * 4_000_000)
    head = struct.pack(">BQ8sI", 1, int(time.time()), bytes(8), zlib.crc32(packed))
    cursor = base64.urlsafe_b64encode(head + packed).decode().rstrip("=")
    unknown = {f"x{n}": 1 for n in range(90_000)}
    return [
        _post("many values", "/recommend", {"filter": {"$and": [test] * MAX_TESTS}}),
        _post("forged cursors", "/recommend/batch", {"requests": [{"cursor": cursor}] * MAX_BATCH}),
        _post("unknown names", "/recommend", unknown),
        _post("marks", "/items", [{"id": "a", "text": "<" * 1_000_000}], method="PUT"),
        _post("many kinds", "/events", [_kind_of(n) for n in range(MAX_EVENTS)]),
    ]


def _kind_of(n: int) -> dict[str, Any]:
    return {"user_id": "7", "item_id": "1", "event": f"{n} add to cart"}
