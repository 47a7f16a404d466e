"""Writes an SBOM (CycloneDX 1.6, JSON) of what a server runs. `make sbom` runs it.

    .ci/.venv/bin/python .ci/sbom.py --out sbom.cdx.json

installs the lock of the image that serves, and our wheel, into an environment of its own, and lists
that. The stage `sbom` of Dockerfile lists the image itself, Debian's packages included:

    docker build --target sbom --output . .
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

ROOT: Final = Path(__file__).resolve().parent.parent
CYCLONEDX: Final = Path(sys.executable).parent / "cyclonedx-py"


def install(folder: Path) -> Path:
    """Install what the image that serves gets from the lock, and our wheel; return its Python."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    lock = ["--require-hashes", "--requirement", str(ROOT / "locks" / "serve.txt")]
    backend = folder / "backend"
    build = ["--require-hashes", "--requirement", str(ROOT / "locks" / "backend.txt")]
    subprocess.run([*pip, *lock], check=True)
    subprocess.run([*pip, "--target", str(backend), *build], check=True)
    subprocess.run(
        [*pip, "--no-build-isolation", str(ROOT)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(backend)},
    )
    return python


def debian_components(status: str) -> list[dict[str, Any]]:
    """Return a component for each package that is installed, from the text of dpkg's `status`."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status") != "install ok installed":
            continue
        name, version, kind = (fields[field] for field in ("Package", "Version", "Architecture"))
        purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={kind}"
        found.append(
            {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        )
    return found


def main(argv: Sequence[str] | None = None, tool: Path = CYCLONEDX) -> int:
    """Write the SBOM; return 0."""
    parser = argparse.ArgumentParser(".ci/sbom.py", description=__doc__)
    parser.add_argument("--environment", type=Path, help="a Python whose packages are listed")
    parser.add_argument("--dpkg", type=Path, help="the file `status` of dpkg, to list Debian's")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        python = options.environment or install(Path(folder) / "environment")
        command = [str(tool), "environment", "--output-reproducible", "--spec-version", "1.6"]
        done = subprocess.run(
            [*command, "--output-format", "JSON", str(python)], stdout=subprocess.PIPE, check=True
        )
    document = json.loads(done.stdout)
    count = len(document["components"])
    # The document is about recserve; the other packages are its parts.
    ours = next(part for part in document["components"] if part["name"] == "recserve")
    document["components"].remove(ours)
    document["metadata"]["component"] = {**ours, "type": "application"}
    debian = debian_components(options.dpkg.read_text()) if options.dpkg else []
    document["components"] += debian
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}: {count} packages of Python, {len(debian)} of Debian")
    return 0


if __name__ == "__main__":
    sys.exit(main())
