"""Trials of the life of a process: how it stops, is replaced, loses a part, and goes on."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Final

from loadtest.chaos import catalogue
from loadtest.chaos.asking import PATIENT_MS, Caller
from loadtest.chaos.balancer import Balancer
from loadtest.chaos.rig import Rig
from loadtest.chaos.steady import SteadyLoad
from loadtest.chaos.trial import Measured, Trial
from loadtest.chaos.troubles.lost_part import TRIGGER
from loadtest.runners.services import ROOT, Service, get

_END_S: Final = 60.0
"""Longest wait for an end that has to come; nothing is judged by it."""
_SOON_S: Final = 1.0
_HANG_MS: Final = 500
_LOST: Final = ("pass", "thread", "batcher", "writer")
_FILES: Final = 64


def rolling(rig: Rig) -> Measured:
    """Restart two services behind a balancer, one after the other, while callers ask."""
    rounds = 1 if rig.short else 3
    delay = ("--shutdown-delay-ms", "1500")
    pair = [rig.serve(*delay), rig.serve(*delay)]
    codes = []
    with Balancer((pair[0].port, pair[1].port)) as balancer, SteadyLoad(balancer.port) as load:
        for service in pair * rounds:
            time.sleep(1.0)  # both serve
            service.signal(signal.SIGTERM)
            codes.append(service.ended(_END_S))
            service.start()
        time.sleep(1.0)
    return Measured(
        load.failed == 0 and load.sent > 50 and set(codes) == {0},
        f"{len(codes)} restarts, {load.sent:,} requests on kept connections, {load.failed} failed"
        f"{load.told()}, exit codes {sorted({str(code) for code in codes})}",
    )


def workers(rig: Rig) -> Measured:
    """Replace both workers of a service again and again (SIGHUP), while callers ask."""
    rounds = 1 if rig.short else 5
    service = rig.serve("--workers", "2", "--shutdown-delay-ms", "1000")
    replaced = 0
    with SteadyLoad(service.port) as load:
        for _ in range(rounds):
            before = _children(service.pid)
            service.signal(signal.SIGHUP)
            replaced += _until(lambda old=before: not old & _children(service.pid)) is not None
    service.signal(signal.SIGTERM)
    code = service.ended(_END_S)
    return Measured(
        load.failed == 0 and load.sent > 50 and replaced == rounds and code == 0,
        f"2 workers replaced {replaced} of {rounds} times, {load.sent:,} requests on kept "
        f"connections, {load.failed} failed{load.told()}, exit code {code}",
    )


def signals(rig: Rig) -> Measured:
    """Stop a service that is PID 1, with a request in flight; force another one."""
    ask = {"budget_ms": PATIENT_MS, "query": "red chair for the hall"}
    with _as_pid_1(rig, "--shutdown-delay-ms", "1000") as (service, pid, where):
        kept, in_flight = Caller(service.port), Caller(service.port)
        kept.call("GET", "/items/item-1")
        before = service.metric("recserve_batch_size_count")
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(_reply, in_flight, "POST", "/recommend", ask)
            _until(lambda: service.metric("recserve_batch_size_count") > before)
            os.kill(pid, signal.SIGTERM)
            not_ready = _until(lambda: get(service.port, "/readyz")[0] == 503, 5.0)
            (status, end), (slow_status, _) = (
                _reply(kept, "GET", "/items/item-1"),
                slow.result(),
            )
        code = service.ended(_END_S)
    forced = rig.serve("--shutdown-delay-ms", "60000")
    forced.signal(signal.SIGTERM)
    _until(lambda: get(forced.port, "/readyz")[0] == 503, 5.0)
    began = time.monotonic()
    forced.signal(signal.SIGTERM)
    forced_code = forced.ended(10.0)
    seconds = time.monotonic() - began
    if forced_code is None:
        forced.kill()
    statuses = [slow_status, status]
    return Measured(
        statuses == [200, 200]
        and end == "close"
        and not_ready is not None
        and (code, forced_code) == (0, 128 + signal.SIGTERM)
        and (rig.short or seconds < _SOON_S),
        f"{where}: in flight and on a kept connection {statuses}, the last with "
        f"`Connection: {end}`, exit code {code}; after a second SIGTERM exit code "
        f"{forced_code} in {seconds:.2f} s",
    )


def zombies(rig: Rig) -> Measured:
    """Lose a part for good while requests are in flight; see what callers and supervisors see."""
    found = [_lose(rig, part) for part in (("pass", "writer") if rig.short else _LOST)]
    told = "; ".join(f"{part}: {figure}" for part, _, figure in found)
    return Measured(all(passed for _, passed, _ in found), told)


def _lose(rig: Rig, part: str) -> tuple[str, bool, str]:
    service = rig.serve(
        *("--hang-limit-ms", str(_HANG_MS), "--shutdown-delay-ms", "2500"),
        *("--drain-timeout-ms", "1000", "--max-batch-requests", "1"),
        under=["lost_part"],
        CHAOS_LOST=part,
    )
    asks: list[tuple[str, object]] = [("/recommend", {"query": TRIGGER})]
    if part == "writer":
        asks = [("/events", [{"user_id": "ann", "item_id": TRIGGER}])]
    else:
        asks += [("/recommend", {"query": query}) for query in catalogue.queries(4)]
    with ThreadPoolExecutor(len(asks)) as threads:
        began = time.monotonic()
        waiting = []
        for path, body in asks:
            waiting.append(threads.submit(_answered, service.port, path, body))
            time.sleep(0.05)  # the first one comes first
        off = _until(lambda: get(service.port, "/readyz")[0] == 503, 5.0)
        off_s = time.monotonic() - began
        alive = get(service.port, "/livez")[0]
        code = service.ended(15.0)
        end_s = time.monotonic() - began
        if code is None:
            service.kill()
        ends = [each.result() for each in waiting]
    failed_s = max(at for _, at in ends) - began
    allowed_s = _SOON_S + (_HANG_MS / 1e3 if part == "pass" else 0.0)
    in_time = rig.short or max(off_s, failed_s) <= allowed_s
    statuses = sorted(status for status, _ in ends)
    passed = off is not None and alive == 200 and code == 1 and set(statuses) == {503}
    return (
        part,
        passed and in_time,
        f"not ready after {off_s:.1f} s, in flight {statuses} by {failed_s:.1f} s, "
        f"exit code {code} after {end_s:.1f} s",
    )


def stuck_loop(rig: Rig) -> Measured:
    """Let the event loop never turn again: nothing in Python can find that."""
    service = rig.serve("--hang-limit-ms", str(_HANG_MS), under=["lost_part"], CHAOS_LOST="loop")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(_answered, service.port, "/recommend", {"query": TRIGGER})
        code = service.ended(_END_S)
        seconds = time.monotonic() - began
        if code is None:
            service.kill()
        ended.result()
    told = "most recent call first" in service.log.read_text(errors="replace")
    return Measured(
        code == 1 and told and (rig.short or seconds <= 32.0),
        f"exit code {code} after {seconds:.0f} s, the log {'has' if told else 'lacks'} what each "
        "thread did",
    )


def poison(rig: Rig) -> Measured:
    """Send changes that the engine cannot plan; begin with one that is in the journal already."""
    before = rig.serve()
    with closing(Caller(before.port)) as caller:
        caller.call("PUT", "/items", [_item("old", "poison of yesterday"), _item("a", "one")])
    before.stop()
    try:
        service = rig.serve(under=["poison_items"])
    except RuntimeError:
        return Measured(False, "with a poison change in the journal it does not start")
    with closing(Caller(service.port)) as caller:
        refused = caller.call("PUT", "/items", [_item("new", "poison of today")]).status
        taken = caller.call("PUT", "/items", [_item("b", "two")]).status
        found = [caller.call("GET", f"/items/{name}").status for name in ("a", "b", "old", "new")]
        findings = caller.call("GET", "/admin/doctor").body["findings"]
        named = [each["sentence"] for each in findings if each["id"] == "changes_set_aside"]
    aside = service.metric("recserve_changes_set_aside")
    passed = (refused, taken, found) == (500, 200, [200, 200, 404, 404])
    return Measured(
        passed and aside == 1 and len(named) == 1 and "old" in named[0],
        f"a new poison change: {refused}, the next change: {taken}; items a, b, old, new: {found}; "
        f"{aside:.0f} set aside, {len(named)} findings of the doctor",
    )


def descriptors(rig: Rig) -> Measured:
    """Open more connections than the process may have files, twice; then ask on a new one."""
    service = rig.serve(under=["few_descriptors"])
    before = _files(service.pid)
    for _ in range(2):
        with ThreadPoolExecutor(16) as threads:
            held = [each for each in threads.map(_connected, [service.port] * 3 * _FILES) if each]
        for sock in held:
            sock.close()
        _until(lambda: _files(service.pid) <= before + 2, 10.0)
    with closing(Caller(service.port)) as caller:
        try:
            answers = [caller.recommend(query=query).status for query in catalogue.queries(20)]
        except (OSError, HTTPException) as error:
            answers = [type(error).__name__]
    more = _files(service.pid) - before
    return Measured(
        answers == [200] * 20 and more <= 2,
        f"room for {_FILES} files, twice {3 * _FILES} connections; then {answers.count(200)} of 20 "
        f"requests answered, {more} more files open than before",
    )


def reloads(rig: Rig) -> Measured:
    """Let two bundles take over from each other, while callers ask."""
    rounds = 4 if rig.short else 20
    root = _two_generations(rig.folder)
    names = sorted(path.name for path in root.glob("2*"))
    service = rig.serve(
        # A small cache, or its filling would be taken for memory of bundles.
        *("--watch-bundle-ms", "0", "--cache-local-bytes", "1000000"),
        bundle=root,
        under=["slow_engine"],
        CHAOS_ENGINE_MS="10",
    )
    served, sizes = set[str](), []
    with SteadyLoad(service.port) as load, closing(Caller(service.port)) as operator:
        for n in range(rounds):
            _recserve("publish", "--bundle", str(root), names[n % 2])
            served.add(operator.call("POST", "/admin/reload").body["generation"]["bundle"])
            if n >= 1:  # the first makes what is kept from then on
                sizes.append(service.rss_mib())
    grown = sizes[-1] / sizes[0] - 1
    return Measured(
        load.failed == 0 and load.sent > 50 and len(served) == 2 and (rig.short or grown <= 0.1),
        f"{rounds} reloads, {load.sent:,} requests, {load.failed} failed{load.told()}; memory "
        f"{100 * grown:+.1f} % since the second",
    )


def killed(rig: Rig) -> Measured:
    """Kill the service and its store while events arrive; compare what is stored."""
    kills = "4" if rig.short else "25"
    stores, figures, right = ("sqlite", "redis", "forgetful"), [], True
    for store in stores:
        done = rig.run("loadtest.scenarios.chaos_living", "--kills", kills, "--store", store)
        right = right and (done.returncode == 0) == (store != "forgetful")
        figures.append(f"{store} {'keeps all' if done.returncode == 0 else 'loses some'}")
    return Measured(right, f"{kills} kills each: {', '.join(figures)} (the last one has to)")


def _item(name: str, title: str) -> dict[str, str]:
    return {"id": name, "title": title}


def _reply(caller: Caller, method: str, path: str, body: object = None) -> tuple[int, str | None]:
    """Send a request; return status (0: no answer came) and the header `Connection`."""
    try:
        answer = caller.call(method, path, body)
    except (OSError, HTTPException):
        return 0, None
    finally:
        caller.close()
    return answer.status, answer.headers.get("connection")


def _answered(port: int, path: str, body: object) -> tuple[int, float]:
    """Send a request; return status (0: no answer came) and when it ended."""
    if isinstance(body, dict):
        body = {"budget_ms": PATIENT_MS, **body}
    status, _ = _reply(Caller(port), "POST", path, body)
    return status, time.monotonic()


def _connected(port: int) -> socket.socket | None:
    """Open a connection and send half of a request on it; None if it cannot be opened."""
    try:
        sock = socket.create_connection(("127.0.0.1", port), timeout=2.0)
    except OSError:
        return None
    try:
        sock.sendall(b"GET /livez HTTP/1.1\r\nhost: t\r\n")
    except OSError:
        sock.close()
        return None
    return sock


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _children(pid: int) -> set[str]:
    """Return the ids of the workers of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {child for child in text.split() if _is_worker(child)}


