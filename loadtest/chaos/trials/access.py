"""Trials of who gets in: roles, namespaces of keys, revocation, and what a cached value proves."""

import json
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import redis as redis_client

from app.serving.access.key_file import add_key, revoke_key
from app.serving.access.keys import ROLES, Role, new_key
from loadtest.chaos import catalogue
from loadtest.chaos.asking import Answer, Caller
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial
from loadtest.runners.services import Service, free_port

_NEEDED: Final = (
    (r"/(livez|readyz)", None),
    (r"/(admin|metrics).*", "admin"),
    (r"/(events|users|sessions|recommendations|why-not).*", "write"),
    (r"/items.*", "read or write"),
    (
        r"/(recommend|interpret|similar|shelves|popular|trending|newest|facets|catalogue|info).*",
        "read",
    ),
)
"""Paths and the role that they need, from the description and not from the code."""

_INTERNALS: Final = re.compile(r"Traceback|File \"|\.py\b|0x[0-9a-f]{6}")
_REQUESTS: Final = 10_000
_SHORT_REQUESTS: Final = 600
_ENOUGH: Final = 100
"""So many crossed answers show the fault; the trial need not go on."""
_REVOKED_S: Final = 1.0
_PATIENCE_S: Final = 20.0
_AT_ONCE: Final = 8
"""Connections at the same moment: both workers get some of them."""
_ROUNDS: Final = 5


@dataclass
class _Keys:
    """The file of keys of a trial, and callers with its keys."""

    rig: Rig
    sent: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def flags(self) -> tuple[str, str]:
        return "--api-keys-file", str(self.rig.folder / "keys.json")

    def add(self, name: str, role: Role, namespace: str = "") -> None:
        self.sent[name], key = new_key(role, name, time.time(), namespace=namespace)
        self.ids[name] = key.id
        add_key(self.rig.folder / "keys.json", key)

    def revoke(self, name: str) -> None:
        revoke_key(self.rig.folder / "keys.json", self.ids[name])

    def caller(self, port: int, name: str) -> Caller:
        return Caller(port, {"authorization": f"Bearer {self.sent[name]}"})


def _needed(method: str, path: str) -> str | None:
    for pattern, role in _NEEDED:
        if re.fullmatch(pattern, path):
            if role == "read or write":
                return "read" if method == "get" else "write"
            return role
    raise RuntimeError(f"the trial knows no role for {path}: add it")


def roles(rig: Rig) -> Measured:
    """Call every route with every role, with no key and with a wrong one."""
    keys = _Keys(rig)
    for role in ROLES:
        keys.add(role, role)
    service = rig.serve(*keys.flags)
    callers = {role: keys.caller(service.port, role) for role in ROLES}
    callers["nobody"] = Caller(service.port)
    forged = keys.sent["admin"][:-1] + ("A" if keys.sent["admin"][-1] != "A" else "B")
    callers["a forged key"] = Caller(service.port, {"authorization": f"Bearer {forged}"})
    paths = callers["admin"].call("GET", "/openapi.json").body["paths"]
    wrong, calls, told = list[str](), 0, 0
    for path, methods in paths.items():
        url = re.sub(r"\{\w+\}", "0" * 32, path)
        for method in methods:
            needed = _needed(method, path)
            for name, caller in callers.items():
                answer = caller.call(method.upper(), url)
                calls += 1
                told += bool(_INTERNALS.search(json.dumps(answer.body, default=str)))
                if _let_in(answer) != _may(name, needed) or answer.status == 500:
                    wrong.append(f"{name}: {method} {path} {answer.status}")
    for caller in callers.values():
        caller.close()
    first = f", first {wrong[0]}" if wrong else ""
    return Measured(
        not wrong and not told,
        f"{calls} calls of {len(paths)} paths: {len(wrong)} let in or refused wrongly{first}; "
        f"{told} answers tell internals",
    )


def _let_in(answer: Answer) -> bool:
    return answer.status not in {401, 403}


def _may(name: str, needed: str | None) -> bool:
    if needed is None:
        return True
    return name in ROLES and ROLES.index(name) >= ROLES.index(needed)  # type: ignore[arg-type]


@dataclass
class _World:
    """What the trial knows of the users of each namespace: what they took, and their answers."""

    taken: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    answers: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)

    def of(self, name: str, user: str) -> set[str]:
        return self.taken.setdefault((name, user), set())

    def check(self, what: str, seen: object, right: object) -> None:
        self.done[what] += 1
        if seen != right:
            self.wrong.append(f"{what}: {str(seen)[:60]} in place of {str(right)[:60]}")


