"""`recserve bench`: its requests, its measurement, its advice. No time is judged here.

The command over a real bundle is run in `tests/e2e/test_bench.py`.
"""

import doctest
import itertools
import json
import random
import re

import pytest
import torch

from app.bench import demands, run_bench
from app.bench.demands import DemandValues, with_demands
from app.bench.figures import (
    KINDS,
    SIZES,
    WITH_DEMANDS,
    Cost,
    Figures,
    Machine,
    Setup,
    advice_of,
    best_batch,
    mix_rate,
    overlapped_rate,
)
from app.bench.meter import Meter
from app.bench.page import document, page
from app.bench.parsing import ParseTimes, parse_times
from app.bench.requests import (
    WORDS_IN_QUERY,
    Requests,
    histories_of,
    made_histories,
    made_queries,
    read_queries,
)
from app.bundle.reader import open_bundle
from app.cli import main
from app.core.errors import BadDataError, UsageError
from app.core.ranking import BatchResult, StageTimings
from app.core.types import Generation
from app.offline.build import build
from app.offline.input.recipe import Recipe
from app.serving.stores.bundle_users import BundleUserStore
from tests.bundles import ITEMS, build_small, fake_encoder, write_jsonl
from tests.clock import Clock
from tests.small_engine import small_engine

TITLES = ["Star Wars: Episode IV", "The Lord of the Rings", "2001: A Space Odyssey", "Up"]


class TimedEngine:
    """Takes 4 ms a pass, 2 ms a query and 1 ms a history, by a clock that it moves itself."""

    def __init__(self, clock, name="", log=None):
        self.clock, self.name, self.log = clock, name, [] if log is None else log

    def rank(self, batch):
        encode = 2.0 * sum(bool(request.query) for request in batch)
        rerank = 1.0 * sum(bool(request.history) for request in batch)
        self.clock.advance((4.0 + encode + rerank) / 1e3)
        self.log.append((self.name, len(batch)))
        return BatchResult((), StageTimings(encode, 4.0, rerank), Generation("g", 0))


def requests():
    return Requests((f"query {n}" for n in itertools.count()), [("a",), ("b", "c")])


# The requests


def test_requests_are_of_the_kind_asked_for_and_a_history_does_not_come_back():
    asked = requests()
    words, user, both = (asked.take(kind, 1)[0] for kind in KINDS)
    assert (words.query, words.history) == ("query 0", ())
    assert (user.query, user.history, user.exclude) == ("", ("a",), {"a"})
    assert (both.query, both.history, both.exclude) == ("query 1", ("b", "c"), {"b", "c"})


def test_a_file_of_queries_is_read_line_by_line_each_query_once(tmp_path):
    file = tmp_path / "queries.txt"
    file.write_text("\ufeffred  shoes\n\n   \r\nblue lamp\r\nred shoes\n", encoding="utf-8")
    assert read_queries(file) == ["red shoes", "blue lamp"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\n\n" + b"x" * 513, "queries.txt, line 3: longer than 512 characters"),
        (b"fine\n\xff\xfe", "queries.txt: not a text file in UTF-8"),
        (b"\n \n", "queries.txt: no query in it"),
    ],
)
def test_a_file_that_is_not_a_list_of_queries_is_refused(tmp_path, content, message):
    file = tmp_path / "queries.txt"
    file.write_bytes(content)
    with pytest.raises(BadDataError, match=re.escape(message)):
        read_queries(file)


def test_made_queries_differ_and_are_as_long_as_real_ones():
    rng = random.Random(1)
    words = [f"w{n}" for n in range(500)]
    made = made_queries(lambda: " ".join(rng.choices(words, k=3)), rng)
    texts = list(itertools.islice(made, 3000))
    assert len(set(texts)) == len(texts)
    share = sum(len(text.split()) == 3 for text in texts) / len(texts)
    assert share == pytest.approx(WORDS_IN_QUERY[3] / 100, abs=0.05)


def test_few_words_are_enough_and_none_but_blank_titles_are_skipped():
    titles = itertools.cycle([None, " ", "Up"])
    texts = list(itertools.islice(made_queries(lambda: next(titles), random.Random(1)), 50))
    assert set(" ".join(texts).split()) == {"up"}
    assert max(map(len, texts)) <= 512


