"""Runs one `recserve bench`: opens the bundle as serving does, makes requests, and measures."""

import itertools
import os
import platform
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from time import perf_counter, time
from typing import Final

from threadpoolctl import threadpool_limits

from app.bench.demands import DemandValues, with_demands
from app.bench.figures import SIZES, WITH_DEMANDS, Curve, Figures, Machine, Setup, best_batch
from app.bench.meter import Meter
from app.bench.parsing import QUERIES, ParseTimes, parse_times
from app.bench.requests import Requests, histories_of, made_histories, made_queries, read_queries
from app.bundle.reader import Bundle, open_bundle
from app.core.errors import UsageError
from app.core.memory import settled, share_one_arena
from app.core.settings import Settings
from app.core.types import Device
from app.domain.columns import Column
from app.engine.encoding.device import name_of, require
from app.engine.engine import RankEngine
from app.engine.open import columns_of, engine_of
from app.loading import warm_up
from app.serving.stores.bundle_users import BundleUserStore

_SHARE_OF_THREADS: Final = 0.25
_SHARE_OF_DEMANDS: Final = 0.1
"""Shares of the time in which numbers of threads are compared, and words with demands to words
without. The rest goes into the curve."""
_MAX_TITLES: Final = 10_000
_COST_SAMPLE: Final = 256
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class _BenchInput:
    """The requests of a run.

    Attributes:
        requests: the requests.
        queries, histories: where they came from, in words.
        n_queries: how many different queries there are; inf where they are made without end.
    """

    requests: Requests
    queries: str
    histories: str
    n_queries: float


def figures_of(settings: Settings, queries: Path | None, seconds: float) -> Figures:
    """Measure the bundle of the settings for about `seconds`; loading comes on top.

    Args:
        settings: those that serving would run with.
        queries: text file with a query a line; None = words of titles.
        seconds: how long to measure.

    Raises:
        UsageError: the bundle has no items, or neither titles nor `queries`.
        BadDataError: the file of queries cannot be used.
        BundleError, DeviceError, EngineError, OSError: as they are.
    """
    load, on_gpu = os.getloadavg()[0], settings.device == "cuda"
    # Threads encode and search. A GPU does both, so there is no number of threads to compare.
    threads = 1 if on_gpu else settings.threads_per_worker()
    share_one_arena()
    require(settings.device)
    bundle = open_bundle(settings.bundle)
    made = _bench_input(bundle, queries)
    # As while serving (`app.bootstrap`): one thread for numpy, a quiet garbage collector.
    with threadpool_limits(limits=1, user_api="blas"):
        engine = _warm(bundle, threads, settings.device)
        with settled():
            machine = _machine(load, settings.device)
            cores = 1 if on_gpu else machine.cores
            curve, by_threads, demands = _curves(
                bundle=bundle, engines={threads: engine}, made=made, cores=cores, seconds=seconds
            )
    return Figures(
        info=engine.info,
        machine=machine,
        setup=Setup(threads, settings.max_batch_requests, settings.max_batch_tokens),
        queries=made.queries,
        histories=made.histories,
        tokens=mean(map(engine.cost, made.requests.take("words", _COST_SAMPLE))),
        seconds=seconds,
        curve=curve,
        by_threads=by_threads,
        demands=demands,
        parsing=_parsing(engine, made.requests),
    )


