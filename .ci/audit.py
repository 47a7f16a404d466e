"""Asks whether known vulnerabilities concern the packages of the locks. `make audit` runs it.

    .ci/.venv/bin/python .ci/audit.py

pip-audit asks PyPI; AUDIT_SERVICE=osv asks osv.dev. Exit status:

    0  every package was looked up, and no vulnerability is known
    1  there are vulnerabilities: each is printed with the versions that mend it
    4  the data could not be reached for some packages, so nothing is known about them

pip-audit itself exits with 0 if a package cannot be looked up. A mirror without that data would so
pass for a clean bill.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
# Environments with versions of their own: pip-audit refuses two versions of a package in one list.
ENVIRONMENTS: Final = (("dev", "weights", "backend"), ("clients",), ("tools",))
UNREACHABLE: Final = 4


def pinned(root: Path, locks: Sequence[str]) -> list[str]:
    """Return "name==version" of the packages of locks that make one environment.

    torch is in no lock. Its version in constraints.txt joins the packages of `dev`.
    """
    text = "".join((root / "locks" / f"{name}.txt").read_text(encoding="utf-8") for name in locks)
    if "dev" in locks:
        constraints = (root / "constraints.txt").read_text(encoding="utf-8")
        text += "\n".join(re.findall(r"^torch==.+", constraints, re.MULTILINE))
    return sorted(set(re.findall(r"^[\w.-]+==[^\s;]+", text, re.MULTILINE)))


def verdict(packages: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit status for `dependencies` of pip-audit, and the lines to print."""
    lines, skipped, affected = [], [], 0
    for package in packages:
        if "skip_reason" in package:
            skipped.append(package["name"])
            continue
        affected += bool(package["vulns"])
        for found in package["vulns"]:
            mended = ", ".join(found["fix_versions"]) or "none yet"
            name = f"{package['name']} {package['version']}"
            lines.append(f"{name}: {found['id']}, mended in {mended}")
    looked_up = len(packages) - len(skipped)
    lines.append(f"{looked_up} packages looked up, {affected} of them vulnerable")
    if skipped:
        lines.append(f"NOT AUDITED, no data reachable: {len(skipped)} packages ({skipped[0]}, …)")
    return (1 if affected else UNREACHABLE if skipped else 0), lines


def main(command: Sequence[str] = (str(Path(sys.executable).parent / "pip-audit"),)) -> int:
    """Run pip-audit for each environment, print what it found, and return the exit status."""
    packages: list[Mapping[str, Any]] = []
    for locks in ENVIRONMENTS:
        with tempfile.TemporaryDirectory() as folder:
            wanted, report = Path(folder, "packages.txt"), Path(folder, "report.json")
            wanted.write_text("\n".join(pinned(ROOT, locks)), encoding="utf-8")
            options = ["--disable-pip", "--no-deps", "--progress-spinner", "off"]
            options += ["--vulnerability-service", os.environ.get("AUDIT_SERVICE", "pypi")]
            options += ["--requirement", str(wanted), "--format", "json", "--output", str(report)]
            done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
            if not report.exists():
                print(done.stderr[-2000:], file=sys.stderr)
                print("NOT AUDITED: pip-audit could not ask", file=sys.stderr)
                return UNREACHABLE
            packages += json.loads(report.read_text(encoding="utf-8"))["dependencies"]
    status, lines = verdict(packages)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
