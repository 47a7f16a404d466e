"""Metrics on a registry that is passed in, and the lag of the event loop.

Nothing here is global, and nothing happens on import. The parts of the service do the counting.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from app.core.process_metrics import ProcessMetrics
from app.core.ranking import StageTimings
from app.core.tallies import (
    Counter,
    Counters,
    Gauge,
    Gauges,
    Histogram,
    Histograms,
    LocalTallies,
    Tallies,
)

_SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_GAUGES_S: Final = 1.0
_POWERS_OF_TWO: Final = tuple(float(2**power) for power in range(11))


class Metrics:
    """Every `recserve_…` metric: of one process, or summed over all that share their tallies.

    Label values are fixed words, never input of a caller, so the number of series is bounded.
    """

    def __init__(self, registry: CollectorRegistry, tallies: Tallies | None = None) -> None:
        """Register all metrics. `tallies`: where they lie; None = in this process."""
        self.registry = registry
        self._tallies = tallies or LocalTallies()
        self._gauges: list[Gauge] = []
        registry.register(ProcessMetrics(self._tallies.pids))
        self._http()
        self._batching()
        self._caching()
        self._events()
        self._control()
        self._kept_answers()
        self._language_model()

    def text(self) -> bytes:
        """Return all metrics in the format of Prometheus."""
        self._tallies.refresh()
        return generate_latest(self.registry)

    async def publish_gauges(
        self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Put all gauges where other processes read them, every second, for ever."""
        while True:
            for gauge in self._gauges:
                gauge.refresh()
            await sleep(_GAUGES_S)

    def _http(self) -> None:
        self.requests = self._counters("requests", "HTTP requests answered.", "route", "status")
        self.rate_limited = self._counters(
            "rate_limited",
            "Calls over a budget (requests, language) of a key, by its id; anonymous = without "
            "one. The first 100 keys have series of their own, all others are `other`.",
            "key",
            "budget",
        )
        self.limit_errors = self._counter(
            "limit_errors", "Times that limits could not be reconciled with other processes."
        )
        self.request_seconds = self._histograms(
            "request_seconds", "Time per HTTP request.", "route"
        )
        self.stage_seconds = self._histograms(
            "stage_seconds",
            "Time of a request in a stage: queue, encode, retrieve, rerank, total.",
            "stage",
        )
        self.degraded = self._counters(
            "degraded", "Answers that lack a part that may have changed the list.", "reason"
        )
        self.event_loop_lag_seconds = self._seconds(
            "event_loop_lag_seconds", "How late the event loop woke a timer."
        )

    def _batching(self) -> None:
        self.batch_size = self._sizes("batch_size", "Requests in one engine pass.")
        self.batch_tokens = self._sizes("batch_tokens", "Estimated tokens in one engine pass.")
        self.batch_retries = self._counter(
            "batch_retries", "Passes that failed and were repeated request by request."
        )
        self.queue_requests = self._gauge("queue_requests", "Requests waiting for the engine now.")
        self.queue_wait_seconds = self._seconds(
            "queue_wait_seconds", "Time from submission to the start of the engine pass."
        )
        self.rejected = self._counters(
            "rejected",
            "Requests without an answer: overloaded = refused at once, deadline = out of time.",
            "reason",
        )
        self.dropped = self._counter("dropped", "Requests whose caller left before the answer.")
        self.coalesced = self._counter("coalesced", "Requests that joined identical work.")
        self.ready = self._gauge("ready", "1 while /readyz says 200.", min)
        self.engine_up = self._gauge("engine_up", "1 while the engine takes work.", min)
        self.reloads = self._counters(
            "reloads", "Bundles that were to take over, by result: done, refused.", "result"
        )

    def _caching(self) -> None:
        self.cache_reads = self._counters(
            "cache_reads",
            "Cache look-ups by tier (local, shared) and result (hit, miss, outdated, error, "
            "foreign; stale: one that was outdated, and given to who allows it).",
            "tier",
            "result",
        )
        self.cache_write_errors = self._counter(
            "cache_write_errors", "Answers that the shared cache did not take."
        )
        self.store_breaker_open = self._gauge(
            "store_breaker_open",
            "1 while user state is not read, as the event store has failed.",
            max,
        )
        self.cache_breaker_open = self._gauge(
            "cache_breaker_open", "1 while the shared cache is being left alone.", max
        )

    def _events(self) -> None:
        self.events = self._counters(
            "events", "Events sent, by result: accepted, duplicate, rejected.", "result"
        )
        self.event_write_seconds = self._seconds(
            "event_write_seconds", "Time until the events of a call were durable."
        )

        self.catalogue_changes = self._counter(
            "catalogue_changes", "Changes of items that this process acknowledged."
        )
        self.changes_set_aside = self._gauge(
            "changes_set_aside", "Items whose newest change could not be applied.", max
        )

    def _control(self) -> None:
        self.rules_applied = self._counters(
            "rules_applied",
            "Computed answers to which a rule applied, by its id; hits of a cache do not count. "
            "The first 100 rules that apply have a series each, all others are `other`.",
            "rule",
        )
        self.control_read_errors = self._counter(
            "control_read_errors", "Looks at the rules and scenarios that failed."
        )

    def _kept_answers(self) -> None:
        self.answers_kept = self._counters(
            "answers_kept",
            "Answers that were to be kept, by result: kept, dropped (too many waited), failed.",
            "result",
        )
        self.answers_waiting = self._gauge("answers_waiting", "Answers that wait to be kept.")

    def _language_model(self) -> None:
        self.llm_calls = self._counters(
            "llm_calls",
            "Calls of the language model, by result: answered, timeout, unreachable, refused, "
            "redirected, too_large, wrong_json.",
            "result",
        )
        self.llm_tokens = self._counters(
            "llm_tokens", "Tokens that the language model read (prompt) and wrote (answer).", "kind"
        )
        self.llm_calls_in_flight = self._gauge(
            "llm_calls_in_flight", "Calls of the language model that run now."
        )
        self.llm_breaker_open = self._gauge(
            "llm_breaker_open", "1 while the language model is being left alone.", max
        )
        self.text_sentences = self._counters(
            "text_sentences",
            "Sentences told about answers, by who wrote them: model, template.",
            "by",
        )
        self.intents_learned = self._counter(
            "intents_learned", "Queries of which the language model taught something."
        )
        self.intents_used = self._counter(
            "intents_used", "Requests that were answered by a learned intent."
        )
        self.intents_rejected = self._counters(
            "intents_rejected",
            "What was dropped of answers of the language model: unquoted, unknown_field, "
            "unknown_value, unknown_title, impossible, wrong_type; of the whole: empty, plain.",
            "reason",
        )
        self.intents_waiting = self._gauge(
            "intents_waiting", "Words that wait for the language model."
        )

    def _counters(self, name: str, text: str, *labels: str) -> Counters:
        family = Counters(f"recserve_{name}", text, labels, self._tallies)
        self.registry.register(family)
        return family

    def _counter(self, name: str, text: str) -> Counter:
        return self._counters(name, text).labels()

    def _gauge(self, name: str, text: str, join: Callable[[Sequence[float]], float] = sum) -> Gauge:
        """Return a gauge. `join`: makes one number of those of several workers."""
        family = Gauges(f"recserve_{name}", text, join, self._tallies)
        self.registry.register(family)
        self._gauges.append(family.labels())
        return self._gauges[-1]

    def _histograms(
        self, name: str, text: str, *labels: str, bounds: Sequence[float] = _SECONDS
    ) -> Histograms:
        family = Histograms(f"recserve_{name}", text, labels, bounds, self._tallies)
        self.registry.register(family)
        return family

    def _seconds(self, name: str, text: str) -> Histogram:
        return self._histograms(name, text).labels()

    def _sizes(self, name: str, text: str) -> Histogram:
        return self._histograms(name, text, bounds=_POWERS_OF_TWO).labels()


