"""Fast encoding: how near it is fitted, what its table must be, and which requests it serves."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from app.core.errors import BundleError, EngineError
from app.core.ranking import RankRequest
from app.core.types import Matrix, TextRole
from app.engine.encoding.encoder import PackedEncoder
from app.engine.encoding.fast_encoding import FAST_ENCODING_FILE, FastEncoder
from app.engine.encoding.text_vectors import text_vectors
from app.engine.engine import RankEngine
from app.offline.bundle_files import write_fast_encoding
from app.offline.encoder.distil import LEAST_TEXTS, MOST_TOKENS, distil
from app.offline.encoder.export import export_encoder
from app.testing.encoder import HashEncoder
from tests.small_engine import small_engine
from tests.tiny_bert import saved, tiny_bert
from tests.tiny_xlm_roberta import tiny_xlm_roberta

TEXTS = [" ".join(words) for words in product(["red", "oak", "a"], ["sofa", "table", "tables"])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a bundle that holds a random encoder and its fast encoding, fitted on few texts."""
    made = tmp_path_factory.mktemp("bundle")
    source = saved(made / "src", tiny_bert(made / "bert"), Pooling(24, "mean"))
    export_encoder(str(source), made / "encoder")
    encoder = PackedEncoder(made / "encoder", threads=1)
    distil(TEXTS, text_vectors(TEXTS, encoder), encoder, made, seed=1)
    return made


@pytest.fixture
def whole(folder) -> PackedEncoder:
    return PackedEncoder(folder / "encoder", threads=1)


@pytest.fixture
def fast(folder, whole) -> FastEncoder:
    return FastEncoder(whole, load_file(folder / FAST_ENCODING_FILE))


def test_it_comes_near_to_the_encoder_on_the_texts_of_the_catalogue(whole, fast):
    exact = text_vectors(TEXTS, whole)
    own = (exact * fast.encode(TEXTS)).sum(axis=1)
    others = (exact * np.roll(fast.encode(TEXTS), 1, axis=0)).sum(axis=1)

    assert own.min() > 0.7
    assert own.mean() > others.mean() + 0.5  # the texts are not simply all alike


def test_what_was_measured_is_what_comes_out(whole, tmp_path):
    (tmp_path / "encoder").mkdir()
    facts = distil(TEXTS, text_vectors(TEXTS, whole), whole, tmp_path, seed=1)
    again = distil(TEXTS, text_vectors(TEXTS, whole), whole, tmp_path, seed=1)

    assert facts == again  # same seed, same table
    assert 0.8 < facts.cosine <= 1.0
    assert facts.overlap == 1.0  # nine items: the nearest ten are all of them


def test_it_comes_near_to_the_queries_of_a_model_with_prompts(tmp_path):
    modules = [tiny_xlm_roberta(tmp_path / "base"), Pooling(48)]
    prompts = {"query": "query: ", "passage": "passage: "}
    model = SentenceTransformer(modules=modules, device="cpu", prompts=prompts)
    model.save_pretrained(str(tmp_path / "src"))
    export_encoder(str(tmp_path / "src"), tmp_path / "encoder")
    encoder = PackedEncoder(tmp_path / "encoder", 1)
    facts = distil(TEXTS, text_vectors(TEXTS, encoder), encoder, tmp_path, seed=1)
    fast = FastEncoder(encoder, load_file(tmp_path / FAST_ENCODING_FILE))
    exact = text_vectors(TEXTS, encoder, "query")
    own = (exact * fast.encode(TEXTS)).sum(axis=1)
    others = (exact * np.roll(fast.encode(TEXTS), 1, axis=0)).sum(axis=1)

    assert facts.cosine > 0.7
    assert own.mean() > others.mean() + 0.3


def test_a_vocabulary_that_is_too_large_gets_no_table_and_the_build_says_so(tmp_path, caplog):
    class Large(PackedEncoder):
        n_tokens = MOST_TOKENS + 1

        def __init__(self) -> None:
            """Load nothing."""

    texts = ["text"] * LEAST_TEXTS
    assert write_fast_encoding(tmp_path, texts, Large()) is None
    assert f"has {MOST_TOKENS + 1} tokens" in caplog.text


