"""`python -m loadtest.simulation`: run schedules by seed, replay one, or look for a seeded fault.

A failing seed is printed with the fewest steps that were found to fail, and the command that
replays it. Exit status 1: a schedule failed, or a seeded fault was not found.
"""

import argparse
import sys
import time

from loadtest.simulation.faults import FAULTS, fault
from loadtest.simulation.schedule import part_of, schedule_of
from loadtest.simulation.search import Failure, search, smallest
from loadtest.simulation.world import run

_MOST_SHOWN = 5


def main() -> int:
    """Do what the arguments say; return the exit status."""
    arguments = _parser().parse_args()
    if arguments.seed is not None:
        return _replay(arguments)
    return _search(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtest.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000, help="how many are run")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one")
    parser.add_argument("--processes", type=int, help="by default one for each core")
    parser.add_argument("--fault", choices=FAULTS, help="swap a part for a broken one")
    parser.add_argument("--stop", action="store_true", help="end with the first that fails")
    parser.add_argument("--seed", type=int, help="run this one only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    parser.add_argument("--keep", help="with --seed: only these steps, as 3,17,18")
    parser.add_argument("--shrink", action="store_true", help="with --seed: find the fewest steps")
    return parser


def _replay(arguments: argparse.Namespace) -> int:
    schedule = schedule_of(arguments.seed)
    if arguments.keep:
        schedule = part_of(schedule, [int(number) for number in arguments.keep.split(",")])
    if arguments.shrink:
        schedule = smallest(schedule, arguments.fault)
    with fault(arguments.fault):
        outcome = run(schedule, traced=arguments.trace)
    for line in outcome.lines:
        print(line)
    if not outcome.wrong:
        print(f"seed {arguments.seed}: all rules hold")
        return 0
    _show(Failure(arguments.seed, outcome.wrong), [step.number for step in schedule.steps])
    return 1


def _search(arguments: argparse.Namespace) -> int:
    start, failures, done = time.monotonic(), list[Failure](), 0
    for done, found in search(  # noqa: B007 - the last number is what counts
        arguments.first, arguments.schedules, arguments.fault, arguments.processes
    ):
        failures += found
        if (arguments.fault or arguments.stop) and failures:
            break
    print(f"{done} schedules in {time.monotonic() - start:.0f} s, {len(failures)} fail")
    for failure in failures[:_MOST_SHOWN]:
        small = schedule_of(failure.seed)
        if not arguments.stop:
            small = smallest(small, arguments.fault)
        _show(failure, [step.number for step in small.steps])
    if arguments.fault:
        return 0 if failures else 1
    return 1 if failures else 0


def _show(failure: Failure, steps: list[int]) -> None:
    print(f"\nseed {failure.seed} fails:")
    for line in failure.wrong:
        print(f"  {line}")
    keep = ",".join(map(str, steps))
    print(f"  replay: python -m loadtest.simulation --seed {failure.seed} --keep {keep} --trace")


if __name__ == "__main__":
    sys.exit(main())
