"""A file for locust that ends the run once every named request was sent.

locust -f loadtest/locustfile.py,tests/e2e/locust_until.py --until "hot query,bad input"

A test then waits for what it checks, not for a time that a busy machine may need for its start.
"""

from argparse import ArgumentParser

from locust import events
from locust.env import Environment


@events.init_command_line_parser.add_listener
def _add_option(parser: ArgumentParser) -> None:
    parser.add_argument("--until", default="", help="names of requests, separated by commas")


@events.test_start.add_listener
def _stop_when_all_were_sent(environment: Environment, **_: object) -> None:
    awaited = set(environment.parsed_options.until.split(","))

    def count(name: str, **_: object) -> None:
        awaited.discard(name)
        if not awaited:
            environment.runner.quit()

    environment.events.request.add_listener(count)
