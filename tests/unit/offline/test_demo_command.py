"""`recserve demo` builds when, and only when, there is no bundle that can be served.

What building brings is tested with the builds themselves; here a build is only asked for.
"""

import json
import socket

import pytest

from app.bundle.manifest import MANIFEST
from app.bundle.reader import UNSEALED, sealed
from app.bundle.writer import write_bundle
from app.cli import main, usable
from tests.bundles import fill_small


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "demo", fill_small)


def test_a_good_bundle_is_kept(bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RECSERVE_BUNDLE", str(tmp_path / "demo"))
    assert main(["demo", "--build-only"]) == 0
    assert capsys.readouterr() == ("", "")
    assert bundle.path.exists()


def test_nothing_is_said_where_there_is_none_yet(tmp_path, capsys):
    assert not usable(tmp_path / "demo")
    assert capsys.readouterr().err == ""


def test_a_bundle_of_an_older_version_is_built_again_and_that_is_said(bundle, tmp_path, capsys):
    path = bundle.path / MANIFEST
    fields = json.loads(path.read_text()) | {"manifest_sha256": UNSEALED, "format_version": 1}
    path.write_text(sealed(json.dumps(fields)))
    assert not usable(tmp_path / "demo")
    assert "format" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "serve"])
def test_a_port_that_is_taken_is_said_before_anything_is_done(command, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        bundle = str(tmp_path / "demo")  # without one, `demo` would build for minutes
        assert main([command, "--host", "127.0.0.1", "--port", port, "--bundle", bundle]) == 1
    said = capsys.readouterr().err
    assert "already in use" in said
    assert port in said
    assert not (tmp_path / "demo").exists()
