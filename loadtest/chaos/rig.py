"""What a trial works with: processes, a Redis, a proxy, a folder; all of it ends with the rig."""

import random
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from loadtest.chaos import catalogue
from loadtest.chaos.asking import Caller
from loadtest.chaos.proxy import FaultProxy
from loadtest.chaos.trial import Measured
from loadtest.runners.services import ROOT, Redis, Service, free_port

_LONGEST_S: Final = 1800


class Rig:
    """One for each run of a trial. Use as `with Rig(...) as rig`.

    Attributes:
        folder: an empty folder of its own.
        short: whether this is the short form, in which no times are judged.
        fault: name of the seeded fault of this run, if there is one.
        rng: random numbers from the seed of the run and the name of the trial.
    """

    def __init__(
        self,
        folder: Path,
        rng: random.Random,
        *,
        short: bool = False,
        fault: str | None = None,
    ) -> None:
        self.folder, self.short, self.fault, self.rng = folder, short, fault, rng
        self._closing = ExitStack()
        self._services = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def bundle(self) -> Path:
        """The bundle of `loadtest.chaos.catalogue`; all trials of a run share it: only read it."""
        return catalogue.bundle()

    def serve(
        self,
        *args: str,
        bundle: Path | None = None,
        under: Sequence[str] = (),
        wait: bool = True,
        **env: str,
    ) -> Service:
        """Start `recserve serve` on a free port, and return when it is ready.

        All services of a rig have one data folder, `folder/data`. With a seeded fault the process
        has it.

        Args:
            args: more flags; a later flag beats an earlier one.
            bundle: what to serve; None = the small shop.
            under: names of `loadtest.chaos.troubles`.
            wait: False = return a service that is not started: call `start` yourself.
            env: more variables of the environment.

        Raises:
            RuntimeError: it does not get ready.
        """
        port = free_port()
        self._services += 1
        command = self._command(under, "recserve", "serve", "--bundle", str(bundle or self.bundle))
        command += ["--port", str(port), "--data-dir", str(self.folder / "data")]
        command += ["--shutdown-delay-ms", "0", *args]
        log = self.folder / f"service-{self._services}.log"
        service = Service("recserve", command, port, log, env)
        self._closing.callback(service.stop)
        if wait:
            service.start()
        return service

    def redis(self, *, durable: bool = False) -> Redis:
        """Start a real Redis of its own, which keeps nothing on disk unless `durable`."""
        folder = self.folder / f"redis-{free_port()}"
        folder.mkdir()
        redis = Redis(folder, durable=durable)
        self._closing.callback(redis.kill)
        redis.start()
        return redis

    def proxy(self, redis: Redis) -> FaultProxy:
        """Start a proxy in front of a Redis."""
        proxy = FaultProxy(redis.port)
        self._closing.callback(proxy.close)
        return proxy

    def caller(self, service: Service) -> Caller:
        """Open a connection to a service; it is closed with the rig."""
        caller = Caller(service.port)
        self._closing.callback(caller.close)
        return caller

    def run(
        self, module: str, *args: str, under: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m MODULE ARGS` to its end, with the seeded fault if there is one."""
        command = self._command(under, module, *args)
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_LONGEST_S, check=False
        )

    def pytest(self, *args: str) -> Measured:
        """Run tests with the seeded fault, if there is one; all must pass, and some must run.

        Raises:
            RuntimeError: no test could be run.
        """
        report = self.folder / "tests.xml"
        done = self.run("pytest", "-p", "no:cacheprovider", "--junitxml", str(report), *args)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"no test ran:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        suite = ET.parse(report).getroot().find("testsuite")
        counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
        failed = counts["failures"] + counts["errors"]
        passed = counts["tests"] - failed - counts["skipped"]
        skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
        figure = f"{passed} of {counts['tests']} tests pass{skipped}"
        return Measured(not failed and passed > 0, figure)

    def _command(self, under: Sequence[str], module: str, *args: str) -> list[str]:
        seeded = [*under, *([self.fault] if self.fault else [])]
        launcher = ["loadtest.chaos.faulty_service", ",".join(seeded)] if seeded else []
        return [sys.executable, "-m", *launcher, module, *args]