def test_histories_are_those_of_the_bundle_whole(tmp_path):
    build_small(tmp_path, tmp_path / "small")
    users = BundleUserStore.open(open_bundle(tmp_path / "small"))
    assert [users.key(place) for place in range(len(users))] == ["s:7", "u:7"]
    # The session only has only negative events.
    assert histories_of(users, random.Random(1)) == [("gone", "2", "1")]


def test_made_histories_have_one_to_twenty_items():
    rng = random.Random(1)
    lengths = {len(made) for made in made_histories(lambda: str(rng.random()), rng)}
    assert lengths == set(range(1, 21))


def built(folder, items):
    """A bundle of some items, without events."""
    build(write_jsonl(folder / "items.jsonl", items), None, Recipe(), folder / "b", fake_encoder)
    return open_bundle(folder / "b")


def test_a_bundle_without_users_is_asked_with_its_items(tmp_path):
    asked = run_bench._bench_input(built(tmp_path, ITEMS), None)
    assert "no users" in asked.histories
    both = asked.requests.take("both", 50)
    assert {item for request in both for item in request.history} == {"1", "2", "drei"}
    assert {word for request in both for word in request.query.split()} == {"heat", "alien"}


def test_a_third_of_the_words_carry_demands_of_the_catalogue(tmp_path):
    more = [{"id": f"m{n}", "title": f"w{n} w{2 * n} w{3 * n}"} for n in range(200)]
    bundle = built(tmp_path, [*ITEMS, *more])
    asked = run_bench._bench_input(bundle, None)
    again = run_bench._bench_input(bundle, None)
    texts = [request.query for request in asked.requests.take("demands", 300)]
    assert texts == [request.query for request in again.requests.take("demands", 300)]
    assert len(set(texts)) == 300
    of_titles = {"heat", "alien", *(f"w{n}" for n in range(600))}
    demanding = [text for text in texts if not set(text.split()) <= of_titles]
    assert len(demanding) == pytest.approx(100, abs=2)
    said = {word for text in demanding for word in text.split()} - of_titles
    categories, years = {"crime", "drama", "horror"}, {"1995", "2016", "1990s", "2010s"}
    orders, around = {"newest", "oldest", "best", "rated", "most", "popular"}, {"from", "the"}
    around |= {"not", "without", "since", "before"}
    assert said == categories | years | orders | around
    assert {request.history for request in asked.requests.take("demands", 9)} == {()}


def test_a_catalogue_without_categories_and_dates_has_other_demands():
    texts = (f"w{number}" for number in range(300))
    asked = list(with_demands(texts, DemandValues(), random.Random(1)))
    assert {re.sub(r"w\d+", "w", text) for text in asked} == {
        "w",
        "newest w",
        "oldest w",
        "best rated w",
        "most popular w",
    }
    assert doctest.testmod(demands).failed == 0


def test_without_titles_there_is_nothing_to_make_queries_of(tmp_path):
    bundle = built(tmp_path, [{"id": "a", "title": None}, {"id": "b", "title": None}])
    with pytest.raises(UsageError, match="no titles to make queries of: give --queries"):
        run_bench._bench_input(bundle, None)
    mine = tmp_path / "mine.txt"
    mine.write_text("one\ntwo\n")
    asked = run_bench._bench_input(bundle, mine)
    assert (asked.queries, asked.n_queries) == ("2 queries of mine.txt", 2)
    assert not asked.requests.have_demands
    assert {request.query for request in asked.requests.take("words", 4)} == {"one", "two"}


# The measurement


def test_words_and_words_with_demands_take_turns():
    clock, log = Clock(), []
    asked = Requests(
        map(str, itertools.count()), [("a",)], map("newest {}".format, itertools.count())
    )
    engine = TimedEngine(clock, log=log)
    curve = Meter(asked, clock).curves({1: engine}, (1, 4), 0.001, min_turns=2, kinds=WITH_DEMANDS)[
        1
    ]
    assert {size: tuple(costs) for size, costs in curve.items()} == {
        1: ("words", "demands"),
        4: ("words", "demands"),
    }
    assert asked.have_demands
    assert asked.take("demands", 1)[0].query == "newest 16"  # 8 × 1 and 2 × 4 before
    assert asked.take("words", 1)[0].query == "16"
    assert not requests().have_demands


