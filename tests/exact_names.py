"""Counts how often names out of the texts of a bundle bring the items that hold them.

    python -m tests.exact_names models/NAME

It asks the bundle as it is served, and with the fixed blend, for the names that the protocol
`search` would draw, with three seeds. It prints the table of docs/accuracy.md.
"""

import sys
from pathlib import Path

from app.bundle.reader import open_bundle
from app.engine.open import engine_of
from app.evaluation.text_names import BundleTexts, drawn_names, names_found

SEEDS = (0, 1, 2)


def main(path: Path) -> None:
    """Ask and print."""
    bundle = open_bundle(path)
    texts = BundleTexts(bundle)
    engines = {"as served": engine_of(bundle, 1), "fixed blend": engine_of(bundle, 1, modes=set())}
    print(f"| | {' | '.join(f'seed {seed}' for seed in SEEDS)} |\n|---|{'---|' * len(SEEDS)}")
    for name, engine in engines.items():
        cells = []
        for seed in SEEDS:
            share = names_found(engine, texts, drawn_names(texts, seed)).document(seed)["share"]
            cells.append(f"{share['value']:.3f} [{share['low']:.3f} {share['high']:.3f}]")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
