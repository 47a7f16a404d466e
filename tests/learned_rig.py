"""A bundle learned from walks on a ring, and an engine over it without a model."""

from dataclasses import replace

from app.bundle.reader import load_arrays, load_vectors
from app.engine import open as opening
from app.engine.catalogue.catalogue import Catalogue
from app.engine.engine import RankEngine
from app.engine.open import columns_of
from app.engine.parts import TextParts, assemble
from app.engine.retrieval.index import FlatIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.offline.build import build
from app.offline.input.recipe import Recipe
from app.testing.encoder import HashEncoder
from tests.bundles import fake_encoder, write_jsonl
from tests.planted import ring_walks

N_RING, N_DULL = 40, 400
"""Items on the ring, and items that nobody takes: more of them than the sources bring."""

N_ITEMS = N_RING + N_DULL


def ring_name(at):
    return f"r{at % N_RING}"


def write_walks(path, step):
    """Walks on the ring in one direction as an event log; `r0` is liked by many on top."""
    walks = ring_walks(N_RING, 600, step=step)
    rows = [
        {"user_id": user, "item_id": ring_name(at), "timestamp": user * 1000 + place}
        for user, walk in enumerate(walks)
        for place, at in enumerate(walk)
    ]
    rows += [{"user_id": f"fan{n}", "item_id": "r0", "timestamp": n} for n in range(200)]
    return write_jsonl(path, rows)


def build_ring(folder, out):
    """Build the bundle `out`; texts say nothing of the ring."""
    names = [ring_name(at) for at in range(N_RING)] + [f"dull{n}" for n in range(N_DULL)]
    items = [
        {"id": name, "title": f"thing {name}", "categories": ["red" if n % 3 else "blue"]}
        for n, name in enumerate(names)
    ]
    catalogue = write_jsonl(folder / "items.jsonl", items)
    return build(catalogue, write_walks(folder / "forth.jsonl", 1), Recipe(), out, fake_encoder)


def engine_over(bundle):
    """Open a bundle as `open_engine` does, but with the fake encoder that it was built by."""
    vectors, manifest = load_vectors(bundle), bundle.manifest
    words = LexicalIndex(load_arrays(bundle, "words.safetensors"))
    parts = assemble(
        Catalogue(columns_of(bundle), manifest.attributes),
        HashEncoder(manifest.encoder.dim),
        TextParts(vectors, FlatIndex(vectors), words, opening.render_of(bundle)),
        load_arrays(bundle, "signals.safetensors"),
        learned=opening.learned_of(bundle),
        networks=opening.networks_of(bundle),
        goals=opening.goals_of(bundle),
    )
    parts = replace(parts, roles=manifest.roles)
    return RankEngine(parts, opening.info_of(bundle))