def test_vectors_are_of_unit_length_and_depend_on_their_own_text_alone(fast):
    texts = ["", "red", "oak " * 40, "red sofa", "最新电影", "red"]
    vectors = fast.encode(texts)

    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([fast.encode([text]) for text in texts])
    np.testing.assert_allclose(vectors, alone, atol=1e-6)
    assert fast.encode([]).shape == (0, fast.dim)
    with pytest.raises(EngineError):
        fast.encode(["\ud800"])


def test_it_knows_the_tokens_that_the_whole_encoder_knows(whole, fast):
    texts = ["", "red", "鲁迅", "sofa 鲁迅", "!", "zebra", "🎬"]
    assert fast.knows(texts).tolist() == [False, True, False, True, False, False, False]
    assert whole.knows(texts).tolist() == fast.knows(texts).tolist()
    with pytest.raises(EngineError):
        fast.knows(["\ud800"])


def test_a_table_of_another_encoder_is_refused(folder, whole):
    arrays = load_file(folder / FAST_ENCODING_FILE)
    with pytest.raises(BundleError, match="does not fit its encoder"):
        FastEncoder(whole, arrays | {"table": arrays["table"][1:]})


class Noted(HashEncoder):
    """Remembers what it was asked to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.roles: set[TextRole] = set()

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
        self.asked += texts
        self.roles.add(role)
        return super().encode(texts, role)


def engine_with_both() -> tuple[RankEngine, Noted, Noted]:
    whole, fast = Noted(), Noted()
    small = small_engine()
    return (
        RankEngine(replace(small._parts, encoder=whole, fast_encoder=fast), small.info),
        whole,
        fast,
    )


def fast_encoding(engine: RankEngine, query: str) -> RankRequest:
    request = engine.fast_encoding(RankRequest(query=query))
    assert request is not None
    return request


def test_fast_encoding_answers_a_request_that_allows_it_and_the_answer_says_so():
    engine, whole, fast = engine_with_both()
    patient, quick = engine.rank(
        [RankRequest(query="space"), fast_encoding(engine, "heist")]
    ).results

    assert (whole.asked, fast.asked) == (["space"], ["heist"])
    assert whole.roles == fast.roles == {"query"}
    assert (patient.degraded, quick.degraded) == ((), ("encoder",))
    assert quick.items[0].id == "heist"
    assert engine.cost(fast_encoding(engine, "heist")) < engine.cost(RankRequest(query="heist"))


def test_a_query_that_is_encoded_anyway_or_was_lately_is_whole():
    engine, whole, fast = engine_with_both()
    together = engine.rank([fast_encoding(engine, "space"), RankRequest(query="space")])
    later = engine.rank([fast_encoding(engine, "space")])

    assert [result.degraded for result in (*together.results, *later.results)] == [()] * 3
    assert (whole.asked, fast.asked) == (["space"], [])


def test_vectors_of_fast_encoding_are_not_remembered():
    engine, whole, _ = engine_with_both()
    engine.rank([fast_encoding(engine, "space")])
    after = engine.rank([RankRequest(query="space")])

    assert (after.results[0].degraded, whole.asked) == ((), ["space"])


def test_without_a_query_or_a_table_there_is_no_fast_encoding():
    engine, _, _ = engine_with_both()
    assert engine.fast_encoding(RankRequest(history=("alien",))) is None
    assert small_engine().fast_encoding(RankRequest(query="space")) is None


def test_the_words_of_an_intent_are_encoded_fast_as_well():
    engine, whole, fast = engine_with_both()
    sent = RankRequest(intent='{"residual_text":"space robots"}')
    quick = engine.fast_encoding(sent)
    assert quick is not None
    assert engine.rank([quick]).results[0].degraded == ("encoder",)
    assert (whole.asked, fast.asked) == ([], ["space robots"])
    assert engine.cost(quick) < engine.cost(sent)
    assert engine.fast_encoding(RankRequest(query="newest", intent='{"sort":"newest"}')) is None
