"""What a result says about its machine, the installed packages and the commit."""

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

_PACKAGES = re.compile(
    "faiss-cpu|fastapi|numpy|onnxruntime|openvino|sentence-transformers|torch|uvicorn"
)


def describe() -> dict[str, object]:
    """Return CPU model, usable cores, memory, system, and the CPU features that kernels use."""
    info = Path("/proc/cpuinfo").read_text()
    flags = set(_first(r"^flags\s*:\s*(.+)$", info).split())
    memory = int(_first(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()) or 0)
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return {
        "cpu": _first(r"^model name\s*:\s*(.+)$", info) or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpu_features": [name for name in known if name in flags],
    }


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that a figure depends on."""
    installed = {d.name: d.version for d in importlib.metadata.distributions()}
    return {name: installed[name] for name in sorted(installed) if _PACKAGES.fullmatch(name)}


def commit() -> str:
    """Return the commit that is checked out, with `+` if files differ; empty without git."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty=+"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def slug(cpu: str) -> str:
    """Turn a CPU's name into part of a file name."""
    plain = re.sub(r"\((r|tm)\)|@.*|\b(cpu|processor)\b", " ", cpu.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "unknown"


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else ""