def test_every_size_is_measured_and_the_medians_are_right():
    clock = Clock()
    curve = Meter(requests(), clock).curves({1: TimedEngine(clock)}, SIZES, 10.0)[1]
    assert tuple(curve) == SIZES
    for size, costs in curve.items():
        assert tuple(costs) == KINDS
        assert [costs[kind].ms for kind in KINDS] == pytest.approx(
            [4 + 2 * size, 4 + size, 4 + 3 * size]
        )
        assert costs["both"].stages == StageTimings(2.0 * size, 4.0, 1.0 * size)
        assert costs["words"].rate == pytest.approx(size / (4 + 2 * size) * 1e3)
    # A round takes 144 requests of each kind in 54 passes, 1.08 s: ten begin within 10 s.
    assert curve[64]["user"].passes == 9
    assert curve[1]["user"].passes == 10 * 8


def test_the_time_given_is_kept_to():
    clock = Clock(0.0)
    Meter(requests(), clock).curves({1: TimedEngine(clock)}, SIZES, 3.0)
    assert 3.0 <= clock.now < 3.5  # the longest turn takes 396 ms


def test_where_time_is_short_large_batches_are_left_out_but_never_all():
    clock = Clock()
    curve = Meter(requests(), clock).curves({1: TimedEngine(clock)}, SIZES, 0.001)[1]
    assert tuple(curve) == (1,)


def test_engines_take_turns_and_all_of_them_are_asked_whatever_the_time():
    clock, log = Clock(), []
    engines = {threads: TimedEngine(clock, threads, log) for threads in (1, 2)}
    curves = Meter(requests(), clock).curves(engines, (1, 16), 0.001, min_turns=4)
    assert list(dict.fromkeys(log)) == [(1, 1), (2, 1), (1, 16), (2, 16)]
    assert {threads: tuple(curve) for threads, curve in curves.items()} == {
        1: (1, 16),
        2: (1, 16),
    }


def test_a_real_engine_can_be_measured():
    clock = itertools.count(0.0, 0.5)
    asked = Requests(itertools.cycle(["space adventure"]), [("alien", "gone")])
    curve = Meter(asked, lambda: next(clock)).curves({1: small_engine()}, (1, 2), 1.0)[1]
    assert curve[1]["both"].ms == 500.0
    assert curve[1]["both"].stages.retrieve_ms > 0


# Rates and advice


def costs(size, ms):
    """Of a pass that takes `ms` for words and both, and half of it for users."""
    times = {"words": ms, "user": ms / 2, "both": ms}
    return {
        kind: Cost(size, 5, time, StageTimings(time / 2, time / 4, time / 4))
        for kind, time in times.items()
    }


def with_demands_cost(size, ms):
    """Of words, and of words with demands, which take a tenth more."""
    return {
        kind: Cost(size, 5, time, StageTimings())
        for kind, time in (("words", ms), ("demands", 1.1 * ms))
    }


def figures(times, threads=(1, 2), **changes):
    """`times`: batch -> ms a pass; one thread takes half as long again as two."""
    curve = {size: costs(size, ms) for size, ms in times.items()}
    best = best_batch(curve)
    slower = {
        number: {size: costs(size, times[size] * (1.5 if number == 1 else 1)) for size in (1, best)}
        for number in threads
    }
    given = {
        "info": small_engine().info,
        "machine": Machine("Some CPU", 2, 0.1, 300 * 2**20, 100 * 2**20),
        "setup": Setup(threads[-1], 64, 1024),
        "queries": "words of titles",
        "histories": "histories of the bundle's users",
        "tokens": 8.0,
        "seconds": 10.0,
        "curve": curve,
        "by_threads": slower,
        "demands": {size: with_demands_cost(size, times[size]) for size in (1, best)},
        "parsing": ParseTimes(1000, 0.0123, 0.0871),
    }
    return Figures(**(given | changes))


LEVELS = {1: 2.0, 2: 3.0, 4: 4.0, 8: 6.0, 16: 10.0, 32: 19.5, 64: 39.0}
"""From 16 on, passes are as long as they are large, to 2.5 %."""