def namespaces(rig: Rig) -> Measured:
    """Interleave requests of keys that mean the same user ids in different namespaces.

    Every answer is compared with what the trial knows: the items of the candidates that this user
    of this namespace has not taken. So an answer, a history or a cached entry of somebody else is
    seen, whichever way it took.
    """
    keys = _Keys(rig)
    for name, namespace in (("a", "shopA"), ("b", "shopB"), ("free", "")):
        keys.add(name, "write", namespace)
    service = rig.serve(*keys.flags, RECSERVE_KEEP_ANSWERS_HOURS="1")
    callers = {name: keys.caller(service.port, name) for name in ("a", "b", "free")}
    world, names = _World(answers={name: [] for name in callers}), list(callers)
    # Not those of the bundle, which the default namespace knows from the start.
    users = [f"visitor-{n}" for n in range(8)]
    for n in range(_SHORT_REQUESTS if rig.short else _REQUESTS):
        name, user = names[n % 3], rig.rng.choice(users)
        _act(rig, world, callers, name, user)
        if len(world.wrong) > _ENOUGH:
            break
    for caller in callers.values():
        caller.close()
    done = ", ".join(f"{count} {what}" for what, count in sorted(world.done.items()))
    first = f"; first {world.wrong[0]}" if world.wrong else ""
    return Measured(
        not world.wrong and world.done["cached answers"] > 0,
        f"{done}; {len(world.wrong)} crossed{first}",
    )


def _act(rig: Rig, world: _World, callers: dict[str, Caller], name: str, user: str) -> None:
    caller, draw = callers[name], rig.rng.random()
    if draw < 0.7:
        _recommend(rig, world, callers, name, user)
    elif draw < 0.85:
        item = catalogue.item_id(rig.rng.randrange(30))
        # All namespaces use the same ids of events, too.
        event = {"user_id": user, "item_id": item, "event_id": f"{user} {item}"}
        new = item not in world.of(name, user)
        accepted = caller.call("POST", "/events", [event]).body["accepted"]
        world.check("events", accepted, int(new))
        world.of(name, user).add(item)
    elif draw < 0.93:
        shown = caller.call("GET", f"/users/{user}").body
        world.check("histories", set(shown.get("history", ())), world.of(name, user))
    elif draw < 0.97:
        other = rig.rng.choice([each for each in callers if world.answers[each]] or [name])
        for answer_id, whose in world.answers[other][-1:]:
            kept = caller.call("GET", f"/recommendations/{answer_id}")
            seen = kept.body["request"]["user_id"] if kept.status == 200 else None
            world.check("kept answers", seen, whose if other == name else None)
    else:
        # An undone event may be sent again with its id, and so may those of a deleted user.
        gone = caller.call("DELETE", f"/users/{user}").body["deleted"]["store"]
        world.check("deletions", gone, len(world.of(name, user)))
        world.of(name, user).clear()


def _recommend(rig: Rig, world: _World, callers: dict[str, Caller], name: str, user: str) -> None:
    first = 10 * rig.rng.randrange(3)
    candidates = [catalogue.item_id(n) for n in range(first, first + 10)]
    wanted: dict[str, Any] = {"user_id": user, "candidates": candidates, "repeat": False}
    if rig.rng.random() < 0.2:
        batch = {"requests": [{**wanted, "budget_ms": 10_000}]}
        answer = callers[name].call("POST", "/recommend/batch", batch).body["results"][0]
    else:
        answer = callers[name].recommend(**wanted).body
        world.answers[name].append((answer["recommendation_id"], user))
    seen = {item["id"] for item in answer["items"]}
    world.check("answers", seen, set(candidates) - world.of(name, user))
    world.done["cached answers"] += answer["cache"] == "hit"


def revocation(rig: Rig) -> Measured:
    """Revoke a key while its holder asks two workers at once; then neither may let it in."""
    keys = _Keys(rig)
    for name in ("first", "second"):
        keys.add(name, "read")
    service = rig.serve(*keys.flags, "--workers", "2")
    with ThreadPoolExecutor(_AT_ONCE) as pool:

        def asked(name: str) -> set[int]:
            return set(pool.map(lambda _: _asked(keys, service.port, name), range(_AT_ONCE)))

        until = time.monotonic() + _PATIENCE_S
        while len(_workers_that_said(service, 200)) < 2 and time.monotonic() < until:
            asked("first")
        let_in_by = len(_workers_that_said(service, 200))
        keys.revoke("first")
        began = last = time.monotonic()
        rounds = 0
        while rounds < _ROUNDS or len(_workers_that_said(service, 401)) < 2:
            rounds += 1
            if asked("first") != {401}:
                rounds, last = 0, time.monotonic()
            if time.monotonic() - began > _PATIENCE_S:
                break
        other = asked("second")
    refused_by = len(_workers_that_said(service, 401)) if rounds >= _ROUNDS else 0
    seconds = last - began
    in_time = rig.short or seconds <= _REVOKED_S
    return Measured(
        (let_in_by, refused_by) == (2, 2) and in_time and other == {200},
        f"let in by {let_in_by} workers before, refused by {refused_by} for good {seconds:.2f} s "
        f"after its revocation; another key gets {sorted(other)}",
    )


