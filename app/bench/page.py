"""Shows the figures of `recserve bench`: as one page of text, and as a document for JSON.

It computes nothing new.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from app.bench.figures import (
    KINDS,
    NEAR_HIGHEST,
    SIZES,
    WITH_DEMANDS,
    Advice,
    Cost,
    Costs,
    Curve,
    Figures,
    advice_of,
    mix_ms,
    mix_rate,
    overlapped_rate,
)
from app.bench.parsing import ParseTimes

_WIDTH = 80
_BUSY_LOAD = 0.3  # load average a core, from which the page warns
_MIB = 2**20
_INDENT = 26
_MARGIN = f"{100 * (1 - NEAR_HIGHEST):.0f} %"


def page(figures: Figures) -> str:
    """Return the figures as text: at most 40 lines of 80 characters."""
    advice = advice_of(figures)
    lines = [
        *_head(figures),
        "",
        *_table(figures.curve),
        "",
        *_answers(figures, advice),
        *_demands(figures.demands),
        *_parsing(figures.parsing),
        "",
        *_stages(figures.curve, advice.batch),
        "",
        *_advice(figures, advice),
        "Not measured: HTTP, JSON, the cache, Redis, the event store.",
    ]
    return "\n".join(line[:_WIDTH].rstrip() for line in lines) + "\n"


def _head(figures: Figures) -> Iterator[str]:
    info, machine = figures.info, figures.machine
    yield f"bundle   {info.bundle_name}, generation {info.bundle}"
    yield f"         {info.n_items:,} items, index: {info.index}, scorer: {info.scorer}"
    yield f"machine  {machine.cpu}"
    worker = machine.gpu or _many(figures.setup.threads, "thread")
    yield f"         {_many(machine.cores, 'core')}, {worker}"
    if machine.load > _BUSY_LOAD * machine.cores:
        load = f"load {machine.load:.1f} before this began"
        yield f"         BUSY: {load}; repeat it when the machine is idle"
    yield f"memory   {_mib(machine.memory)} once loaded, {_mib(machine.mapped)} of it shared files"
    yield f"asked    {figures.queries}; {figures.histories}"
    yield f"         for {figures.seconds:g} s; times are medians"


def _table(curve: Curve) -> Iterator[str]:
    yield "       " + "".join(f"{kind:>18}" for kind in (*KINDS, "mix"))
    yield "batch  " + f"{'ms':>9}{'req/s':>9}" * (len(KINDS) + 1)
    for size, costs in curve.items():
        columns = [(costs[kind].ms, costs[kind].rate) for kind in KINDS]
        columns.append((size * mix_ms(costs), mix_rate(costs)))
        yield f"{size:5}  " + "".join(f"{ms:9.2f}{rate:9,.0f}" for ms, rate in columns)


def _answers(figures: Figures, advice: Advice) -> Iterator[str]:
    alone, best = figures.curve[1], figures.curve[advice.batch]
    each = ", ".join(f"{kind} {alone[kind].ms:.1f} ms" for kind in KINDS)
    yield f"a request alone  {each}"
    reason = f"the smallest within {_MARGIN} of the highest rate (mix)"
    yield f"best batch       {advice.batch}: {reason}"
    yield f"ceiling          {mix_rate(best):,.0f} uncached requests/s of one process (mix);"
    yield f"{'':17}{overlapped_rate(best):,.0f} if each pass is encoded while one is ranked"


def _demands(curve: Curve | None) -> Iterator[str]:
    if curve is None:
        return
    batch = max(curve)
    without, demands = (
        f"{curve[1][kind].ms:.2f} ms alone, {curve[batch][kind].rate:,.0f}/s"
        for kind in WITH_DEMANDS
    )
    yield f"1/3 with demands {demands} by {batch}; without {without}"


def _parsing(times: ParseTimes | None) -> Iterator[str]:
    if times is not None:
        of = f"median and p99 of {times.n:,} queries"
        yield f"parsing a query  {times.median_ms:.3f} ms, {times.p99_ms:.3f} ms: {of}"


def _stages(curve: Curve, batch: int) -> Iterator[str]:
    titles = f"{'encode':>10}{'retrieve':>10}{'rerank':>10}"
    yield f"{'ms a request':13}{'alone:':>30} |{f'in a batch of {batch}:':>30}"
    yield f"{'':13}{titles} |{titles}"
    for kind in KINDS:
        halves = (_per_request(curve[size][kind]) for size in (1, batch))
        yield f"{kind:13}" + " |".join("".join(f"{ms:10.2f}" for ms in half) for half in halves)


def _per_request(cost: Cost) -> list[float]:
    """Return milliseconds a request of encode, retrieve and rerank."""
    stages = cost.stages
    return [ms / cost.size for ms in (stages.encode_ms, stages.retrieve_ms, stages.rerank_ms)]


def _advice(figures: Figures, advice: Advice) -> Iterator[str]:
    setup, best = figures.setup, advice.batch
    reason = f"larger: at most {_MARGIN} more, and every pass longer"
    if best == SIZES[-1] or SIZES[-1] not in figures.curve:
        reason = "larger ones were not measured"
    yield _setting("max-batch-requests", advice.max_batch_requests, reason)
    if advice.max_batch_tokens > setup.max_batch_tokens:
        tokens = f"{figures.tokens:.0f} a query"
        reason = f"{tokens}: {setup.max_batch_tokens} would cut a batch of {best}"
        yield _setting("max-batch-tokens", advice.max_batch_tokens, reason)
    if not figures.machine.gpu:
        first, *more = list(_threads(figures, best)) or ["there is one core"]
        yield _setting("threads", advice.threads, first)
        yield from (" " * _INDENT + line for line in more)
    yield _setting("workers", 1, "unless HTTP, which was not measured, is the limit")
    if advice.processes > 1:
        now = mix_rate(figures.by_threads[setup.threads][best])
        own = _mib(figures.machine.memory - figures.machine.mapped)
        indent, rate = " " * _INDENT, f"{advice.processes_rate:,.0f}/s instead of {now:,.0f}"
        yield f"{indent}{advice.processes} of 1 thread: at most {rate},"
        yield f"{indent}each takes {own}, and what HTTP needs"


def _setting(flag: str, value: int, reason: str) -> str:
    return f"{f'--{flag} {value}':{_INDENT}}{reason}"


def _threads(figures: Figures, batch: int) -> Iterator[str]:
    base = figures.by_threads[1]
    for threads, curve in figures.by_threads.items():
        if threads > 1:
            gain = mix_rate(curve[batch]) / mix_rate(base[batch])
            alone = f"{mix_ms(curve[1]):.1f} : {mix_ms(base[1]):.1f} ms"
            yield f"{threads} against 1: {gain:.2f} × the requests/s, alone {alone}"


def document(figures: Figures) -> dict[str, Any]:
    """Return the figures for JSON, in milliseconds a pass, requests per second, and bytes."""
    info, machine, setup = figures.info, figures.machine, figures.setup
    advice = advice_of(figures)
    return {
        "bundle": {
            "name": info.bundle_name,
            "generation": info.bundle,
            "items": info.n_items,
            "users": info.n_users,
            "index": info.index,
            "scorer": info.scorer,
        },
        "machine": {
            "cpu": machine.cpu,
            "cores": machine.cores,
            "load_before": machine.load,
            "device": "cuda" if machine.gpu else "cpu",
            "gpu": machine.gpu,
        },
        "memory_bytes": {"resident": machine.memory, "shared_files": machine.mapped},
        "settings": {
            "threads": setup.threads,
            "max_batch_requests": setup.max_batch_requests,
            "max_batch_tokens": setup.max_batch_tokens,
        },
        "asked": {
            "queries": figures.queries,
            "histories": figures.histories,
            "tokens_per_query": figures.tokens,
        },
        "seconds": figures.seconds,
        "batches": _sizes(figures.curve),
        "demands": [
            {"batch": size, **_kinds(costs)} for size, costs in (figures.demands or {}).items()
        ],
        "parsing": None if figures.parsing is None else asdict(figures.parsing),
        "threads": [
            {"threads": threads, "batches": _sizes(curve)}
            for threads, curve in figures.by_threads.items()
        ],
        "best_batch": advice.batch,
        "requests_per_second": mix_rate(figures.curve[advice.batch]),
        "advice": {
            "max_batch_requests": advice.max_batch_requests,
            "max_batch_tokens": advice.max_batch_tokens,
            "threads": advice.threads,
            "workers": 1,
        },
    }


def _sizes(curve: Curve) -> list[dict[str, Any]]:
    return [
        {
            "batch": size,
            "mix": {"ms": size * mix_ms(costs), "requests_per_second": mix_rate(costs)},
            **_kinds(costs),
        }
        for size, costs in curve.items()
    ]


def _kinds(costs: Costs) -> dict[str, dict[str, Any]]:
    return {
        kind: {
            "ms": cost.ms,
            "requests_per_second": cost.rate,
            "encode_ms": cost.stages.encode_ms,
            "retrieve_ms": cost.stages.retrieve_ms,
            "rerank_ms": cost.stages.rerank_ms,
            "passes": cost.passes,
        }
        for kind, cost in costs.items()
    }


def _many(n: int, name: str) -> str:
    return f"{n} {name}" if n == 1 else f"{n} {name}s"


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"
