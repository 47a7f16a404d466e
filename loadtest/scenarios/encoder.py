"""The encoder beside sentence-transformers: texts a second, and how near the vectors are.

    python -m loadtest.scenarios.encoder --json -

sentence-transformers encodes batches sorted by length, at the best of its settings. Our encoder
runs on each runtime that this machine has. Queries are as short as those that people type
(`loadtest.runners.queries`). docs/benchmarks.md says what each figure means.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from app.engine.encoding.encoder import PackedEncoder
from app.engine.kernels.instruction_set import InstructionSet
from app.engine.kernels.loader import Unavailable
from app.offline.encoder.export import export_encoder
from app.offline.encoder.model_source import resolve
from loadtest.reports.encoder import section
from loadtest.runners import machine
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.scenarios.encoder_quality import Encode, fidelity, ranking, read_graded

MODEL = "all-MiniLM-L6-v2"
BATCHES = (1, 8, 32, 128)
#: Multiplications that one token costs in the model; there are as many additions.
PRODUCTS_PER_TOKEN = 10.6e6
#: (out, in) of its matrix products.
SHAPES = ((1152, 384), (384, 384), (1536, 384), (384, 1536))
#: Products of bytes a cycle, relative to float32 in registers of the same width (AMX: AVX-512).
_GAIN = {"avx2": 4, "vnni": 4, "amx": 32}
#: Number of texts whose vectors are compared.
_COMPARED = 2000
_SETTINGS = [(threads, batch) for threads in (1, 2) for batch in (32, 64, 128)]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.encoder", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of one series (default: 0.5)")
    parser.add_argument("--seed", type=int, default=7, help="of the texts (default: 7)")
    parser.add_argument(
        "--graded", type=int, default=48, help="queries of the graded set (default: 48)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the result here; - is stdout")
    options = parser.parse_args(argv)
    texts = unique_queries(20_000, options.seed, demo_titles())
    reference = SentenceTransformer(resolve(MODEL), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        export_encoder(MODEL, Path(folder))
        document = _measure(reference, _encoders(Path(folder)), texts, options)
    print(section(document), file=sys.stderr)
    if options.json:
        text = json.dumps(document, indent=2) + "\n"
        sys.stdout.write(text) if options.json == "-" else Path(options.json).write_text(text)


def _encoders(folder: Path) -> dict[str, PackedEncoder]:
    """Open our encoder on each runtime that this machine has, on all cores."""
    encoders = {}
    for runtime in (*get_args(InstructionSet), "onnxruntime"):
        try:
            encoders[runtime] = PackedEncoder(folder, len(os.sched_getaffinity(0)), runtime)
        except Unavailable as why:
            print(f"without {runtime}: {why}", file=sys.stderr)
    return encoders


def _measure(
    reference: SentenceTransformer,
    encoders: dict[str, PackedEncoder],
    texts: Sequence[str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    setting, tried = _best_setting(reference, texts)
    torch.set_num_threads(setting[0])
    series: dict[str, dict[str, list[float]]] = {}
    peaks: dict[str, list[float]] = {}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds} …", file=sys.stderr, flush=True)
        _add(series, "sentence-transformers/1", _series(reference.encode, texts, 1, options))
        # In one call of many texts it sorts them by length and cuts them into batches.
        _add(series, "sentence-transformers/sorted", _sorted_calls(reference, texts, setting))
        for name, encoder in encoders.items():
            for batch in BATCHES:
                _add(series, f"{name}/{batch}", _series(encoder.encode, texts, batch, options))
        for name, value in _peaks().items():
            peaks.setdefault(name, []).append(value)
    tokens = float(np.mean([len(ids) for ids in reference.tokenizer(texts)["input_ids"]]))
    peak = {name: median(values) for name, values in peaks.items()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": options.rounds,
        "commit": machine.commit(),
        "machine": machine.describe(),
        "versions": machine.versions(),
        "tokens_per_text": round(tokens, 3),
        "sentence_transformers": {"threads": setting[0], "batch": setting[1], "tried": tried},
        "peak_gflops_float32": {name: round(value, 1) for name, value in peak.items()},
        "series": {
            name: _summary(each, tokens, max(peak.values()) * _gain(name.partition("/")[0]))
            for name, each in series.items()
        },
        "times_sentence_transformers": _ratios(series),
        **_quality(reference, encoders, texts[:_COMPARED], options),
    }


def _quality(
    model: SentenceTransformer,
    encoders: dict[str, PackedEncoder],
    texts: Sequence[str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Compare the vectors, and the order of graded products if the graded set is there."""
    print("quality …", file=sys.stderr, flush=True)

    def original(some: Sequence[str]) -> np.ndarray:
        return model.encode(list(some), normalize_embeddings=True)

    ours = {name: encoder.encode for name, encoder in encoders.items()}
    shared = Path(os.environ.get("RECSERVE_SHARED", "../shared"))
    graded = read_graded(shared, options.graded, options.seed)
    return {
        "fidelity": {name: fidelity(original, encode, texts) for name, encode in ours.items()},
        "graded": graded and ranking(original, ours, graded),
    }


