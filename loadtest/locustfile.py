"""Users for locust: popular queries, new queries, known users, batches, and bad input.

    make load                         20 s, against the service on this machine
    locust -f loadtest/locustfile.py  with a page to watch

Anything but the expected status is a failure, so the exit status of a headless run tells.
"""

import itertools
import json
import random
import urllib.request
from collections.abc import Sequence

from locust import FastHttpUser, between, events, task
from locust.env import Environment

from loadtest.queries import Zipf, titles_of_service, unique_queries

_POPULAR, _UNIQUE, _USERS = 1_000, 50_000, 671


class Texts:
    """What is asked for: filled once, from the catalogue that the service serves."""

    popular: Sequence[str] = ()
    popularity = Zipf(_POPULAR)
    unique: Sequence[str] = ()
    numbers = itertools.count()

    @classmethod
    def hot(cls) -> str:
        """Return one of the popular queries, by Zipf's law."""
        return cls.popular[cls.popularity.draw()]

    @classmethod
    def new(cls) -> str:
        """Return a query that nobody asked before (until all were)."""
        return cls.unique[next(cls.numbers) % len(cls.unique)]


@events.test_start.add_listener
def _prepare(environment: Environment, **_: object) -> None:
    """Ask the service for titles, and make the texts of them.

    Raises:
        SystemExit: there are none; without texts a run would tell nothing.
    """
    try:
        titles = titles_of_service(lambda query, k: _titles(environment.host or "", query, k))
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"{environment.host}/recommend: {error}") from error
    if not titles:
        raise SystemExit(f"{environment.host}/recommend returned no titles")
    texts = unique_queries(_POPULAR + _UNIQUE, random.randrange(2**32), titles)
    Texts.popular, Texts.unique = texts[:_POPULAR], texts[_POPULAR:]


def _titles(host: str, query: str, k: int) -> list[str]:
    request = urllib.request.Request(  # a service's address, given on the command line
        f"{host}/recommend",
        json.dumps({"query": query, "k": k}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return [item["title"] for item in json.load(response)["items"] if item["title"]]


class Client(FastHttpUser):
    """What all users share: a moment between requests, and how an answer is judged."""

    abstract = True
    wait_time = between(0.02, 0.2)

    def recommend(self, name: str, **body: str | int) -> None:
        """Send one request; the answer must be 200 and have items."""
        with self.client.post("/recommend", json=body, name=name, catch_response=True) as response:
            if response.status_code == 200 and not response.json()["items"]:
                response.failure("no items")


class HotUser(Client):
    """Asks what many ask."""

    weight = 4

    @task
    def ask(self) -> None:
        """Send a popular query."""
        self.recommend("hot query", query=Texts.hot(), k=10)


class NewUser(Client):
    """Asks what nobody asked before."""

    weight = 4

    @task
    def ask(self) -> None:
        """Send a new query."""
        self.recommend("unique query", query=Texts.new(), k=10)


class KnownUser(Client):
    """Is known by id, with and without a query."""

    weight = 2

    @task(2)
    def home(self) -> None:
        """Ask for what suits the user."""
        self.recommend("user", user_id=str(random.randint(1, _USERS)), k=20)

    @task
    def ask(self) -> None:
        """Ask for something that suits the user."""
        self.recommend(
            "user + query", user_id=str(random.randint(1, _USERS)), query=Texts.new(), k=10
        )


class BatchUser(Client):
    """Sends eight requests at once."""

    weight = 1

    @task
    def ask(self) -> None:
        """Send a batch; each of its answers must have items."""
        requests = [{"query": Texts.new(), "k": 5} for _ in range(8)]
        with self.client.post(
            "/recommend/batch", json={"requests": requests}, name="batch of 8", catch_response=True
        ) as response:
            if response.status_code != 200:
                return
            results = response.json()["results"]
            if len(results) != len(requests) or not all(r.get("items") for r in results):
                response.failure("an answer is missing, or has no items")


class BadUser(Client):
    """Sends what must be refused, and expects just that."""

    weight = 1
    bodies = (
        {"query": 5},
        {"query": "x" * 513},
        {"query": "robots", "k": 0},
        {"query": "robots", "k": 101},
        {"query": "robots", "no_such_field": 1},
    )

    @task
    def ask(self) -> None:
        """Send bad input; only 422 is right."""
        body = random.choice(self.bodies)
        with self.client.post(
            "/recommend", json=body, name="bad input", catch_response=True
        ) as response:
            if response.status_code == 422:
                response.success()
            else:
                response.failure(f"{response.status_code} instead of 422 for {list(body)}")
