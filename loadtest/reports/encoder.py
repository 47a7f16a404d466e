"""Writes a result of `loadtest.scenarios.encoder` into docs/benchmarks.md and draws its picture.

python -m loadtest.reports.encoder loadtest/results/encoder/RESULT.json
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.reports import pictures
from loadtest.reports.page import PAGE, measured_on, notes, put

NAMES = {
    "sentence-transformers": "`SentenceTransformer.encode`",
    "amx": "recserve, kernel by AMX",
    "vnni": "recserve, kernel by VNNI",
    "avx2": "recserve, kernel by AVX2",
    "kernel": "recserve, kernel",  # in results from before the kernel had other versions than AVX2
    "onnxruntime": "recserve, ONNX Runtime",
}

Document = Mapping[str, Any]


def table(document: Document) -> str:
    """Return the series as a Markdown table."""
    lines = [
        "| | texts/s | times | CPU ms a text | % of peak | ms a call, p50 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in document["series"].items():
        who, _, batch = name.partition("/")
        how = "512 a call, sorted by length" if batch == "sorted" else f"batch {batch}"
        call = f"{row['p50_call_ms']:.2f}" if "p50_call_ms" in row else ""
        lines.append(
            f"| {NAMES[who]}, {how} | {row['texts_per_s']:.0f} "
            f"| {document['times_sentence_transformers'][name]:.1f} "
            f"| {row['cpu_ms_per_text']:.2f} | {row['percent_of_peak']:.0f} | {call} |"
        )
    return "\n".join(lines)


def section(document: Document) -> str:
    """Return the table, the machine, and how near the vectors are."""
    peer = document["sentence_transformers"]
    peaks = ", ".join(f"{name}: {v:.0f}" for name, v in document["peak_gflops_float32"].items())
    fidelity = document["fidelity"]
    n_texts = next(iter(fidelity.values()))["texts"]
    below = notes(
        f"Median of {document['rounds']} rounds {measured_on(document)}; "
        f"{document['tokens_per_text']:.1f} tokens a text.",
        f"The peer runs at the best of its settings: {peer['threads']} threads, "
        f"{peer['batch']} texts a batch.",
        f"Peak of float32, in Gflop/s: {peaks}.",
        *(
            f"Cosine to float32 over {n_texts:,} texts, {NAMES[name]}: "
            f"mean {row['cosine_mean']:.6f}, lowest {row['cosine_min']:.6f}, "
            f"batched against single at most {row['batched_against_single']:.0e}."
            for name, row in fidelity.items()
        ),
        _kept(document.get("graded")),
    )
    return f"""![Texts a second by batch](pictures/encoder.svg)

{table(document)}

{below}"""


def _kept(graded: Document | None) -> str:
    """Return how much NDCG@10 of the reference each encoder keeps, if it was measured."""
    if not graded:
        return "NDCG@10 kept on the graded set: not measured."
    kept = "; ".join(f"{NAMES[name]}: {share:.2%}" for name, share in graded["kept"].items())
    original = graded["ndcg@10"]["sentence-transformers"]
    return (
        f"NDCG@10 kept on the graded set, {graded['queries']} of {graded['of_queries']} queries "
        f"and {graded['titles']:,} titles (float32: {original:.4f}). {kept}."
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page and the picture."""
    parser = argparse.ArgumentParser("python -m loadtest.reports.encoder", description=__doc__)
    parser.add_argument("result", type=Path)
    document = json.loads(parser.parse_args(argv).result.read_text())
    pictures.write({"encoder.svg": pictures.encoder(document, NAMES)})
    text = put(PAGE.read_text(encoding="utf-8"), "encoder", section(document))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