def _gain(name: str) -> float:
    wide = "avx512f" in machine.describe()["cpu_features"]
    return _GAIN.get(name, 1) / (2 if name == "avx2" and wide else 1)


def _best_setting(
    model: SentenceTransformer, texts: Sequence[str]
) -> tuple[tuple[int, int], dict[str, float]]:
    """Return (threads, batch) with the most texts a second, and the rate of each setting."""
    rates = {}
    for threads, batch in _SETTINGS:
        torch.set_num_threads(threads)
        model.encode(texts[:batch], batch_size=batch)
        rates[(threads, batch)] = 1 / _sorted_calls(model, texts, (threads, batch))["wall_s"]
    best = max(rates, key=rates.__getitem__)
    return best, {f"{t} threads, {b} a batch": round(v, 1) for (t, b), v in rates.items()}


def _sorted_calls(
    model: SentenceTransformer, texts: Sequence[str], setting: tuple[int, int]
) -> dict[str, float]:
    rows = np.random.default_rng(time.monotonic_ns()).choice(len(texts), 512, replace=False)
    chosen = [texts[row] for row in rows]
    return _timed(lambda: model.encode(chosen, batch_size=setting[1]), len(chosen))


def _series(
    encode: Encode, texts: Sequence[str], batch: int, options: argparse.Namespace
) -> dict[str, float]:
    """Encode different texts in each call, call after call, for about `options.seconds`."""
    encode(texts[:batch])
    calls = []
    ends = time.perf_counter() + options.seconds
    start = int(time.monotonic_ns() // 1000 % (len(texts) // 2))
    while time.perf_counter() < ends:
        if start + batch > len(texts):
            start = 0
        chosen = texts[start : start + batch]
        calls.append(_timed(lambda chosen=chosen: encode(chosen), batch))
        start += batch
    return {
        "wall_s": sum(call["wall_s"] for call in calls) / len(calls),
        "cpu_s": sum(call["cpu_s"] for call in calls) / len(calls),
        "p50_call_ms": median(call["wall_s"] for call in calls) * batch * 1e3,
    }


def _timed(work: Callable[[], object], n: int) -> dict[str, float]:
    """Return the seconds of one text: wall time, and CPU time of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {
        "wall_s": (time.perf_counter() - wall) / n,
        "cpu_s": (time.process_time() - cpu) / n,
    }


def _add(series: dict[str, dict[str, list[float]]], name: str, figures: dict[str, float]) -> None:
    for figure, value in figures.items():
        series.setdefault(name, {}).setdefault(figure, []).append(value)


def _summary(figures: dict[str, list[float]], tokens: float, peak: float) -> dict[str, float]:
    """Return medians. Operations count as those of the float32 model on every runtime."""
    wall, cpu = median(figures["wall_s"]), median(figures["cpu_s"])
    speed = 2 * PRODUCTS_PER_TOKEN * tokens / wall / 1e9
    summary = {
        "texts_per_s": round(1 / wall, 1),
        "cpu_ms_per_text": round(cpu * 1e3, 3),
        "gflops": round(speed, 1),
        "percent_of_peak": round(100 * speed / peak, 1),
    }
    if "p50_call_ms" in figures:
        summary["p50_call_ms"] = round(median(figures["p50_call_ms"]), 3)
    return summary


def _ratios(series: dict[str, dict[str, list[float]]]) -> dict[str, float]:
    """Return how many times the texts a second of the peer; batch 1 against its batch 1."""
    walls = {name: median(each["wall_s"]) for name, each in series.items()}
    return {
        name: round(
            walls["sentence-transformers/" + ("1" if name.endswith("/1") else "sorted")] / wall, 2
        )
        for name, wall in walls.items()
    }


def _peaks() -> dict[str, float]:
    """Return the float32 Gflop/s that two libraries reach on matrix products alone."""
    rng = np.random.default_rng(7)
    peaks = {}
    for name, shapes in (("4096", ((4096, 4096),)), ("layers", SHAPES)):
        rows = 4096 if name == "4096" else 202  # as many tokens as 32 queries have
        pairs = [
            (rng.random((rows, k), np.float32), rng.random((k, n), np.float32)) for n, k in shapes
        ]
        work = sum(2 * rows * n * k for n, k in shapes)
        repeat = 1 if name == "4096" else 40
        for library, product in (("numpy", np.matmul), ("torch", _torch_product)):
            product(*pairs[0])
            start = time.perf_counter()
            for _ in range(repeat):
                for a, b in pairs:
                    product(a, b)
            peaks[f"{library} {name}"] = repeat * work / (time.perf_counter() - start) / 1e9
    return peaks


def _torch_product(a: np.ndarray, b: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(a) @ torch.from_numpy(b)


if __name__ == "__main__":
    main()
