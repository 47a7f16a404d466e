"""`recserve demo` builds when, and only when, there is no demo that this version can serve.

What a build brings is tested with the builds. Here the bundles are filled by hand.
"""

import json
import socket

import pytest

from app.bundle.manifest import MANIFEST, LearnedFacts
from app.bundle.reader import UNSEALED, sealed
from app.bundle.writer import write_bundle
from app.cli import main
from app.commands.demo import is_untrained, servable
from app.core.errors import BundleError
from app.offline.input.recipe import load_recipe
from app.offline.presets import DEMO
from tests.bundles import SMALL_FACTS, fill_small

DEMO_RECIPE = load_recipe(DEMO).shown()
LEARNED = LearnedFacts(
    features={"history": ("f",)}, decays={"content_knn": 0.5}, content_knn_share=0.1, metrics={}
)


def fill_demo(folder):
    """Fill a bundle that looks like the demo without training."""
    fill_small(folder)
    (folder / "encoder/kernel.safetensors").write_bytes(b"kernel")
    return SMALL_FACTS.model_copy(update={"recipe": DEMO_RECIPE, "n_events": 9})


def changed(bundle, **fields):
    """Change fields of the manifest, as another version would have written them."""
    path = bundle.path / MANIFEST
    manifest = json.loads(path.read_text()) | {"manifest_sha256": UNSEALED} | fields
    path.write_text(sealed(json.dumps(manifest)))
    return bundle


@pytest.fixture
def demo(tmp_path):
    return write_bundle(tmp_path / "demo", fill_demo)


def test_a_good_bundle_is_kept(demo, tmp_path, capsys, monkeypatch):
    changed(demo, learned=LEARNED.model_dump(mode="json"))
    monkeypatch.setenv("RECSERVE_BUNDLE", str(tmp_path / "demo"))
    assert main(["demo", "--build-only"]) == 0
    assert capsys.readouterr() == ("", "")
    assert demo.path.exists()


def test_nothing_is_said_where_there_is_none_yet(tmp_path, capsys):
    assert servable(tmp_path / "demo") is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"format_version": 3}, "format 3, not 4"),
        ({"word_cutting_version": 0}, "version 0 of word cutting"),
        ({"features_version": 0}, "version 0 of features"),
    ],
)
def test_a_demo_of_an_older_version_is_built_again_and_that_is_said(
    demo, tmp_path, capsys, fields, reason
):
    changed(demo, **fields)
    assert servable(tmp_path / "demo") is None
    said = capsys.readouterr().err
    assert "is built again" in said
    assert reason in said


def test_a_demo_without_weights_for_our_kernels_is_built_again(tmp_path, capsys):
    def fill(folder):
        facts = fill_demo(folder)
        (folder / "encoder/kernel.safetensors").unlink()
        return facts

    write_bundle(tmp_path / "demo", fill)
    assert servable(tmp_path / "demo") is None
    assert "lacks encoder/kernel.safetensors" in capsys.readouterr().err


def test_a_single_generation_that_cannot_be_served_is_not_built_over(demo):
    changed(demo, format_version=3)
    with pytest.raises(BundleError, match="format 3"):
        servable(demo.path)


def test_only_a_demo_that_has_learned_nothing_is_untrained(demo, tmp_path):
    manifest = servable(tmp_path / "demo")
    assert is_untrained(manifest)
    for other in ({"learned": LEARNED}, {"n_events": 0}, {"recipe": {}}):
        assert not is_untrained(manifest.model_copy(update=other))


def test_another_bundle_needs_no_weights_for_our_kernels(tmp_path):
    write_bundle(tmp_path / "shop", fill_small)
    assert servable(tmp_path / "shop").n_items == 3


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
