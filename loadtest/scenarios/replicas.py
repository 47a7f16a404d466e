"""How soon a second process shows a change that the first one acknowledged.

    python -m loadtest.scenarios.replicas

Two services of the demo share one Redis. An item with a unique word is put at one service and
searched for at the other until it is the first hit. Then it is deleted, and searched for until it
is gone. Prints one JSON line: milliseconds from the acknowledgement to the first answer with it.
"""

import argparse
import json
import tempfile
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from loadtest.runners import machine, services
from loadtest.runners.client import Client
from loadtest.runners.open_loop import percentile
from loadtest.runners.services import RECSERVE, ROOT, Service, free_port

_PATIENCE_S = 30.0


def main() -> None:
    """Measure and print the line."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.replicas", description=__doc__)
    parser.add_argument("--changes", type=int, default=50, help="items put, then deleted")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recserve-replicas-") as folder, ExitStack() as stack:
        redis = services.Redis(Path(folder))
        redis.start()
        stack.callback(redis.kill)
        clients = [_client(stack, Path(folder), redis.url, n) for n in range(2)]
        ms: dict[str, list[float]] = {"put": [], "deleted": []}
        for n in range(options.changes):
            _time_change(clients[n % 2], clients[1 - n % 2], n, ms)
    print(json.dumps(_document(ms)))


def _client(stack: ExitStack, folder: Path, redis: str, number: int) -> Client:
    """Start a service, and return a connection to it."""
    port = free_port()
    command = [str(RECSERVE), "serve", "--bundle", str(ROOT / "models/demo"), "--port", str(port)]
    command += ["--store-url", redis, "--cache-url", redis, "--data-dir", f"{folder}/{number}"]
    log = folder / f"{number}.log"
    stack.enter_context(Service("recserve", command, port, log, {"PYTHONPATH": str(ROOT)}))
    return stack.enter_context(closing(Client(port)))


def _time_change(writer: Client, reader: Client, n: int, ms: dict[str, list[float]]) -> None:
    name, word = f"replica-{n}", f"zq{n}xv"
    _changed(writer, "PUT", "/items", [{"id": name, "title": f"{word} of the harbour"}])
    ms["put"].append(_until(reader, word, name, there=True))
    _changed(writer, "DELETE", f"/items/{name}")
    ms["deleted"].append(_until(reader, word, name, there=False))


def _changed(client: Client, method: str, path: str, body: object = None) -> None:
    status, answer = client.call(method, path, body)
    if status != 200:
        raise SystemExit(f"a change was refused: {answer}")


def _until(client: Client, query: str, item: str, *, there: bool) -> float:
    start = time.perf_counter()
    while time.perf_counter() - start < _PATIENCE_S:
        _, answer = client.call("POST", "/recommend", {"query": query, "k": 3})
        if (item in [each["id"] for each in answer["items"]]) is there:
            return (time.perf_counter() - start) * 1e3
        time.sleep(0.005)
    raise SystemExit(f"the change was not visible after {_PATIENCE_S:.0f} s")


def _document(ms: dict[str, list[float]]) -> dict[str, object]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m loadtest.scenarios.replicas",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "changes": len(ms["put"]),
        "ms": {
            name: {f"p{p}": round(percentile(times, p) or 0.0, 1) for p in (50, 99, 100)}
            for name, times in ms.items()
        },
    }


if __name__ == "__main__":
    main()
