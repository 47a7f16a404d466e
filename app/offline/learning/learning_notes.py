"""What a build says of its learning: figures of held-out examples, and lines to read."""

from collections.abc import Mapping

import numpy as np

from app.engine.scoring.modes import Mode
from app.offline.learning.examples import KINDS, Examples
from app.offline.learning.fit_sides import Concentrations, names_of
from app.offline.learning.fusion import Chosen


def metrics_of(
    examples: Mapping[Mode, Examples], chosen: Mapping[Mode, Chosen]
) -> dict[str, float]:
    """Return means over all queries of each mode: one whose target no source found counts 0."""
    metrics: dict[str, float] = {}
    for mode, each in chosen.items():
        lists = examples[mode]
        share = len(lists) / max(lists.n_queries, 1)
        metrics |= {
            f"{mode}_ndcg@10": float(each.ndcg.mean()) * share,
            f"{mode}_unlearned_ndcg@10": float(each.fixed_ndcg.mean()) * share,
            f"{mode}_candidate_recall": share,
            f"{mode}_examples": float(len(lists)),
        }
        for kind in () if mode == "history" else np.unique(each.kinds).tolist():
            asked = each.kinds == kind
            metrics |= {
                f"{mode}_{KINDS[kind]}_ndcg@10": float(each.ndcg[asked].mean()),
                f"{mode}_{KINDS[kind]}_unlearned_ndcg@10": float(each.fixed_ndcg[asked].mean()),
                f"{mode}_{KINDS[kind]}_held_out": float(np.count_nonzero(asked)),
            }
    if "history" in examples:
        metrics["shown"] = float(examples["history"].n_with_skipped)
    return metrics


def note_of_sides(concentrations: Concentrations) -> tuple[str, ...]:
    """Return the line that says which attributes and contexts tell what is taken."""
    names = names_of(concentrations)
    return (f"who and where: {', '.join(names) or 'nothing that says what is taken'}",)


def note_of(mode: Mode, chosen: Chosen) -> str:
    """Return the line that says which model of a mode was chosen, and why."""
    gain = chosen.gain
    if chosen.arrays is None or chosen.name == "fixed":
        return f"{mode}: the fixed order stays; no model was better beyond chance"
    by_kind = [
        f"{KINDS[kind]} {chosen.ndcg[chosen.kinds == kind].mean():.4f}, "
        f"{chosen.fixed_ndcg[chosen.kinds == kind].mean():.4f} in the fixed order"
        for kind in np.unique(chosen.kinds).tolist()
    ]
    return (
        f"{mode}: {chosen.name}; NDCG@10 of held-out examples: {'; '.join(by_kind)}; "
        f"gain of those that decided {gain.value:+.4f} ({gain.low:.4f} to {gain.high:.4f})"
    )
