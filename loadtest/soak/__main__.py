"""`make soak`: a real service at 70 % load with inputs that never repeat must stay flat.

    python -m loadtest.soak [--minutes 30] [--bundle models/demo] [--fault leak] [--json FILE]

Most of the time goes to the service, with a Redis as shared cache. First it is asked without a
pause, until its caches are full (50,000 requests); how much it can do then is its peak. Then it
gets 70 % of that, in stretches of ten seconds with connections of their own. Between them it is at
rest, and memory, descriptors, threads and tasks are read. The in-process cache is smaller than
usual, so that it is full in time.

A tenth of the time each goes to ONNX Runtime and to torch, which encode texts of all lengths in a
process of their own. On CPU the service uses neither: its encoder is our own kernel. ONNX Runtime
stands in where the kernel cannot run; torch encodes on GPUs.

The exit code is 1 if something rises, see `loadtest.soak.figures`. `--fault` seeds a fault of
`loadtest.chaos.faults` in the service: then the run has to fail.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from loadtest.chaos.rig import Rig
from loadtest.chaos.troubles import watched
from loadtest.runners import machine
from loadtest.runners.open_loop import Offer, answer_in, message, offer
from loadtest.runners.services import BUNDLE, Service
from loadtest.soak.figures import Sample, Verdict, judged, memory_of
from loadtest.soak.inputs import Ask, Asks

SERVICE: Final = "service"
SHARES: Final = {SERVICE: 0.8, "onnxruntime": 0.1, "torch-cpu": 0.1}
"""Phase -> its part of the time."""
_LOAD: Final = 0.7
_LOCAL_BYTES: Final = 4_194_304
_STRETCH_S: Final = 10.0
_CALLERS: Final = 16
_CONNECTIONS: Final = 64
_WARM_UP: Final = 0.25
"""Part of the time of an encoder that is not judged."""
_FILL: Final = 50_000
_LEAST_FILL: Final = 0.1
_MOST_FILL: Final = 0.5
"""Requests that fill the caches of a service, and the least and most of the time that they take."""
_REST_S: Final = 10.0


@dataclass
class Phase:
    """What one process did, and how it was.

    Attributes:
        name: `service`, or the runtime of an encoder.
        samples: what is judged.
        rate: requests offered a second, or texts encoded.
        filled: requests that filled the caches before.
        statuses: status -> answers.
    """

    name: str
    samples: list[Sample]
    rate: float
    filled: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def verdict(self) -> Verdict:
        """Whether it is flat."""
        return judged(self.samples)


def service(rig: Rig, seconds: float, bundle: Path) -> Phase:
    """Ask a service.

    Raises:
        RuntimeError: it does not start.
    """
    tasks = rig.folder / "tasks"
    served = rig.serve(
        *("--cache-local-bytes", str(_LOCAL_BYTES)),
        under=["watched"],
        bundle=bundle,
        **{watched.VARIABLE: str(tasks), "RECSERVE_CACHE_URL": rig.redis().url},
    )
    chance = random.Random(rig.rng.random())
    asks = Asks(_catalogue_of(served, chance), chance)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        end = time.monotonic() + seconds
        filled, peak = runner.run(_filled(served.port, asks, seconds))
        phase = Phase(SERVICE, [], max(4.0, _LOAD * peak), filled)
        rate = phase.rate
        began, answered = time.monotonic(), 0
        while time.monotonic() < end:
            offered = Offer(rate, _STRETCH_S, connections=_CONNECTIONS)
            sent = [_bytes_of(asks.next()) for _ in range(int(rate * offered.seconds))]
            outcomes = runner.run(offer("127.0.0.1", served.port, sent, offered))
            phase.statuses.update(outcome.status for outcome in outcomes)
            answered += len(outcomes)
            now = time.monotonic() - began
            phase.samples.append(_at_rest(served, tasks, now, answered))
    served.stop()
    return phase


def encoder(rig: Rig, runtime: str, seconds: float, bundle: Path) -> Phase:
    """Encode texts with one runtime.

    Raises:
        RuntimeError: it fails.
    """
    size = ["--bundle", str(bundle), "--seconds", str(seconds)]
    done = rig.run("loadtest.soak.encoders", runtime, *size)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found = [Sample(**each) for each in json.loads(done.stdout.splitlines()[-1])]
    rate = found[-1].requests / found[-1].seconds
    return Phase(runtime, [s for s in found if s.seconds >= _WARM_UP * seconds], rate)


def _catalogue_of(service: Service, chance: random.Random) -> dict[str, str]:
    """Return id -> title of a few hundred items."""
    found: dict[str, str] = {}
    with asyncio.Runner() as runner:
        for word in ("the", "a", *(chance.choice("bcdefghlmnoprstw") for _ in range(8))):
            body = json.dumps({"query": word, "k": 100, "budget_ms": 10_000}).encode()
            for item in runner.run(_once(service.port, message(body)))["items"]:
                found[item["id"]] = item["title"] or ""
    return found


async def _once(port: int, sent: bytes) -> dict[str, list[dict[str, str]]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        return json.loads((await _answer(reader)).partition(b"\r\n\r\n")[2])
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    data = b""
    while answer_in(data) is None:
        part = await reader.read(65536)
        if not part:
            raise ConnectionError("the service closed the connection")
        data += part
    return data


async def _filled(port: int, asks: Asks, seconds: float) -> tuple[int, float]:
    """Fill the caches; return the number of requests, and how many a second were answered at last.

    Callers ask without a pause. `seconds`: of the whole phase.
    """
    began = time.monotonic()
    times: list[float] = []

    def enough() -> bool:
        part = (time.monotonic() - began) / seconds
        return part > _MOST_FILL or (part > _LEAST_FILL and len(times) > _FILL)

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not enough():
            writer.write(_bytes_of(asks.next()))
            await _answer(reader)
            times.append(time.monotonic())
        writer.close()

    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    last = times[-1] - (times[-1] - began) / 3
    return len(times), sum(each > last for each in times) / (times[-1] - last)


def _bytes_of(ask: Ask) -> bytes:
    return message(json.dumps(ask.body).encode(), ask.path)


def _at_rest(service: Service, tasks: Path, seconds: float, requests: int) -> Sample:
    """Read all figures once the connections of the last stretch are gone."""
    end, before = time.monotonic() + _REST_S, 0
    while True:
        files = len(list(Path(f"/proc/{service.pid}/fd").iterdir()))
        # The second look at the same number, more than a second later: the tasks are newer too.
        if files == before or time.monotonic() > end:
            break
        before = files
        time.sleep(1.1)
    memory, resident = memory_of(service.pid)
    return Sample(
        seconds=seconds,
        memory_mb=memory,
        resident_mb=resident,
        files=files,
        threads=len(list(Path(f"/proc/{service.pid}/task").iterdir())),
        tasks=int(tasks.read_text()),
        waiting=int(service.metric("recserve_queue_requests")),
        requests=requests,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run all phases; return 1 if one is not flat."""
    parser = argparse.ArgumentParser("python -m loadtest.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--only", choices=SHARES, help="one phase, for all of the time")
    parser.add_argument("--fault", help="seed a fault: the run must fail then")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures and all samples")
    options = parser.parse_args(argv)
    shares = {options.only: 1.0} if options.only else SHARES
    phases: list[Phase] = []
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        rng = random.Random(options.seed)
        with Rig(Path(folder), rng, fault=options.fault) as rig:
            for name, share in shares.items():
                seconds = share * options.minutes * 60
                if name == SERVICE:
                    phases.append(service(rig, seconds, options.bundle))
                else:
                    phases.append(encoder(rig, name, seconds, options.bundle))
                print("\n".join(_lines(phases[-1])), flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(_document(phases, options), indent=1) + "\n")
    return 1 if any(phase.verdict.problems for phase in phases) else 0