def test_the_best_batch_is_the_smallest_that_is_good_enough():
    assert best_batch({size: costs(size, ms) for size, ms in LEVELS.items()}) == 16
    assert best_batch({1: costs(1, 2.0), 2: costs(2, 3.9)}) == 1
    assert best_batch({1: costs(1, 2.0), 2: costs(2, 3.7)}) == 2


def test_the_rate_of_the_mix_is_that_of_a_third_each():
    # 3 requests one at a time: 2 + 1 + 2 ms.
    assert mix_rate(costs(1, 2.0)) == pytest.approx(3 / 5e-3)


def test_where_passes_overlap_the_longer_half_counts():
    # Half of the time is encoding: 2.5 ms for three requests.
    assert overlapped_rate(costs(1, 2.0)) == pytest.approx(3 / 2.5e-3)
    times = StageTimings(1.0, 2.0, 1.0)
    assert overlapped_rate({"words": Cost(1, 5, 4.0, times)}) == pytest.approx(1 / 3e-3)


def test_advice_follows_the_figures():
    found = advice_of(figures(LEVELS))
    assert (found.batch, found.max_batch_requests, found.max_batch_tokens) == (16, 16, 1024)
    assert (found.threads, found.processes) == (2, 2)
    assert found.processes_rate == pytest.approx(2 * 16 / 15.0 * 1e3 * 6 / 5)


def test_a_second_thread_that_brings_nothing_is_not_advised():
    curve = {size: costs(size, ms) for size, ms in LEVELS.items()}
    assert advice_of(figures(LEVELS, by_threads={1: curve, 2: curve})).threads == 1


def test_long_queries_need_more_tokens_in_a_batch():
    found = figures(LEVELS, tokens=100.2)
    assert advice_of(found).max_batch_tokens == 1604
    assert "--max-batch-tokens 1604   100 a query: 1024 would cut a batch of 16" in page(found)


def test_sizes_that_were_not_measured_do_not_limit_the_advice():
    """Few queries or little time leave large batches out; those may be better all the same."""
    assert advice_of(figures({1: 2.0, 2: 2.5})).batch == 2
    found = figures({1: 2.0, 2: 4.0})
    assert (advice_of(found).batch, advice_of(found).max_batch_requests) == (1, 64)
    assert "--max-batch-requests 64   larger ones were not measured" in page(found)


def test_the_page_shows_every_figure():
    text = page(figures(LEVELS))
    for line in (
        "bundle   small, generation g1",
        "         7 items, index: flat, scorer: blend",
        "         2 cores, 2 threads",
        "memory   300 MiB once loaded, 100 MiB of it shared files",
        "   16      10.00    1,600     5.00    3,200    10.00    1,600     8.33    1,920",
        "a request alone  words 2.0 ms, user 1.0 ms, both 2.0 ms",
        "best batch       16: the smallest within 5 % of the highest rate (mix)",
        "ceiling          1,920 uncached requests/s of one process (mix);",
        "                 3,840 if each pass is encoded while one is ranked",
        "user               0.50      0.25      0.25 |      0.16      0.08      0.08",
        "1/3 with demands 2.20 ms alone, 1,455/s by 16; without 2.00 ms alone, 1,600/s",
        "parsing a query  0.012 ms, 0.087 ms: median and p99 of 1,000 queries",
        "--max-batch-requests 16   larger: at most 5 % more, and every pass longer",
        "--threads 2               2 against 1: 1.50 × the requests/s, alone 1.7 : 2.5 ms",
        "                          2 of 1 thread: at most 2,560/s instead of 1,920,",
        "                          each takes 200 MiB, and what HTTP needs",
    ):
        assert f"\n{line}\n" in f"\n{text}"
    assert "Not measured: HTTP" in text
    assert "BUSY" not in text


def test_the_page_fits_a_terminal_at_its_longest():
    machine = Machine("A very long name of a CPU " * 5, 64, 70.0, 99_999 * 2**20, 0)
    slow = {size: 20_000.0 + ms for size, ms in LEVELS.items()}
    setup, threads = Setup(16, 64, 1024), (1, 16, 64)
    found = figures(slow, threads, machine=machine, setup=setup, tokens=200.0)
    lines = page(found).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert any("BUSY: load 70.0" in line for line in lines)


