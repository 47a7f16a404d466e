"""A trial: one promise of the service, how it is measured, and the faults that it must find."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.chaos.rig import Rig


@dataclass(frozen=True, slots=True)
class Measured:
    """What a trial found.

    Attributes:
        passed: whether the promise was kept.
        figure: one line in plain words with numbers.
    """

    passed: bool
    figure: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial.

    Attributes:
        name: `group.name`, such as `overload.refusals`.
        requirements: numbers of `loadtest.chaos.requirements` that it shows; none = it shows more
            than they ask.
        promise: one plain sentence: what holds.
        pass_line: what has to be measured.
        run: measures it. It raises only if it could not measure.
        faults: names of `loadtest.chaos.faults`; with each of them the trial must not pass.
        short: whether it belongs to the short form, which `make test` runs: it then takes seconds,
            and judges counts, order and values, but no times, if `Rig.short` says so.
        not_met: why the promise is known not to be kept yet; the page says so, and the run goes on.
    """

    name: str
    requirements: tuple[int, ...]
    promise: str
    pass_line: str
    run: "Callable[[Rig], Measured]"
    faults: tuple[str, ...] = ()
    short: bool = False
    not_met: str = ""

    @property
    def group(self) -> str:
        """The part of the name before the point."""
        return self.name.partition(".")[0]
