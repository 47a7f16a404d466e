"""The facts behind an explanation.

A fact is looked up in the data, and never inferred from a contribution: which of the user's items
lie near, which words stand where, what was asked for and is met.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from app.core.explanation import Group
from app.core.types import Codes, Matrix, Rows, Vector
from app.engine.arranging.posed import Posed
from app.engine.catalogue.side_values import SideValues
from app.engine.explaining.found_words import QueryWords
from app.engine.explaining.met_demands import clauses_of, met_spans
from app.engine.explaining.met_order import order_fact
from app.engine.explaining.nearest_items import ids_of, nearest_items
from app.engine.parts import EngineParts

_NEARNESS: Final = frozenset({"taste", "behaviour", "intent"})
_SHARE_DIGITS: Final = 4

Evidence: TypeAlias = dict[str, Any]
"""Kind of fact -> facts, as docs/explanations.md lists them."""


class FactFinder:
    """Looks up the facts of answers over one catalogue. One thread at a time uses it."""

    def __init__(self) -> None:
        self._signal: Vector | None = None
        self._ascending: Vector = np.empty(0, np.float32)

    def of(
        self,
        parts: EngineParts,
        posed: Posed,
        rows: Rows,
        contributions: Sequence[Mapping[Group, float]],
    ) -> list[Evidence]:
        """Return the evidence of int64[m] rows, each with its contributions."""
        found: list[Evidence] = [{} for _ in rows]
        asked, request = posed.asked, posed.resolved
        groups = contributions[0].keys() if contributions else frozenset()
        if not _NEARNESS.isdisjoint(groups):
            for each, items in zip(found, nearest_items(parts, posed, rows), strict=True):
                each["items"] = ids_of(parts, items)
        words = QueryWords(request.query, parts.catalogue) if request.query else None
        blocks = [] if asked.rules is None else clauses_of(asked.rules.blocks)
        clauses = [clause for clause in clauses_of(asked.own_filter) if clause not in blocks]
        lifted = _lifts(parts, request.sides, rows) if "context" in groups else None
        for n, (each, row) in enumerate(zip(found, rows.tolist(), strict=True)):
            if words is not None:
                having = words.fields_having(row)
                each["words"] = [{"word": w, "fields": fields} for w, fields in having.items()]
            each["filter"] = clauses
            each["intent"] = met_spans(parts, asked.intent, asked.request.query, row)
            each["order"] = order_fact(parts, posed, row)
            if lifted is not None:
                entries, lifts = lifted
                each["context"] = [
                    {"name": name, "value": value}
                    for (name, value), lift in zip(entries, lifts[:, n], strict=True)
                    if lift > 0.0
                ]
            is_by_popularity = each["order"] is not None and each["order"]["sort"] == "popular"
            if is_by_popularity or contributions[n].get("popularity", 0.0) > 0.0:
                each["popularity"] = self._popularity(parts, row)
            share = float(parts.signals["freshness"][row])
            if contributions[n].get("freshness", 0.0) > 0.0 and share > 0.0:
                each["freshness"] = {"newer_than": round(share, _SHARE_DIGITS)}
        return [{name: fact for name, fact in each.items() if fact} for each in found]

    def _popularity(self, parts: EngineParts, row: int) -> dict[str, int]:
        """Return the place of a row by popularity, among all items that there are."""
        signal = parts.signals["popularity"]
        if signal is not self._signal:
            # Sorted once: to count the more popular ones takes long in a large catalogue.
            self._signal, self._ascending = signal, np.sort(signal[: parts.catalogue.n_used])
        above = len(self._ascending) - int(
            np.searchsorted(self._ascending, signal[row], side="right")
        )
        return {"rank": above + 1, "of": max(len(self._ascending), parts.catalogue.n_used)}


def _lifts(
    parts: EngineParts, codes: Codes, rows: Rows
) -> tuple[Sequence[tuple[str, str]], Matrix] | None:
    """Return the names and values of who asks and where, and float32[s, m], the lifts of rows."""
    if parts.learned is None or parts.learned.behaviour.sides is None:
        return None
    sides: SideValues = parts.learned.behaviour.sides
    entries = (*sides.attributes.entries, *sides.context.entries)
    lifts = np.zeros((len(codes), len(rows)), np.float32)
    for line, code in enumerate(codes.tolist()):
        part = slice(*sides.offsets[code : code + 2].tolist())
        for column, row in enumerate(rows.tolist()):
            lifts[line, column] = sides.lifts[part][sides.rows[part] == row].sum()
    return [entries[code] for code in codes.tolist()], lifts
