"""A constant arrival rate for locust, with which a slow service gets no less load.

    locust -f loadtest/locustfile.py,loadtest/runners/arrivals.py --arrivals 100 --run-time 60s

`--arrivals` tasks are started a second. Each user starts tasks at a fixed pace. A user who still
waits for an answer cannot start the next task, so there are more users than the rate needs.
"""

from argparse import ArgumentParser

from locust import LoadTestShape, constant_pacing, events
from locust.env import Environment

_SPARE = 2.0
_RUN_S = 60.0


def users_for(arrivals: float, spare: float = _SPARE) -> tuple[int, float]:
    """Return the number of users, and the seconds between two starts of one user.

    >>> users_for(100)
    (200, 2.0)
    """
    users = max(1, round(arrivals * spare))
    return users, users / arrivals


@events.init_command_line_parser.add_listener
def _add_option(parser: ArgumentParser) -> None:
    parser.add_argument("--arrivals", type=float, default=50.0, help="tasks started per second")


@events.test_start.add_listener
def _pace(environment: Environment, **_: object) -> None:
    _, pace = users_for(environment.parsed_options.arrivals)
    for user in environment.user_classes:
        user.wait_time = constant_pacing(pace)


class ConstantArrivals(LoadTestShape):
    """Users come at the rate of arrivals, and stay until the end of the run time."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Return users and spawn rate; None ends the test."""
        options = self.runner.environment.parsed_options
        if self.get_run_time() > (options.run_time or _RUN_S):
            return None
        users, _ = users_for(options.arrivals)
        return users, options.arrivals  # one by one, so that their starts are spread evenly