def _curves(
    bundle: Bundle, engines: dict[int, RankEngine], made: _BenchInput, cores: int, seconds: float
) -> tuple[Curve, dict[int, Curve], Curve | None]:
    """Return the curve of the one engine, the costs of other numbers of threads, and of demands.

    Args:
        bundle: what is opened again for other numbers of threads.
        engines: number of threads -> engine; one, that of the settings.
        made: the requests.
        cores: compared too, beside 1 thread and those of the settings.
        seconds: how long to measure in all.
    """
    (threads,) = engines
    counts = sorted({1, threads, cores})
    for_threads = 0.0 if len(counts) == 1 else _SHARE_OF_THREADS * seconds
    for_demands = _SHARE_OF_DEMANDS * seconds if made.requests.have_demands else 0.0
    meter = Meter(made.requests, perf_counter)
    sizes = [size for size in SIZES if size <= made.n_queries]
    curves = meter.curves(engines, sizes, seconds - for_threads - for_demands)
    curve, demands = curves[threads], None
    sizes = sorted({1, best_batch(curve)})
    if made.requests.have_demands:
        demands = meter.curves(
            engines, sizes, for_demands, min_turns=len(sizes), kinds=WITH_DEMANDS
        )[threads]
    if len(counts) == 1:
        return curve, curves, demands
    others = {n: engines[n] if n in engines else _warm(bundle, n) for n in counts}
    turns = len(sizes) * len(others)
    return curve, meter.curves(others, sizes, for_threads, min_turns=turns), demands


def _parsing(engine: RankEngine, requests: Requests) -> ParseTimes | None:
    parser = engine.parser
    if parser is None:
        return None
    asked = requests.take("demands" if requests.have_demands else "words", QUERIES)
    now, queries = time(), [request.query for request in asked]
    return parse_times(lambda query: parser.parse(query, now), queries, perf_counter)


def _warm(bundle: Bundle, threads: int, device: Device = "cpu") -> RankEngine:
    # Without the cache of query vectors: the work itself is measured.
    engine = engine_of(bundle, threads, remembered=0, device=device)
    warm_up(engine)
    return engine


def _bench_input(bundle: Bundle, path: Path | None) -> _BenchInput:
    rng = random.Random(_SEED)  # noqa: S311 - the same requests in every run
    columns, n = columns_of(bundle), bundle.manifest.n_items
    if not n:
        raise UsageError("the bundle has no items")
    demanding = None
    if path is None:
        titles = _titles(columns["title"], n, rng)
        stream = made_queries(lambda: rng.choice(titles), rng)
        demanding = with_demands(stream, _demand_values(columns, n, rng), rng)
        queries, n_queries = "words of titles", float("inf")
    else:
        lines = read_queries(path)
        stream, n_queries = itertools.cycle(rng.sample(lines, len(lines))), len(lines)
        queries = f"{n_queries:,} queries of {path.name}"
    used = histories_of(BundleUserStore.open(bundle), rng)
    histories = "histories of the bundle's users"
    if not used:
        used = made_histories(lambda: str(columns["id"].value(rng.randrange(n))), rng)
        histories = "histories of items at random (the bundle has no users)"
    return _BenchInput(
        requests=Requests(stream, used, demanding),
        queries=queries,
        histories=histories,
        n_queries=n_queries,
    )


def _titles(column: Column, n: int, rng: random.Random) -> list[str]:
    rows = rng.sample(range(n), min(n, _MAX_TITLES))
    titles = [title for row in rows if (title := str(column.value(row) or "").strip())]
    if not titles:
        raise UsageError("the catalogue has no titles to make queries of: give --queries")
    return titles


def _demand_values(columns: Mapping[str, Column], n: int, rng: random.Random) -> DemandValues:
    rows = rng.sample(range(n), min(n, _MAX_TITLES))
    lists = [columns["categories"].value(row) for row in rows]
    shown = [columns["published_at"].value(row) for row in rows]  # a year, or ISO 8601
    return DemandValues(
        categories=sorted({name for names in lists if isinstance(names, list) for name in names}),
        years=sorted({int(str(date)[:4]) for date in shown if date is not None}),
    )


def _machine(load: float, device: Device) -> Machine:
    resident, mapped = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    page_size = os.sysconf("SC_PAGE_SIZE")
    name = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return Machine(
        cpu=name[1].strip() if name else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        load=load,
        memory=resident * page_size,
        mapped=mapped * page_size,
        gpu=name_of(device),
    )
