"""Users for locust: people who search, with popular, new and demanding queries, and bad input.

    make load                                      20 s against the service on this machine
    locust -f loadtest/locustfile.py               with the web page of locust
    locust -f loadtest/locustfile.py FlashCrowd    one kind of user: BrowsingSession, SearchBurst,
                                                   ShelfVisitor, PlaceVisitor, FlashCrowd,
                                                   ColdStart (for a fresh service)

    locust -f loadtest/locustfile.py,loadtest/runners/arrivals.py --arrivals 100
                                                   at a constant rate of arrivals

Any status but the expected one is a failure; the exit status of a headless run is then 1.
"""

import itertools
import random
import time
import uuid
from collections.abc import Sequence

from locust import FastHttpUser, between, constant_pacing, events, task
from locust.env import Environment

from app.bench.demands import DemandValues, with_demand
from loadtest.runners.demands import scenarios_at, values_at
from loadtest.runners.queries import Zipf, beginnings, titles_at, unique_queries

_POPULAR, _UNIQUE, _USERS = 1_000, 50_000, 671
_PRICES = 0.1
"""Share of the queries with demands that name a price."""


class Texts:
    """The query texts, made once from the catalogue that the service serves."""

    popular: Sequence[str] = ()
    popularity = Zipf(_POPULAR)
    unique: Sequence[str] = ()
    values = DemandValues()
    scenarios: Sequence[str] = ()
    numbers = itertools.count()
    first = itertools.count()

    @classmethod
    def hot(cls) -> str:
        """Return one of the popular queries, by Zipf's law."""
        return cls.popular[cls.popularity.draw()]

    @classmethod
    def new(cls) -> str:
        """Return a query that was not sent before, as long as there are some."""
        return cls.unique[next(cls.numbers) % len(cls.unique)]

    @classmethod
    def demanding(cls) -> str:
        """Return a popular query with a demand: an order, a category, a year or a price."""
        if random.random() < _PRICES:
            return f"{cls.hot()} under ${random.choice((10, 20, 50, 100))}"
        return with_demand(cls.hot(), cls.values, random)


@events.test_start.add_listener
def _prepare(environment: Environment, **_: object) -> None:
    """Read titles from the service, and make the query texts of them.

    Raises:
        SystemExit: there are no titles; without texts there is nothing to send.
    """
    try:
        titles = titles_at(environment.host or "")
        Texts.values = values_at(environment.host or "")
        Texts.scenarios = scenarios_at(environment.host or "")
    except (OSError, ValueError, KeyError) as error:
        raise SystemExit(f"{environment.host}: {error}") from error
    if not titles:
        raise SystemExit(f"{environment.host}/recommend returned no titles")
    texts = unique_queries(_POPULAR + _UNIQUE, random.randrange(2**32), titles)
    Texts.popular, Texts.unique = texts[:_POPULAR], texts[_POPULAR:]


class Client(FastHttpUser):
    """The base of all users: a pause between requests, and the check of an answer."""

    abstract = True
    wait_time = between(0.02, 0.2)

    def recommend(self, name: str, **body: object) -> list[str]:
        """Send one request; the answer must be 200 and have items. Returns their ids."""
        return self.items_of(name, "POST", "/recommend", json=body)

    def items_of(self, name: str, method: str, path: str, **more: object) -> list[str]:
        """Call a route whose answer must be 200 and have items. Returns their ids."""
        with self.client.request(method, path, name=name, catch_response=True, **more) as response:
            if response.status_code != 200:
                return []
            items = response.json()["items"]
            if not items:
                response.failure("no items")
            return [item["id"] for item in items]


class HotUser(Client):
    """Sends popular queries."""

    weight = 4

    @task
    def ask(self) -> None:
        """Send a popular query."""
        self.recommend("hot query", query=Texts.hot(), k=10)


class NewUser(Client):
    """Sends new queries."""

    weight = 4

    @task
    def ask(self) -> None:
        """Send a new query."""
        self.recommend("unique query", query=Texts.new(), k=10)


class DemandingUser(Client):
    """Sends queries that ask for more than words, and intents: the other users send none."""

    weight = 2

    @task(4)
    def ask(self) -> None:
        """Send a query with a demand."""
        self.recommend("demands", query=Texts.demanding())

    @task
    def interpret(self) -> None:
        """Ask only what a query means, as a search box does."""
        body = {"query": Texts.demanding()}
        self.client.post("/interpret", json=body, name="interpret")

    @task
    def edit(self) -> None:
        """Send an intent, as a search box does after a tag was removed."""
        intent = {"sort": random.choice(("relevance", "newest")), "residual_text": Texts.hot()}
        self.recommend("sent intent", intent=intent)


