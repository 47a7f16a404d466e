"""What is said of the namespaces of an event store, whichever store it is.

A namespace holds the events and users of one bundle. In older versions all bundles of a store
shared them.
"""

from collections.abc import Sequence


def adopted(namespace: str) -> str:
    """Return what to say when the events of an older store went to a namespace."""
    return (
        "the event store is of a version in which bundles shared their events; "
        f"they belong to {namespace!r} from now on"
    )


def empty_beside(namespace: str, filled: Sequence[str]) -> str | None:
    """Return what to say of a namespace without events, if others have some.

    `filled`: the names of all namespaces with events.

    >>> empty_beside("shop", ["films"]).partition(":")[0]
    "the event store has no events of 'shop', but of 'films'"
    """
    if not filled or namespace in filled:
        return None
    others = ", ".join(map(repr, filled[:5])) + (", …" if len(filled) > 5 else "")
    return (
        f"the event store has no events of {namespace!r}, but of {others}: "
        "--bundle or RECSERVE_STORE_NAMESPACE chooses"
    )
