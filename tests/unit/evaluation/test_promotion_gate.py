"""The promotion gate: held-out events, the comparison, and the verdict."""

import logging
import re

import numpy as np
import pytest

from app.bundle.reader import CURRENT, load_arrays, open_bundle
from app.cli import main
from app.core.errors import BundleError, EngineError, PromotionError
from app.evaluation.promotion_gate import MAX_CASES, MIN_CASES, PromotionGate
from app.offline.build import build, retrain
from app.offline.input.events import read_events
from app.offline.input.recipe import Recipe
from app.offline.learning.negatives import skipped_of
from app.offline.learning.sequences import disliked_of, sequences_of
from app.offline.learning.signals import log_of
from app.offline.progress import StageTimes
from app.offline.promotion import Promotion
from app.serving.stores.bundle_users import BundleUserStore
from tests.bundles import fake_encoder, fake_opened, write_jsonl
from tests.evaluation_rig import ScoreEngine, constant, popular

pytestmark = pytest.mark.learning

N_ITEMS, N_USERS = 12, 80
STEP = 1000.0
FIGURE = r"[+-]?(?:1|)\.\d{4}"
VERDICT = re.compile(
    rf"NDCG@10 ({FIGURE}) against ({FIGURE}) being served, "
    rf"difference ({FIGURE}) \[({FIGURE}) ({FIGURE})\] over ([\d,]+) users"
)


def item_rows(first=0):
    """Twelve items, from i0 on or from another one."""
    return [{"id": f"i{n}", "title": f"Number {n}"} for n in range(first, first + N_ITEMS)]


def walk(user, steps, start=0):
    """A user who takes the next item of the ring at every step; step s has times in [s, s + 1)."""
    return [
        {
            "user_id": user,
            "item_id": f"i{(user + step) % N_ITEMS}",
            "timestamp": step * STEP + user,
        }
        for step in range(start, start + steps)
    ]


def walks(steps, start=0, users=N_USERS):
    return [event for user in range(users) for event in walk(user, steps, start)]


EARLY = walks(3)
WHOLE = walks(8)
"""Five steps more; the newest fifth of them is the last step of every user."""


def ring(request, ids, popularity):
    """A model that knows: the item after the newest one comes first, wherever it stands."""
    newest = int(request.history[-1][1:]) if request.history else N_ITEMS
    return np.array([1.0 * (name == f"i{(newest + 1) % N_ITEMS}") for name in ids])


