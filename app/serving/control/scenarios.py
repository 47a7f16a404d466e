"""Scenarios: fields of requests under a name, which a request takes as its defaults.

    {"scenario": "home", "user_id": "7"}  ▸  the fields of `home`, and on top of them those sent

What a request sends beats its scenario; filters are both demanded. A scenario is checked when it is
put: by the rules of a request, and against the catalogue.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core.control_port import ControlEntry
from app.core.errors import InvalidRequestError
from app.domain.request import RecommendRequest
from app.domain.request_parts import MAX_K

MOST_SCENARIOS: Final = 200
OWN_FIELDS: Final = ("scenario", "user_id", "session_id", "cursor")
"""Fields that belong to one request, and to no scenario."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario in force. `values`: by field, as a validated request has them."""

    entry: ControlEntry
    values: Mapping[str, Any]

    @classmethod
    def of(cls, entry: ControlEntry) -> "Scenario":
        """Read a stored scenario. Raises `ValueError`: it cannot be read."""
        ask = RecommendRequest.model_validate_json(entry.text)
        return cls(entry, {name: getattr(ask, name) for name in ask.model_fields_set})

    def completed(self, ask: RecommendRequest) -> RecommendRequest:
        """Return a request with the fields that it does not send. Raises `InvalidRequestError`."""
        sent = ask.model_fields_set
        update = {name: value for name, value in self.values.items() if name not in sent}
        update["scenario"] = self.entry.name
        own_filter = self.values.get("filter")
        if own_filter and ask.filter:
            update["filter"] = {"$and": [own_filter, ask.filter]}
        elif own_filter:
            update["filter"] = own_filter
        whole = ask.model_copy(update=update)
        if whole.candidates is None and whole.k is not None and whole.k > MAX_K:
            raise InvalidRequestError(f"k may be at most {MAX_K} without candidates", field="k")
        return whole


class Scenarios:
    """The scenarios in force. All methods belong to one event loop."""

    def __init__(self) -> None:
        """Have none yet."""
        self._by_name: dict[str, Scenario] = {}

    def __repr__(self) -> str:
        return f"<Scenarios: {', '.join(self._by_name)}>"

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a scenario of this name."""
        return name in self._by_name

    async def take(self, entries: Sequence[ControlEntry]) -> None:
        """Use exactly these scenarios; others have the event loop after each that is read."""
        found: dict[str, Scenario] = {}
        for entry in entries:
            known = self._by_name.get(entry.name)
            if known is not None and known.entry.version == entry.version:
                found[entry.name] = known
                continue
            try:
                found[entry.name] = Scenario.of(entry)
            except ValueError:
                _log.warning("the scenario %s cannot be read; it is left out", entry.name)
            await asyncio.sleep(0)
        self._by_name = found

    def entries(self) -> list[ControlEntry]:
        """Return all scenarios, the oldest first."""
        return [scenario.entry for scenario in self._by_name.values()]

    def completed(self, ask: RecommendRequest, default: str | None = None) -> RecommendRequest:
        """Return a request with the fields of its scenario.

        `default`: the scenario of a request that names none.

        Raises:
            InvalidRequestError: there is no such scenario; the message names those there are.
        """
        name = ask.scenario or default
        if name is None:
            return ask
        scenario = self._by_name.get(name)
        if scenario is None:
            there = ", ".join(sorted(self._by_name)) or "none"
            raise InvalidRequestError(
                f"there is no such scenario; there are: {there}", field="scenario"
            )
        return scenario.completed(ask)