def test_one_core_has_nothing_to_compare():
    machine = Machine("Some CPU", 1, 0.1, 2**28, 2**27)
    curve = {size: costs(size, ms) for size, ms in LEVELS.items()}
    text = page(figures(LEVELS, (1,), machine=machine, by_threads={1: curve}))
    assert "1 core, 1 thread\n" in text
    assert "--threads 1               there is one core" in text
    assert "of 1 thread" not in text


def test_a_gpu_is_named_and_has_no_threads_to_compare():
    """All workers would share it, so that cores say nothing of what several would reach."""
    machine = Machine("Some CPU", 16, 0.1, 2**28, 2**27, gpu="NVIDIA L4")
    curve = {size: costs(size, ms) for size, ms in LEVELS.items()}
    found = figures(LEVELS, (1,), machine=machine, by_threads={1: curve}, setup=Setup(1, 64, 1024))
    text = page(found)
    assert "\n         16 cores, NVIDIA L4\n" in text
    assert "thread" not in text
    assert "--workers 1 " in text
    assert document(found)["machine"]["device"] == "cuda"
    assert document(found)["machine"]["gpu"] == "NVIDIA L4"
    assert document(figures(LEVELS))["machine"]["device"] == "cpu"


def test_the_document_has_the_same_figures():
    found = json.loads(json.dumps(document(figures(LEVELS))))
    assert [row["batch"] for row in found["batches"]] == list(SIZES)
    assert found["best_batch"] == found["advice"]["max_batch_requests"] == 16
    assert found["requests_per_second"] == found["batches"][4]["mix"]["requests_per_second"]
    assert [row["threads"] for row in found["threads"]] == [1, 2]
    assert [row["batch"] for row in found["demands"]] == [1, 16]
    assert found["demands"][0]["demands"]["ms"] == pytest.approx(2.2)
    assert found["parsing"] == {"n": 1000, "median_ms": 0.0123, "p99_ms": 0.0871}
    without = figures(LEVELS, demands=None, parsing=None)
    assert document(without)["parsing"] is None
    assert "parsing" not in page(without)
    assert document(without)["demands"] == []
    assert "demands" not in page(without)


def test_the_shortest_time_of_each_query_counts():
    clock = Clock()
    steps = itertools.cycle([1.0, 2.0, 4.0, 0.5, 3.0])  # milliseconds, over all rounds and queries

    def parse(_query):
        clock.advance(next(steps) / 1e3)

    times = parse_times(parse, ["a", "b"], clock)
    # a: 1, 4, 3, 2, 0.5; b: 2, 0.5, 1, 4, 3
    assert times == ParseTimes(2, pytest.approx(0.5), pytest.approx(0.5))


# The command, as far as it needs no model


def run(*arguments):
    return main(["bench", *map(str, arguments)])


def test_a_missing_folder_is_reported_before_the_work(tmp_path, capsys):
    assert run("--json", tmp_path / "none" / "out.json", "--bundle", tmp_path) == 2
    assert "--json" in capsys.readouterr().err


def test_bad_queries_and_bad_bundles_have_their_exit_codes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")  # or the command would set it, for all tests
    build_small(tmp_path, tmp_path / "small")
    bad = tmp_path / "bad.txt"
    bad.write_text("x" * 600)
    assert run("--bundle", tmp_path / "small", "--queries", bad) == 3
    assert "bad.txt, line 1" in capsys.readouterr().err
    assert run("--bundle", tmp_path / "none") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["bench", "serve"])
def test_a_gpu_that_is_not_there_stops_the_start(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")  # see above
    build_small(tmp_path, tmp_path / "small")
    capsys.readouterr()  # a build may log its steps
    assert main([command, "--bundle", str(tmp_path / "small"), "--device", "cuda"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recserve: device cuda: ")


def test_a_device_that_does_not_exist_is_wrong_usage(tmp_path, capsys):
    assert run("--bundle", tmp_path, "--device", "abacus") == 2
    assert "setting device" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon", "1e9"])
def test_the_time_must_be_one(seconds, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--seconds", seconds)
    assert stopped.value.code == 2