class KnownUser(Client):
    """Sends a known user id, with and without a query."""

    weight = 2

    @task(2)
    def home(self) -> None:
        """Request recommendations for the user."""
        self.recommend("user", user_id=str(random.randint(1, _USERS)), k=20)

    @task
    def ask(self) -> None:
        """Send a new query of the user."""
        self.recommend(
            "user + query", user_id=str(random.randint(1, _USERS)), query=Texts.new(), k=10
        )

    @task
    def explore(self) -> None:
        """Request recommendations with draws, and with fewer of the popular items."""
        user = str(random.randint(1, _USERS))
        self.recommend("explored", user_id=user, explore=0.1, popularity_bias=-0.3)


class BrowsingSession(Client):
    """One visit: home, a popular search, then more items like the opened ones."""

    weight = 3

    @task
    def visit(self) -> None:
        """Open items from each answer; the next request has them as its history."""
        session, seen = f"visit-{uuid.uuid4().hex}", list[str]()
        first = self.recommend("visit: home", session_id=session, k=20)
        seen += first[:1]
        items = self.recommend("visit: search", query=Texts.hot(), session_id=session, k=20)
        for _ in range(random.randint(1, 4)):
            fresh = [item for item in items if item not in seen]
            seen += fresh[: random.randint(1, 2)]
            items = self.recommend("visit: more", history=seen, session_id=session, k=20)
            self.wait()


class ShelfVisitor(Client):
    """Opens pages made of rows, and goes from an item to similar ones."""

    weight = 2
    rows = (
        {"name": "go on", "kind": "continue"},
        {"name": "because", "kind": "because"},
        {"name": "new", "kind": "new"},
        {"name": "popular", "kind": "popular"},
    )

    @task(2)
    def home(self) -> None:
        """Open a page of five rows; no item may be in two of them."""
        rows = [*self.rows, {"name": "search", "query": Texts.hot()}]
        body = {"user_id": str(random.randint(1, _USERS)), "k": 8, "shelves": rows}
        with self.client.post(
            "/shelves", json=body, name="shelves", catch_response=True
        ) as response:
            if response.status_code != 200:
                return
            shelves = response.json()["shelves"]
            shown = [item["id"] for shelf in shelves for item in shelf.get("items", ())]
            if not shown or len(shown) != len(set(shown)):
                response.failure("no items, or an item is in two rows")
            elif errors := [shelf["error"]["code"] for shelf in shelves if "error" in shelf]:
                response.failure(f"a row failed: {errors[0]}")

    @task(2)
    def follow(self) -> None:
        """Open the newest items, then what is similar to one of them, and to one of those."""
        items = self.items_of("newest", "GET", "/newest?k=20")
        for _ in range(2):
            if items:
                body = {"item_id": random.choice(items), "k": 10}
                items = self.items_of("similar", "POST", "/similar", json=body)

    @task
    def explained(self) -> None:
        """Ask for a diverse list that says why each item is there."""
        self.recommend("explained", query=Texts.hot(), explain=True, diversity=0.3)


class TextReader(Client):
    """Reads answers with a text: as a stream, and in one piece."""

    weight = 1

    @task
    def stream(self) -> None:
        """Read a stream to its end."""
        body = {"query": Texts.hot(), "k": 5}
        with self.client.post(
            "/recommend/stream", json=body, name="stream", catch_response=True
        ) as response:
            if response.status_code == 200 and "event: done" not in (response.text or ""):
                response.failure("no end")

    @task
    def text(self) -> None:
        """Ask for an answer with a text."""
        self.recommend("with text", query=Texts.hot(), text=True)


class PlaceVisitor(Client):
    """Opens places that the service has a scenario for; without any, it sends plain requests."""

    weight = 1

    @task
    def open(self) -> None:
        """Ask for the items of a place, for a known user."""
        place = {"scenario": random.choice(Texts.scenarios)} if Texts.scenarios else {}
        self.recommend("scenario", user_id=str(random.randint(1, _USERS)), **place)


class SearchBurst(Client):
    """Types a query into a search box that sends a request for every word."""

    weight = 2

    @task
    def type(self) -> None:
        """Send ever longer beginnings of one query."""
        for beginning in beginnings(Texts.new()):
            self.recommend("search as you type", query=beginning, k=5)


class FlashCrowd(Client):
    """All users send the same new query at the same moment; the next moment has another one."""

    weight = 1
    wait_time = constant_pacing(0.5)

    @task
    def ask(self) -> None:
        """Send the query of this half second."""
        moment = int(time.time() / 0.5)
        self.recommend("flash crowd", query=Texts.unique[moment % len(Texts.unique)], k=10)


class ColdStart(Client):
    """Sends popular queries to a service with an empty cache, as after a deployment."""

    weight = 1

    @task
    def ask(self) -> None:
        """Send each popular query once, then by popularity."""
        number = next(Texts.first)
        text = Texts.popular[number] if number < len(Texts.popular) else Texts.hot()
        self.recommend("cold start", query=text, k=10)


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
    """Sends bad input, which the service must refuse."""

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
        """Send bad input and expect status 422."""
        body = random.choice(self.bodies)
        with self.client.post(
            "/recommend", json=body, name="bad input", catch_response=True
        ) as response:
            if response.status_code == 422:
                response.success()
            else:
                response.failure(f"{response.status_code} instead of 422 for {list(body)}")
