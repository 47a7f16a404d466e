"""The trial of whole schedules: the service on a virtual clock, in `loadtest.simulation`."""

from typing import Final

from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial

_SCHEDULES: Final = 10_000
_SHORT: Final = 100
_TO_FIND: Final = 1_000
"""Most schedules in which a seeded fault has to be found; nearly all are found in the first 100."""


def schedules(rig: Rig) -> Measured:
    """Run schedules from seed 0 on; with a seeded fault, until it is found."""
    most = _TO_FIND if rig.fault else _SHORT if rig.short else _SCHEDULES
    done = rig.run("loadtest.simulation", "--schedules", str(most), "--stop")
    figure = done.stdout.partition("\n")[0]
    if "schedules in" not in figure:
        raise RuntimeError(f"nothing was simulated:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Measured(done.returncode == 0, figure)


TRIALS: Final = (
    Trial(
        name="simulation.schedules",
        requirements=(4, 8, 16, 18, 24, 31),
        promise="in random schedules with faults, reloads, changes, erasures and callers that "
        "leave, each call ends once and in time, and each answer is right in a state that was "
        "there",
        pass_line=f"0 of {_SCHEDULES:,} schedules break a rule",
        run=schedules,
        faults=(
            "simulated_lost_promise",
            "simulated_crossed_answer",
            "simulated_leaked_tokens",
            "simulated_cached_error",
            "simulated_forgotten_bundle",
            "simulated_dropped_event",
            "simulated_change_in_a_pass",
            "simulated_erased_user",
        ),
        short=True,
    ),
)
