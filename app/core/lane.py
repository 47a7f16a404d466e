"""Lanes: the requests of one key wait in a lane of their own, so that none waits behind a flood."""

from typing import Final, NamedTuple


class Lane(NamedTuple):
    """Whose turn it is in the queue in front of the engine.

    Attributes:
        name: of the lane, one for each key; "" = where nobody has a key, all are in one.
        interactive: whether somebody waits; the others have their turn when nobody does.
    """

    name: str = ""
    interactive: bool = True


OPEN_LANE: Final = Lane()
"""The lane of all requests where nobody has a key."""