class Shop:
    """A bundle, and builds of it through a gate whose engines are planted."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.folder, self.root = folder, folder / "models" / "shop"
        self.engines = []

    def build(self, events, gate=None, items=None, *, learning=False):
        items = write_jsonl(self.folder / "items.jsonl", items or item_rows())
        events = write_jsonl(self.folder / "events.jsonl", events)
        args = (items, events, Recipe(), self.root, fake_encoder)
        return build(*args, learning=learning, gate=gate)

    def gate(self, served, new, *, force=False):
        """Open bundles as engines: those being served score by `served`, the others by `new`."""

        def open_it(path):
            score = served if path == (self.root / CURRENT).resolve() else new
            engine = ScoreEngine(path, score)
            assert all(other.closed == 1 for other in self.engines)  # one at a time
            self.engines.append(engine)
            return engine

        return PromotionGate(force=force, open_engine=open_it)

    @property
    def current(self):
        return (self.root / CURRENT).readlink().name

    def listing(self):
        return sorted(path.name for path in self.root.iterdir())


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


@pytest.fixture
def served(shop):
    """The shop, serving what was built from the first steps."""
    shop.build(EARLY)
    return shop


def figures(text):
    found = VERDICT.search(text)
    assert found, text
    return [float(figure.replace(",", "")) for figure in found.groups()]


# --- the decision


def test_a_worse_build_is_refused_and_leaves_nothing(served):
    before, names = served.current, served.listing()
    with pytest.raises(PromotionError) as refused:
        served.build(WHOLE, served.gate(ring, constant))
    new, old, difference, low, high, users = figures(refused.value.message)
    assert old == 1.0  # the next one of the ring, always
    # All twelve items but those taken (seven) tie: the mean place is 2 of 0 … 4.
    assert new == pytest.approx(1 / np.log2(4), abs=1e-4)
    assert difference == pytest.approx(new - old, abs=2e-4)
    assert low <= difference <= high < 0
    assert users == N_USERS
    assert refused.value.message.endswith("publish it anyway with --force")
    assert served.current == before
    assert served.listing() == names
    assert [engine.closed for engine in served.engines] == [1, 1]
    assert open_bundle(served.root).path.name == before


def test_a_better_build_is_published(served):
    report = served.build(WHOLE, served.gate(constant, ring))
    assert report.bundle == open_bundle(served.root)
    new, old, difference, low, _, users = figures(report.verdict)
    assert (new, users) == (1.0, N_USERS)
    assert difference == pytest.approx(1.0 - old, abs=2e-4)
    assert low > 0
    assert report.verdict.startswith(
        "gate: NDCG@10 1.0000 against .5000 being served, difference +"
    )
    assert report.verdict.endswith("users: published")
    assert report.verdict in str(report).splitlines()
    assert "gate" in report.seconds
    assert [name for name in served.listing() if name.startswith(".tmp-")] == []


def test_an_equal_build_is_published(served):
    report = served.build(WHOLE, served.gate(ring, ring))
    assert figures(report.verdict) == [1.0, 1.0, 0.0, 0.0, 0.0, N_USERS]
    assert served.current == report.bundle.path.name


def test_a_difference_within_chance_is_no_reason_to_refuse(served):
    def noisy(seed):
        rng = np.random.default_rng(seed)
        return lambda request, ids, popularity: rng.random(len(ids))

    low, high = figures(served.build(WHOLE, served.gate(noisy(1), noisy(2))).verdict)[3:5]
    assert low < 0 < high


def test_force_publishes_what_is_worse_and_says_so(served):
    report = served.build(WHOLE, served.gate(ring, constant, force=True))
    assert served.current == report.bundle.path.name
    assert figures(report.verdict)[4] < 0
    assert report.verdict.endswith("worse, published because it was forced")


def test_force_adds_nothing_to_a_build_that_is_not_worse(served):
    report = served.build(WHOLE, served.gate(ring, ring, force=True))
    assert report.verdict.endswith("users: published")


AT_ONCE = [*walks(1), *({**event, "timestamp": 9 * STEP} for event in walks(4, start=1))]
"""All that goes beyond one event a user is of one moment: held out, it leaves nothing to learn."""


def test_training_goes_through_the_gate_too(shop):
    shop.build(walks(1))
    before, names = shop.current, shop.listing()
    events = write_jsonl(shop.folder / "later.jsonl", AT_ONCE)
    with pytest.raises(PromotionError, match=r"1\.0000 being served"):
        retrain(
            shop.root, events, Recipe(), gate=shop.gate(ring, constant), open_encoder=fake_opened
        )
    assert (shop.current, shop.listing()) == (before, names)
    report = retrain(
        shop.root, events, Recipe(), gate=shop.gate(constant, ring), open_encoder=fake_opened
    )
    assert report.verdict.endswith("published")
    assert report.bundle.manifest.trained_until == N_USERS - 1
    assert shop.current == report.bundle.path.name


def test_training_an_older_generation_is_compared_with_the_one_being_served(shop):
    older = shop.build(walks(1)).bundle.path
    newer = shop.build(walks(1)).bundle.path
    opened = []

    def open_it(path):
        opened.append(path.name)
        return ScoreEngine(path, popular)

    events = write_jsonl(shop.folder / "later.jsonl", AT_ONCE)
    report = retrain(
        older, events, Recipe(), gate=PromotionGate(open_engine=open_it), open_encoder=fake_opened
    )
    assert opened == [newer.name, report.bundle.path.name]


def test_without_a_gate_nothing_is_held_out_and_there_is_no_verdict(served):
    report = served.build(WHOLE)
    assert report.verdict is None
    assert report.bundle.manifest.trained_until == 7 * STEP + N_USERS - 1
    assert "gate" not in str(report)
    assert "gate" not in report.seconds


# --- with words

PAIRS = [{"id": f"i{n}", "title": f"{'abcdef'[n // 2] * 3} number"} for n in range(N_ITEMS)]
"""Two items of each word, which is as many as a word of so small a catalogue may have."""


def by_words(right):
    """A model that is asked with the history alone knows nothing; with words it may be right."""

    def score(request, ids, popularity):
        if not request.query:
            return np.zeros(len(ids))
        return ring(request, ids, popularity) if right else -ring(request, ids, popularity)

    return score


def test_a_build_that_is_worse_with_words_is_refused(shop):
    shop.build(EARLY, items=PAIRS)
    with pytest.raises(PromotionError) as refused:
        shop.build(WHOLE, shop.gate(by_words(True), by_words(False)), PAIRS)
    alone, words = refused.value.message.split("; ")[:2]
    assert figures(alone)[2] == 0.0
    assert words.startswith("with words NDCG@10 ")
    assert figures(words)[1] == 1.0
    assert figures(words)[4] < 0.0
    assert figures(words)[5] == N_USERS


def test_the_words_are_of_the_title_of_the_target(shop):
    shop.build(EARLY, items=PAIRS)
    asked = []

    def note(request, ids, popularity):
        if request.query:
            asked.append((int(request.history[-1][1:]), request.query))
        return ring(request, ids, popularity)

    report = shop.build(WHOLE, shop.gate(ring, note), PAIRS)
    assert len(asked) == N_USERS
    assert all(query == "abcdef"[(last + 1) % N_ITEMS // 2] * 3 for last, query in asked)
    assert report.verdict.endswith("users: published")


# --- what is held out


def test_held_out_events_are_not_counted(served, tmp_path):
    report = served.build(WHOLE, served.gate(popular, popular))
    honest = Shop(tmp_path / "other").build(walks(7)).bundle  # without the last step of everybody
    assert report.bundle.manifest.trained_until == honest.manifest.trained_until
    for name, array in load_arrays(honest, "signals.safetensors").items():
        assert np.array_equal(load_arrays(report.bundle, "signals.safetensors")[name], array), name


def log_from(rows, folder):
    events = read_events(write_jsonl(folder / "rows.jsonl", rows), Recipe())
    return log_of(events, [row["id"] for row in item_rows()], Recipe().weights)


def test_learning_sees_the_sequences_of_the_earlier_events_alone(served, tmp_path):
    """With dislikes, which are no sign of liking, and events without a time, which are old."""
    rows = [
        *WHOLE,
        {"user_id": "late", "item_id": "i1", "event": "dislike", "timestamp": 7 * STEP + 5},
        {"user_id": 1, "item_id": "i9", "event": "dislike", "timestamp": 7.5 * STEP},
        {"user_id": 2, "item_id": "i9", "event": "dislike"},
        {"user_id": "undated", "item_id": "i5"},
        *(
            {
                "user_id": 1,
                "item_id": f"i{n}",
                "recommendation_id": "r",
                "timestamp": n * STEP,
                "event": "click" if n == 2 else "impression",
            }
            for n in range(N_ITEMS)
        ),
    ]
    early = [row for row in rows if row.get("timestamp", 0) < 7 * STEP]
    ids = [row["id"] for row in item_rows()]
    gate = served.gate(popular, popular)
    promotion = Promotion(gate, StageTimes(logging.getLogger()))
    gated = promotion.known(served.root, log_from(rows, tmp_path), ids)
    logs = gated, log_from(early, tmp_path)
    for find, weights in ((sequences_of, "weights"), (disliked_of, "is_negative")):
        found, wanted = (
            find(log.events, log.item_rows, getattr(log, weights), N_ITEMS) for log in logs
        )
        assert len(found) > 0
        for name in ("items", "weights", "offsets"):
            assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
        people = [
            [log.events.users[user] for user in sequences.users]
            for log, sequences in zip(logs, (found, wanted), strict=True)
        ]
        assert people[0] == people[1]
    one, other = (skipped_of(log, N_ITEMS) for log in logs)
    assert len(one.items) == 6  # shown before the split, without the one that was clicked
    assert np.array_equal(one.items, other.items)


def test_held_out_events_are_not_learned(shop, caplog):
    shop.build(walks(1))
    report = shop.build(AT_ONCE, shop.gate(popular, popular), learning=True)
    assert "no behaviour learned: fewer than" in caplog.text
    assert report.bundle.manifest.learned is None
    assert report.bundle.manifest.trained_until == N_USERS - 1
    assert figures(report.verdict)[5] == N_USERS


async def test_histories_keep_what_was_held_back(served):
    bundle = served.build(WHOLE, served.gate(popular, popular, force=True)).bundle
    store = BundleUserStore.open(bundle)
    assert await store.history("u:3") == tuple(f"i{(3 + step) % N_ITEMS}" for step in range(8))
    assert (bundle.manifest.n_users, bundle.manifest.n_events) == (N_USERS, len(WHOLE))


def test_what_is_asked_is_the_next_new_item_after_the_split(served):
    asked = []

    def note(request, ids, popularity):
        asked.append(request)
        return ring(request, ids, popularity)

    served.build(WHOLE, served.gate(note, ring))
    assert len(asked) == N_USERS
    assert min(asked, key=lambda r: int(r.history[0][1:])).history == tuple(
        f"i{n}" for n in range(7)
    )
    assert all(request.exclude == frozenset(request.history) for request in asked)


def test_events_without_a_time_count_as_old(served):
    undated = [{"user_id": user, "item_id": "i11"} for user in range(N_USERS)]
    report = served.build([*WHOLE, *undated], served.gate(popular, popular, force=True))
    popularity = load_arrays(report.bundle, "signals.safetensors")["popularity"]
    assert popularity.argmax() == N_ITEMS - 1
    assert "over" in report.verdict


def test_events_of_one_second_are_held_out_together(served):
    """Days only: the newest fifth begins inside the last day, so all of that day is held out."""
    days = [event | {"timestamp": event["timestamp"] // STEP * STEP} for event in WHOLE]
    early = [event for event in days if event["timestamp"] < 3 * STEP]
    served.build(early)
    report = served.build(days, served.gate(popular, popular, force=True))
    assert report.bundle.manifest.trained_until == 6 * STEP
    assert figures(report.verdict)[5] == N_USERS


# --- two catalogues


def test_only_items_of_both_catalogues_are_targets(served):
    """The new one lacks i0 … i2 and has i12 … i14: nobody may be asked for those."""
    asked = []

    def note(request, ids, popularity):
        asked.append(request.history[-1])
        return ring(request, ids, popularity)

    report = served.build(WHOLE, served.gate(note, constant, force=True), item_rows(3))
    lacking = {(user + 7) % N_ITEMS for user in range(N_USERS)} & {0, 1, 2}
    n_left = sum((user + 7) % N_ITEMS not in lacking for user in range(N_USERS))
    assert figures(report.verdict)[5] == n_left == len(asked) < N_USERS
    assert not {f"i{(n - 1) % N_ITEMS}" for n in lacking} & set(asked)


def test_items_of_one_catalogue_only_do_not_count_in_ranks(served):
    """The new one puts twelve items that the old one lacks before everything else."""
    extra = [{"id": f"new{n}"} for n in range(N_ITEMS)]

    def extra_first(request, ids, popularity):
        new = np.array([name.startswith("new") for name in ids])
        return ring(request, ids, popularity) + 100.0 * new

    report = served.build(WHOLE, served.gate(ring, extra_first), [*item_rows(), *extra])
    assert figures(report.verdict)[:3] == [1.0, 1.0, 0.0]


# --- nothing to compare


def unopposed(report, reason):
    """The verdict gives the reason, and everything was learned from."""
    assert report.verdict.startswith("gate: no comparison, ")
    assert report.verdict.endswith(": published")
    assert reason in report.verdict, report.verdict
    assert report.bundle == open_bundle(report.bundle.path.parent)


def never(path):
    raise AssertionError("nothing is to be opened")


UNASKED = PromotionGate(open_engine=never)


def test_a_first_build_is_published(shop):
    unopposed(shop.build(EARLY, UNASKED), "nothing was being served yet")


@pytest.mark.parametrize("events", [EARLY, []], ids=["the same log", "an empty log"])
def test_without_later_events_it_is_published(served, events):
    unopposed(
        served.build(events, UNASKED),
        "no dated positive events later than 1970-01-01 00:34:39 UTC, up to which the bundle being "
        "served has learned",
    )


def test_later_events_that_are_not_positive_do_not_count(served):
    dislikes = [event | {"event": "dislike", "event_id": None} for event in walks(2, start=5)]
    report = served.build([*EARLY, *dislikes], UNASKED)
    unopposed(report, "no dated positive events later")
    assert report.bundle.manifest.trained_until == 6 * STEP + N_USERS - 1


def test_untimed_events_are_never_later(shop, served):
    untimed = [{key: row[key] for key in ("user_id", "item_id")} for row in WHOLE]
    report = served.build(untimed, UNASKED)
    unopposed(report, "no dated positive events later")
    unopposed(served.build(WHOLE, UNASKED), "has learned from no dated events")


def test_too_few_users_are_no_comparison(served):
    """One user less than it takes; everything is learned from then."""
    later = walks(5, start=3, users=MIN_CASES - 1)
    report = served.build([*EARLY, *later], UNASKED)
    unopposed(report, f"only {MIN_CASES - 1} users took a new item that both bundles hold after")
    assert f"{MIN_CASES} are needed" in report.verdict
    assert report.bundle.manifest.trained_until == 7 * STEP + MIN_CASES - 2


def test_just_enough_users_are_compared(served):
    later = walks(5, start=3, users=MIN_CASES)
    report = served.build([*EARLY, *later], served.gate(ring, ring))
    assert figures(report.verdict)[5] == MIN_CASES


def test_events_of_one_moment_only_are_no_comparison(served):
    now = [event | {"timestamp": 9 * STEP} for event in WHOLE]
    unopposed(served.build(now, UNASKED), "all dated positive events are of one moment")


def test_a_damaged_bundle_does_not_stop_a_build(served):
    vectors = served.root / CURRENT / "vectors.npy"
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(content)
    report = served.build(WHOLE, UNASKED)
    unopposed(report, "the bundle being served cannot be used (the bundle file 'vectors.npy' has")
    assert report.bundle.manifest.trained_until == 7 * STEP + N_USERS - 1


def test_an_older_format_does_not_stop_a_build(served):
    manifest = served.root / CURRENT / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 4', '"format_version": 1'))
    unopposed(served.build(WHOLE, UNASKED), "the bundle has format 1, not 4")


def test_a_link_to_nothing_does_not_stop_a_build(served):
    (served.root / CURRENT).unlink()
    (served.root / CURRENT).symlink_to("gone")
    unopposed(served.build(WHOLE, UNASKED), "does not point to a generation")


@pytest.mark.parametrize("error", [BundleError("cracked"), EngineError("cracked")])
def test_a_served_bundle_that_cannot_answer_does_not_stop_a_build(served, error):
    def broken(path):
        raise error

    report = served.build(WHOLE, PromotionGate(open_engine=broken))
    unopposed(report, "the bundle being served cannot be used (cracked)")
    assert report.bundle.manifest.trained_until == 7 * STEP + N_USERS - 1


def test_a_new_bundle_that_cannot_answer_is_not_published_even_by_force(served):
    before = served.listing()

    def broken(request, ids, popularity):
        raise EngineError("cracked")

    with pytest.raises(EngineError, match="cracked"):
        served.build(WHOLE, served.gate(ring, broken, force=True))
    assert served.listing() == before
    assert [engine.closed for engine in served.engines] == [1, 1]


# --- size, and the command line


def test_a_sample_is_asked_where_there_are_many_users(shop):
    users = MAX_CASES + 50
    rows = [
        {"user_id": user, "item_id": f"i{step}", "timestamp": 1e5 * step + user}
        for step, people in ((0, users), (1, 4 * users), (2, users))
        for user in range(people)
    ]
    shop.build(rows[:users])
    report = shop.build(rows, shop.gate(constant, constant))
    assert report.bundle.manifest.trained_until == 1e5 + 4 * users - 1
    assert figures(report.verdict)[5] == MAX_CASES


def test_the_flag_reaches_the_gate(served, tmp_path, capsys):
    """No later events, so no engine is opened: the line says that the gate was asked."""
    events = write_jsonl(tmp_path / "again.jsonl", EARLY[:1])
    recipe = tmp_path / "ours.toml"
    recipe.write_text("")
    flags = ["train", "--bundle", str(served.root), "--events", str(events)]
    flags += ["--recipe", str(recipe)]
    for forced in ([], ["--force"]):
        assert main([*flags, *forced]) == 0
        assert "gate: no comparison, no dated positive events later" in capsys.readouterr().out
        served.build(EARLY)
