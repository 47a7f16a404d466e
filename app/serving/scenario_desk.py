"""Takes scenarios of operators: checked as a request that sends these fields, then stored.

What a scenario does to requests is in `app.serving.control.scenarios`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from app.core.caller import Caller
from app.core.control_port import ControlEntry
from app.core.errors import InvalidRequestError, NotFoundError
from app.core.ports import Engine
from app.domain.request import RecommendRequest
from app.serving.control.checking import ControlWarning
from app.serving.control.control import Control
from app.serving.control.scenarios import MOST_SCENARIOS, OWN_FIELDS
from app.serving.request_plan import Planner

_ALWAYS: Final = float("inf")


class ScenarioDesk:
    """Checks and stores scenarios. All methods belong to one event loop."""

    def __init__(self, control: Control, planner: Planner, engine: Engine) -> None:
        """Store with `control` what `planner` can plan, for the catalogue of `engine`."""
        self._control, self._planner, self._engine = control, planner, engine

    async def put(
        self, scenarios: Mapping[str, Mapping[str, Any]], where: str = ""
    ) -> tuple[tuple[ControlEntry, ...], list[ControlWarning]]:
        """Store scenarios, all or none, and use them from now on.

        Args:
            scenarios: name -> fields of a request, as JSON has them.
            where: the name of the object that has them in what was sent; "" = it was one.

        Returns:
            The stored entries, and what looks wrong.

        Raises:
            InvalidRequestError: one is no valid request, or does not fit the catalogue; or there
                would be too many.
            StoreError, OverloadedError: they could not be stored.
        """
        await self._control.catch_up()
        warnings: list[ControlWarning] = []
        texts: list[tuple[str, str]] = []
        for name, fields in scenarios.items():
            warnings += await self._check(name, fields, f"{where}.{name}." if where else "")
            texts.append((name, orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()))
        known = {entry.name for entry in self._control.scenarios.entries()}
        if len(known.union(scenarios)) > MOST_SCENARIOS:
            message = f"there may be at most {MOST_SCENARIOS} scenarios"
            raise InvalidRequestError(message, field=where or None)
        return await self._control.put_scenarios(texts), warnings

    async def put_back(self, name: str, version: int) -> tuple[ControlEntry, list[ControlWarning]]:
        """Store an older version of a scenario as the newest one.

        Raises:
            NotFoundError: there is no such scenario, or its version is not kept.
            Others as `put`: it may not fit the catalogue any more.
        """
        entry = version_of(await self._control.versions(name), version)
        (put,), warnings = await self.put({name: orjson.loads(entry.text)})
        return put, warnings

    async def _check(
        self, name: str, fields: Mapping[str, Any], where: str
    ) -> list[ControlWarning]:
        for own in OWN_FIELDS:
            if own in fields:
                message = "this belongs to one request, and to no scenario"
                raise InvalidRequestError(message, field=f"{where}{own}")
        await asyncio.sleep(0)  # others have the event loop before each scenario
        ask = RecommendRequest.model_validate_json(orjson.dumps(fields))
        try:
            plan = await self._planner.plan(ask, _ALWAYS, Caller())
        except InvalidRequestError as error:
            field = None if error.field is None else f"{where}{error.field}"
            raise InvalidRequestError(error.message, field=field) from error
        return [
            ControlWarning(name, f"the catalogue has no item {item!r}", where.removesuffix("."))
            for item in dict.fromkeys((*plan.request.named, *ask.exclude))
            if not self._engine.contains(item)
        ]


def version_of(versions: Sequence[ControlEntry], version: int) -> ControlEntry:
    """Return one of the kept versions of a scenario. Raises `NotFoundError`."""
    for entry in versions:
        if entry.version == version:
            return entry
    there = ", ".join(str(entry.version) for entry in versions[:10])
    raise NotFoundError(f"this version is not kept; there are: {there}", field="version")
