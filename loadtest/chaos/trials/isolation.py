"""Trials of parts that fail: the others go on, and the answer says what it lacks."""

import contextlib
import http.client
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

from loadtest.chaos import catalogue
from loadtest.chaos.asking import PATIENT_MS, Answer, Caller, at_once
from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial
from loadtest.runners.services import Service

_EACH: Final = 8
_PARTS: Final = {
    "encoderfault": "encoder",
    "sourcefault": "source:meaning",
    "scorerfault": "rerank",
}
"""The word of `loadtest.chaos.troubles.failing_parts` -> the name of the part in `degraded`."""


def poison(rig: Rig) -> Measured:
    """Send 16 requests at once, one of which no pass survives."""
    service = rig.serve(under=["failing_parts"])
    queries = catalogue.queries(15)
    asks = [{"query": q, "budget_ms": PATIENT_MS} for q in (*queries[:7], "poison", *queries[7:])]
    # As one batch, so that they share a pass.
    caller = Caller(service.port)
    results = caller.call("POST", "/recommend/batch", {"requests": asks}).body["results"]
    whole = [n for n, result in enumerate(results) if result.get("items")]
    failed = results[7].get("error", {}).get("code")
    ready = caller.call("GET", "/readyz").status
    caller.close()
    return Measured(
        len(whole) == 15 and failed == "engine_failed" and ready == 200,
        f"16 in one pass, 1 of them poison: {len(whole)} answered, the poison got {failed}, "
        f"/readyz {ready}",
    )


def parts(rig: Rig) -> Measured:
    """Ask, all at once, queries on which the encoder, a source or the scorer fails, and others."""
    service = rig.serve(under=["failing_parts"])
    words = [*_PARTS, "well"]
    queries = [f"{q} {words[n % 4]}" for n, q in enumerate(catalogue.queries(4 * _EACH))]
    answers = at_once(service.port, [{"query": q, "budget_ms": PATIENT_MS} for q in queries])
    errors = sum(answer.status >= 500 for answer in answers)
    right = sum(
        _says(answer, _PARTS.get(words[n % 4]))
        for n, answer in enumerate(answers)
        if answer.status == 200
    )
    counted = _degraded_counts(service)
    metric = counted == Counter(dict.fromkeys(_PARTS.values(), _EACH))
    return Measured(
        not errors and right == len(answers) and metric,
        f"{len(answers)} requests, {3 * _EACH} of them with a failing part: {errors} with 5xx, "
        f"{right} say exactly what they lack in body and header; metric: {dict(counted)}",
    )


def _says(answer: Answer, part: str | None) -> bool:
    """Whether an answer has items and names a part, or none, in its body and its header."""
    named = answer.body["degraded"]
    header = answer.headers.get("x-degraded")
    expected = [] if part is None else [part]
    return bool(answer.body["items"]) and named == expected and header == part


def _degraded_counts(service: Service) -> Counter[str]:
    caller = Caller(service.port)
    text = caller.call("GET", "/metrics").body.decode()
    caller.close()
    rows = re.findall(r'^recserve_degraded_total\{reason="(\S+)"\} (\S+)$', text, re.MULTILINE)
    return Counter({reason: int(float(value)) for reason, value in rows if float(value)})


def _event(number: int, *, size: int = 10) -> dict[str, str]:
    item = catalogue.item_id(number % catalogue.N_ITEMS)
    filled = {"event_id": f"e{number}", "item_id": item, "user_id": catalogue.user_id(number % 5)}
    return {**filled, "query": "q" * size}


def _acknowledged(caller: Caller, numbers: range, *, size: int = 10) -> tuple[int, set[str]]:
    """Send events in one request; return the status, and the ids that were acknowledged."""
    events = [_event(n, size=size) for n in numbers]
    answer = caller.call("POST", "/events", events)
    return answer.status, {e["event_id"] for e in events} if answer.status == 200 else set()