class LoopLag:
    """How late the event loop is: a request may have waited that long before it was read.

    Attributes:
        seconds: the lag; it rises to a new maximum at once, and falls by halves.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Observe in `metrics`."""
        self._metrics = metrics
        self.seconds = 0.0

    def __call__(self) -> float:
        """Return `seconds`."""
        return self.seconds

    async def measure(
        self,
        interval_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Measure for ever, every `interval_s` seconds, how late the event loop wakes us.

        Begin only once the start is over: what blocks the loop before is no sign of overload.
        """
        while True:
            due = clock() + interval_s
            await sleep(interval_s)
            late = max(0.0, clock() - due)
            self.seconds = max(late, (self.seconds + late) / 2)
            self._metrics.event_loop_lag_seconds.observe(late)


class Observed:
    """Counts answers: the seconds of their stages, and what they lack."""

    def __init__(self, metrics: Metrics) -> None:
        """Count in these metrics."""
        self._metrics = metrics
        # Looked up once: finding a series costs more than counting in it.
        seconds = metrics.stage_seconds
        self._total_seconds = seconds.labels("total")
        self._stages = [seconds.labels(name) for name in ("queue", "encode", "retrieve", "rerank")]

    def count(
        self,
        total_s: float,
        queue_ms: float,
        stages: StageTimings,
        degraded: tuple[str, ...],
        *,
        worked: bool,
    ) -> None:
        """Count one answer; its stages only if it was `worked` for, and not read from a cache."""
        self._total_seconds.observe(total_s)
        if worked:
            spent = (queue_ms, stages.encode_ms, stages.retrieve_ms, stages.rerank_ms)
            for seconds, ms in zip(self._stages, spent, strict=True):
                seconds.observe(ms / 1e3)
        for reason in degraded:
            self._metrics.degraded.labels(reason).inc()