def _is_worker(pid: str) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _until(what: Callable[[], bool], seconds: float = _END_S) -> float | None:
    """Return after how many seconds something holds; None if it does not."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if what():
            return time.monotonic() - began
        time.sleep(0.01)
    return None


@contextmanager
def _as_pid_1(rig: Rig, *args: str) -> Iterator[tuple[Service, int, str]]:
    """Start a service as the first process of a namespace, if this machine lets us.

    Yields the service, the id that its process has outside, and how it runs, in words.
    """
    service = rig.serve(*args, under=["slow_engine"], wait=False, CHAOS_ENGINE_MS="700")
    own = ["unshare", "--pid", "--fork", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*own, "true"], check=False).returncode:
        service.start()
        yield service, service.pid, "not as PID 1, which this machine does not let us"
        return
    service.command = [*own, *service.command]
    service.start()
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    yield service, int(children[0]), "as PID 1"


def _two_generations(folder: Path) -> Path:
    """Return a bundle with two generations, built from the same files."""
    root = folder / "models" / "shop"
    items, events = catalogue.write(folder)
    for _ in range(2):
        _recserve("build", "--items", str(items), "--events", str(events), "--out", str(root))
    return root


def _recserve(*args: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "recserve", *args], cwd=ROOT, capture_output=True, check=True
    )


TRIALS: Final = (
    Trial(
        name="life.rolling",
        requirements=(34,),
        promise="a rolling restart behind a balancer fails no request",
        pass_line="two services, each restarted 3 times by SIGTERM under load with kept "
        "connections: 0 failed, exit code 0",
        run=rolling,
        faults=("stops_at_once", "readiness_stays_on"),
    ),
    Trial(
        name="life.workers",
        requirements=(26, 31),
        promise="workers are replaced one by one, and no request fails",
        pass_line="2 workers, replaced 5 times by SIGHUP under load with kept connections: "
        "0 failed, none hangs",
        run=workers,
        faults=("stops_at_once",),
    ),
    Trial(
        name="life.signals",
        requirements=(34,),
        promise="SIGTERM drains, as PID 1 too; a second one forces",
        pass_line="as PID 1 of a namespace the request in flight and one on a kept connection are "
        f"answered, exit code 0; after a second SIGTERM exit code 143 within {_SOON_S:.0f} s",
        run=signals,
        faults=("stops_at_once", "second_signal_ignored"),
    ),
    Trial(
        name="life.zombies",
        requirements=(7, 36),
        promise="a process that has lost a part says so, fails what waits, and ends",
        pass_line="a pass that never returns, a dead thread of the engine, a dead batcher, a dead "
        f"thread of the store: `/readyz` 503 and requests in flight 503 within {_SOON_S:.0f} s "
        f"(of a pass: after the limit of {_HANG_MS} ms), `/livez` 200, exit code 1",
        run=zombies,
        faults=("watchdog_sleeps", "readiness_stays_on"),
        short=True,
    ),
    Trial(
        name="life.stuck_loop",
        requirements=(7, 11),
        promise="a process whose event loop hangs ends, and the log says where it hung",
        pass_line="exit code 1 within 32 s, with a trace of each thread",
        run=stuck_loop,
        faults=("no_alarm",),
    ),
    Trial(
        name="life.poison_change",
        requirements=(6,),
        promise="a change that cannot be applied stops neither later ones nor a start",
        pass_line="a new one is refused and not journalled; one in the journal is set aside, "
        "counted and named; those around it are applied",
        run=poison,
        faults=("poison_stops_all",),
        short=True,
    ),
    Trial(
        name="life.descriptors",
        requirements=(33,),
        promise="a process that ran out of descriptors recovers",
        pass_line=f"twice {3 * _FILES} connections with room for {_FILES}: then all of 20 requests "
        "are answered, and no file is left open",
        run=descriptors,
        faults=("leaked_descriptors",),
    ),
    Trial(
        name="life.reloads",
        requirements=(31,),
        promise="a new bundle takes over without a failed request, and the old one is freed",
        pass_line="20 reloads under load: 0 failed, memory + 10 % at most",
        run=reloads,
        faults=("pass_lost_at_reload",),
    ),
    Trial(
        name="life.killed",
        requirements=(35,),
        promise="`kill -9` loses no acknowledged event and doubles none",
        pass_line="25 kills of service and store each while events arrive: 0 lost, 0 doubled; with "
        "a Redis that keeps nothing on disk, some are lost",
        run=killed,
    ),
)