def _stored(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as store:
        return {row[0] for row in store.execute("SELECT id FROM events")}


def removed(rig: Rig) -> Measured:
    """Remove the store file under the running service, put it back, and look what is stored."""
    service = rig.serve()
    path, away = rig.folder / "data" / "store.sqlite", rig.folder / "away.sqlite"
    caller, statuses = Caller(service.port), []
    status, kept = _acknowledged(caller, range(10))
    statuses.append(status)
    path.rename(away)
    path.touch()
    status, more = _acknowledged(caller, range(10, 20))
    answered = caller.recommend(query="oak desk", user_id=catalogue.user_id(1)).status
    statuses.append(status)
    kept |= more
    path.unlink()
    away.rename(path)
    status, more = _acknowledged(caller, range(20, 30))
    statuses.append(status)
    kept |= more
    caller.close()
    service.stop()
    lost = len(kept - _stored(path))
    return Measured(
        statuses == [200, 503, 200] and not lost and answered == 200,
        f"events before, while it was replaced, and after: {statuses}; {lost} of {len(kept)} "
        f"acknowledged events are lost; a recommendation meanwhile: {answered}",
    )


def damaged(rig: Rig) -> Measured:
    """Overwrite the pages of the store file under the running service."""
    service = rig.serve()
    path, caller = rig.folder / "data" / "store.sqlite", Caller(service.port)
    for start in range(0, 2000, 200):
        _acknowledged(caller, range(start, start + 200), size=400)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    statuses = Counter(
        caller.recommend(query=q, user_id=catalogue.user_id(n % 5)).status
        for n, q in enumerate(catalogue.queries(20))
    )
    status, _ = _acknowledged(caller, range(5000, 5010))
    ready = caller.call("GET", "/readyz").status
    caller.close()
    return Measured(
        statuses == Counter({200: 20}) and status in (200, 503) and ready == 200,
        f"20 recommendations to users with a damaged store file: {statuses[200]} answered; "
        f"events: {status}; /readyz {ready}",
    )


def full(rig: Rig) -> Measured:
    """Serve with a data folder of 8 MB, and send events until it is full."""
    service = _on_a_small_disk(rig)
    caller, kept, statuses, number = Caller(service.port), set[str](), Counter[int](), 0
    while not statuses[507] and number < 40_000:
        status, some = _acknowledged(caller, range(number, number + 200), size=500)
        statuses[status] += 1
        kept |= some
        number += 200
    status, some = _acknowledged(caller, range(number, number + 200), size=500)
    statuses[status] += 1
    kept |= some
    answers = Counter(
        caller.recommend(query=q, user_id=catalogue.user_id(n % 5)).status
        for n, q in enumerate(catalogue.queries(20))
    )
    # What the service itself can still read is what is stored: its disk is its own.
    counts = [
        sum(caller.call("GET", f"/users/{catalogue.user_id(n)}").body["counts"]["events"].values())
        for n in range(5)
    ]
    caller.close()
    lost = len(kept) - sum(counts)
    errors = sum(n for status, n in statuses.items() if status not in (200, 507, 503))
    return Measured(
        bool(statuses[507]) and not errors and lost <= 0 and answers == Counter({200: 20}),
        f"{len(kept)} events acknowledged until {dict(statuses)}; {max(0, lost)} of them lost; "
        f"20 recommendations meanwhile: {answers[200]} answered",
    )


def _on_a_small_disk(rig: Rig) -> Service:
    """Start a service whose data folder is a file system of 8 MB that only it sees.

    Raises:
        RuntimeError: this machine does not allow that.
    """
    if shutil.which("unshare") is None:
        raise RuntimeError("unshare is missing: no small disk can be made")
    service = rig.serve("--store-events-per-kind", "100000", wait=False)
    data = rig.folder / "data"
    data.mkdir()
    mount = f'mount -t tmpfs -o size=8m tmpfs "{data}" && exec "$@"'
    service.command = ["unshare", "-rm", "sh", "-c", mount, "sh", *service.command]
    probe = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=8m tmpfs "{data}"']
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        raise RuntimeError("this machine lets nobody mount a small disk")
    with contextlib.suppress(http.client.HTTPException):
        service.start()
    return service


TRIALS: Final = (
    Trial(
        name="isolation.poison",
        requirements=(6,),
        promise="a request that no pass survives fails alone",
        pass_line="of 16 in one pass 15 are answered, 1 gets `engine_failed`",
        run=poison,
        faults=("a_batch_fails_as_one",),
        short=True,
    ),
    Trial(
        name="isolation.parts",
        requirements=(6, 14, 15),
        promise="where the encoder, a source or the scorer fails, the answer comes without it",
        pass_line="no 5xx; each answer names exactly what it lacks in body and header, and the "
        "metric counts as many",
        run=parts,
        faults=("a_source_ends_the_pass", "degraded_not_said"),
        short=True,
    ),
    Trial(
        name="isolation.store_removed",
        requirements=(33,),
        promise="nothing is acknowledged into a store file that was replaced",
        pass_line="200, 503 while it is replaced, 200 again; 0 acknowledged events lost",
        run=removed,
        faults=("store_file_unchecked", "acknowledged_too_soon"),
        short=True,
    ),
    Trial(
        name="isolation.store_damaged",
        requirements=(33,),
        promise="a damaged store file costs no recommendation",
        pass_line="all recommendations answered, events 200 or 503",
        run=damaged,
    ),
    Trial(
        name="isolation.disk_full",
        requirements=(33,),
        promise="a full disk refuses events with 507, loses none, and serving goes on",
        pass_line="8 MB disk: 507 once full, 0 acknowledged events lost, all recommendations "
        "answered",
        run=full,
        faults=("acknowledged_too_soon",),
    ),
)
