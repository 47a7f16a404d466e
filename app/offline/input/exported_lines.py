"""Events and users as lines of exported files, JSON Lines.

The files have the columns of files of events and of users, so they can be imported and built from.
Whose namespace it is stands in a column of its own.
Unlike reading files, this takes no package of the extra `train`.
"""

import orjson

from app.core.caller import NAMESPACE, unscoped
from app.core.types import Attributes, Event
from app.domain.named_values import shown

_WHO = {"u": "user_id", "s": "session_id"}


def line_of(event: Event) -> bytes:
    r"""Return an event as a line of a file, without the fields that have no value.

    >>> line_of(Event("e1", "s:9", "7", "click", 1700000000.0))
    b'{"session_id":"9","item_id":"7","event":"click","timestamp":1700000000.0,"event_id":"e1"}\n'
    """
    kind, _, stored = event.user.partition(":")
    namespace, name = unscoped(stored)
    cells = {
        NAMESPACE: namespace or None,
        _WHO[kind]: name,
        "item_id": event.item,
        "event": event.kind,
        "value": event.value,
        "timestamp": event.time,
        "event_id": unscoped(event.id)[1],
        "recommendation_id": event.recommendation,
        "query": event.query or None,
        "context": shown(event.context) or None,
    }
    present = {name: value for name, value in cells.items() if value is not None}
    return orjson.dumps(present, option=orjson.OPT_APPEND_NEWLINE)


def user_line(user: str, attributes: Attributes) -> bytes:
    r"""Return a user as a line of a file of users.

    >>> user_line("u:7", (("age", 31.0), ("country", "NZ")))
    b'{"id":"7","age":31,"country":"NZ"}\n'
    >>> user_line("u:shop\x1f7", (("age", 31.0),))
    b'{"id":"7","namespace":"shop","age":31}\n'
    """
    namespace, name = unscoped(user.partition(":")[2])
    whose = {NAMESPACE: namespace} if namespace else {}
    # An attribute of this name, of an older version, would be read as the namespace.
    known = {name: value for name, value in shown(attributes).items() if name != NAMESPACE}
    cells = {"id": name, **whose, **known}
    return orjson.dumps(cells, option=orjson.OPT_APPEND_NEWLINE)