def _lines(phase: Phase) -> list[str]:
    verdict, last = phase.verdict, phase.samples[-1]
    answered = ", ".join(f"{n} × {status}" for status, n in sorted(phase.statuses.items()))
    full = f" after {phase.filled} that filled caches" if phase.filled else ""
    return [
        f"{'ok ' if not verdict.problems else 'RED'} {phase.name}: {verdict.slope} over "
        f"{verdict.hours * 60:.1f} minutes at {phase.rate:.0f}/s; {last.memory_mb:.0f} MB; "
        f"{last.files} descriptors, {last.threads} threads, {last.tasks} tasks at the end",
        f"    {verdict.requests} judged{full}; a leak of {verdict.least_visible_bytes:.0f} bytes "
        f"each would have shown{'; answers: ' * bool(answered)}{answered}",
        *(f"    {problem}" for problem in verdict.problems),
    ]


def _document(phases: Sequence[Phase], options: argparse.Namespace) -> dict[str, object]:
    return {
        "machine": machine.describe(),
        "commit": machine.commit(),
        "minutes": options.minutes,
        "fault": options.fault,
        "phases": [
            {
                "name": phase.name,
                "rate": round(phase.rate, 1),
                "filled": phase.filled,
                "statuses": phase.statuses,
                "verdict": asdict(phase.verdict),
                "samples": [asdict(sample) for sample in phase.samples],
            }
            for phase in phases
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