def _workers_that_said(service: Service, status: int) -> set[str]:
    """Return the ids of the processes whose log has an answer with a status."""
    line = rf"route=/recommend .*?status={status} .*?pid=(\d+)"
    return set(re.findall(line, service.log.read_text(errors="replace")))


def _asked(keys: _Keys, port: int, name: str) -> int:
    caller = keys.caller(port, name)
    try:
        return caller.recommend(query="chair").status
    finally:
        caller.close()


def swapped_entries(rig: Rig) -> Measured:
    """Swap the values of the shared cache among its keys: no answer may be that of another."""
    redis = rig.redis()
    service = rig.serve("--cache-url", redis.url, "--cache-local-bytes", "0")
    caller, queries = Caller(service.port), catalogue.queries(30)
    asked = [{"query": query, "user_id": catalogue.user_id(n)} for n, query in enumerate(queries)]
    right = [_tail(caller.recommend(**fields)) for fields in asked]
    store = redis_client.Redis(port=redis.port)
    _wait_for(store, len(asked))
    hits = sum(caller.recommend(**fields).body["cache"] == "hit" for fields in asked)
    names = sorted(store.scan_iter("recserve:*"))
    values = store.mget(names)
    for name, value in zip(names, values[1:] + values[:1], strict=True):
        store.set(name, value)
    answers = [caller.recommend(**fields) for fields in asked]
    caller.close()
    taken = sum(answer.body["cache"] == "hit" for answer in answers)
    wrong = sum(_tail(one) != other for one, other in zip(answers, right, strict=True))
    return Measured(
        hits > 0 and not taken and not wrong,
        f"{hits} of {len(asked)} answered from the cache before; of {len(names)} swapped values "
        f"{taken} were taken for an answer, {wrong} answers differ",
    )


def _tail(answer: Answer) -> list[str]:
    return [item["id"] for item in answer.body["items"]]


def _wait_for(store: "redis_client.Redis[bytes]", values: int) -> None:
    """Return when the service has written so many; it writes after it has answered."""
    until = time.monotonic() + _PATIENCE_S
    while len(list(store.scan_iter("recserve:*"))) < values and time.monotonic() < until:
        time.sleep(0.02)


def admin_port(rig: Rig) -> Measured:
    """Ask two workers for what is for operators, on the port for that and on the other one."""
    port = free_port()
    service = rig.serve("--admin-port", str(port), "--workers", "2")
    paths = ("/metrics", "/admin/rules", "/admin/scenarios", "/admin/doctor", "/v1/metrics/")
    statuses: dict[int, Counter[int]] = {service.port: Counter(), port: Counter()}
    for asked, found in statuses.items():
        for path in paths * 8:
            caller = Caller(asked)
            found[caller.call("GET", path).status] += 1
            caller.close()
    calls = 8 * len(paths)
    return Measured(
        statuses == {service.port: {404: calls}, port: {200: calls}},
        f"statuses on the port of all: {dict(statuses[service.port])}, on the port of operators: "
        f"{dict(statuses[port])}",
    )


TRIALS: Final = (
    Trial(
        name="access.roles",
        requirements=(40,),
        promise="every route asks for its role, and errors tell no internals",
        pass_line="no call is let in or refused wrongly; no 500; no trace, path or address",
        run=roles,
        faults=("people_are_public",),
        short=True,
    ),
    Trial(
        name="access.namespaces",
        requirements=(18, 21),
        promise="keys of two namespaces with the same user ids share nothing of their users",
        pass_line="10,000 interleaved requests: each answer, history and kept answer is right",
        run=namespaces,
        faults=("crossed_namespace", "cache_for_all_namespaces"),
        short=True,
    ),
    Trial(
        name="access.revocation",
        requirements=(40,),
        promise="a revoked key is refused by all workers within a second",
        pass_line="≤ 1 s; other keys stay valid",
        run=revocation,
        faults=("keys_are_read_once",),
    ),
    Trial(
        name="access.admin_port",
        requirements=(40,),
        promise="with a port for operators, `/admin` and `/metrics` answer there and nowhere else",
        pass_line="404 on the one port, 200 on the other, for both workers",
        run=admin_port,
        faults=("operators_on_every_port",),
    ),
    Trial(
        name="access.swapped_entries",
        requirements=(19,),
        promise="a cached value that belongs to another request is never taken for an answer",
        pass_line="no swapped value is taken, no answer differs",
        run=swapped_entries,
        faults=("unproven_cache_values",),
    ),
)
