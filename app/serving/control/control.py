"""The rules and scenarios that are in force, the same in all replicas.

The store is durable and shared; each process has a copy in memory, and requests read only that. A
change is in force in the process that took it once the store has it. `watch` looks several times a
second for changes of others. Rules begin and end on time: the book of the rules says when the next
one does, and the first request behind that moment gets another book. If the store cannot be read,
what was known last stays in force.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from app.core.control_port import ControlEntry, ControlStore
from app.core.errors import AppError, NotFoundError
from app.core.ports import Engine
from app.core.telemetry import Metrics
from app.domain.rule import Rule
from app.serving.control.checking import ControlWarning
from app.serving.control.rules import Rules
from app.serving.control.scenarios import Scenarios

_log = logging.getLogger(__name__)


class Control:
    """What operators have set, in this process. All methods belong to one event loop.

    Attributes:
        rules, scenarios: those in force.
        number: of the newest change that is in force here.
    """

    def __init__(
        self,
        store: ControlStore,
        engine: Engine,
        metrics: Metrics,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Know nothing yet.

        Args:
            store: what all replicas share.
            engine: knows the catalogue.
            metrics: where failures are counted.
            now: unix seconds.
        """
        self._store, self._metrics, self._now = store, metrics, now
        self._lock = asyncio.Lock()
        self.rules, self.scenarios = Rules(engine, now), Scenarios()
        self.number = 0

    def __repr__(self) -> str:
        return f"<Control at {self.number}, {self.rules!r}, {self.scenarios!r}>"

    async def open(self) -> None:
        """Use what was set in earlier runs; `watch` does it if the store cannot be read now."""
        await self._try_to_catch_up()

    async def watch(
        self, interval_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Look for changes of other processes every `interval_s` seconds. Runs until cancelled."""
        while True:
            await sleep(interval_s)
            await self._try_to_catch_up()

    async def catch_up(self) -> None:
        """Use what the store has, for the bundle that serves. Raises `StoreError`."""
        async with self._lock:
            if await self._store.number() == self.number:
                await self.rules.take_bundle()
                return
            state = await self._store.read()
            await self.rules.take([entry for entry in state.entries if entry.kind == "rule"])
            await self.scenarios.take(
                [entry for entry in state.entries if entry.kind == "scenario"]
            )
            self.number = state.number

    async def check_rules(self, rules: Sequence[Rule], where: str = "") -> list[ControlWarning]:
        """Check rules together with those in force; return what looks wrong. See `Rules.check`."""
        warnings = await self.rules.check(rules, where)
        for position, rule in enumerate(rules):
            if rule.scenario is not None and rule.scenario not in self.scenarios:
                message = "there is no such scenario yet"
                field = f"{where}.{position}.scenario" if where else "scenario"
                warnings.append(ControlWarning(rule.id, message, field))
        return warnings

    async def put_rules(self, rules: Sequence[Rule], where: str = "") -> list[ControlWarning]:
        """Store rules, all or none, and use them from now on; return what looks wrong.

        Raises:
            InvalidRequestError: as `Rules.check`.
            StoreError, OverloadedError: they could not be stored.
        """
        await self.catch_up()
        warnings = await self.check_rules(rules, where)
        await self._store.put("rule", [(rule.id, rule.text()) for rule in rules], self._now())
        await self._try_to_catch_up()
        return warnings

    async def delete_rules(self, rule_id: str | None) -> int:
        """Delete a rule, None = all; return how many were deleted.

        Raises:
            NotFoundError: there is no such rule.
            StoreError, OverloadedError: it could not be deleted.
        """
        gone = await self._store.delete("rule", rule_id)
        await self._try_to_catch_up()
        if rule_id is not None and not gone:
            raise NotFoundError("there is no such rule", field="rule_id")
        return gone

    async def put_scenarios(self, texts: Sequence[tuple[str, str]]) -> tuple[ControlEntry, ...]:
        """Store checked scenarios, all or none, as (name, JSON text), and use them from now on.

        Raises:
            StoreError, OverloadedError: they could not be stored.
        """
        put = await self._store.put("scenario", texts, self._now())
        await self._try_to_catch_up()
        return put

    async def delete_scenario(self, name: str) -> None:
        """Delete a scenario with all its versions.

        Raises:
            NotFoundError: there is no such scenario.
            StoreError, OverloadedError: it could not be deleted.
        """
        gone = await self._store.delete("scenario", name)
        await self._try_to_catch_up()
        if not gone:
            raise NotFoundError("there is no such scenario", field="name")

    async def versions(self, name: str) -> tuple[ControlEntry, ...]:
        """Return the kept versions of a scenario, newest first.

        Raises:
            NotFoundError: there is no such scenario.
            StoreError: the store cannot be read.
        """
        found = await self._store.versions("scenario", name)
        if not found:
            raise NotFoundError("there is no such scenario", field="name")
        return found

    async def aclose(self) -> None:
        """Close the store. Idempotent."""
        await self._store.aclose()

    async def _try_to_catch_up(self) -> None:
        try:
            await self.catch_up()
        except AppError as error:
            self._metrics.control_read_errors.inc()
            _log.warning("rules and scenarios may be behind: %s", error.message)
        except Exception:  # noqa: BLE001 - go on, or no change would come into force any more
            self._metrics.control_read_errors.inc()
            _log.exception("rules and scenarios could not be read")
