"""What becomes of a request at the door, from times foreseen: taken whole, with less work, refused.

Pure decisions over seconds. Under a rush more work is spared before anybody is refused; but two of
three requests still get the whole of it, or a long rush would leave nobody a whole answer.
"""

from typing import Final

_PLANNED_SHARE: Final = 1 / 2
"""Share of its time that a request may be foreseen to wait; its own pass comes after that, and what
was foreseen is seldom too much: refusing takes time as well. Planned to the last moment, all
deadlines get tight, and one slow pass loses many of them.
"""
_CALM_SHARE: Final = 1 / 6
"""Share of its time that a request may wait before work is spared: a burst is no rush."""
_SPARED_OF: Final = 3
"""One of so many requests is spared work in a rush."""
_SAFE_SHARE: Final = 2 / 3
"""Share of its time in which the whole work has to be foreseen to end: some passes take longer."""


class Admission:
    """Decides for one request after the other."""

    def __init__(self) -> None:
        """Start calm."""
        self._since_spared = 0

    def refuses(self, wait: float, left: float) -> bool:
        """Tell whether a request that waits so long cannot be answered in the time it has left."""
        return wait > _PLANNED_SHARE * left

    def hurries(self, wait: float, work: float, left: float) -> bool:
        """Tell whether a request shall be answered with less work than `work`, if that is possible.

        >>> door = Admission()
        >>> [door.hurries(0.3, 0.01, left=1.0) for _ in range(4)], door.hurries(0.1, 0.01, left=1.0)
        ([True, False, False, True], False)
        """
        if wait + work > _SAFE_SHARE * left:
            return True
        if wait <= _CALM_SHARE * left:
            return False
        spared = self._since_spared == 0
        self._since_spared = (self._since_spared + 1) % _SPARED_OF
        return spared
