"""The kernel's file of a random BERT, kept: the same bytes, and other ones for anything else."""

import ast
import hashlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from sentence_transformers.sentence_transformer.modules import Pooling
from threadpoolctl import threadpool_limits

from app.offline.encoder import kernel_file
from app.offline.encoder.export import export_encoder
from tests.tiny_bert import saved, tiny_bert

pytestmark = pytest.mark.model

APP = Path(kernel_file.__file__).parents[2]
#: Just large enough to be kept.
SIZES = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "initializer_range": 0.1,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return saved(folder / "src", tiny_bert(folder / "bert", **SIZES), Pooling(256))


def exported(source: Path, to: Path) -> bytes:
    export_encoder(str(source), to)
    return (to / "kernel.safetensors").read_bytes()


@pytest.fixture(scope="module")
def first(source, tmp_path_factory) -> tuple[bytes, Path]:
    """What the first export makes, and the cache folder that it leaves."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return exported(source, folder / "made"), folder / "cache"


@pytest.fixture
def made(first) -> bytes:
    return first[0]


@pytest.fixture
def cache(first, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, in use."""
    shutil.copytree(first[1], tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "recserve"


def keys(cache: Path) -> set[str]:
    return {path.name.split("-")[1] for path in cache.iterdir()}


def test_what_was_kept_has_the_bytes_of_rounding_anew(source, made, cache, tmp_path, monkeypatch):
    assert exported(source, tmp_path / "taken") == made
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert exported(source, tmp_path / "anew") == made


def test_a_later_export_rounds_nothing(source, made, cache, tmp_path):
    (path,) = cache.iterdir()
    assert path.read_bytes() == made
    # Whole by its checksum, but nothing that rounding would have come to.
    other = made[:-1] + bytes([made[-1] ^ 1])
    path.unlink()
    name = f"rounded-{path.name.split('-')[1]}-{hashlib.sha256(other).hexdigest()}.safetensors"
    (cache / name).write_bytes(other)
    assert exported(source, tmp_path / "taken") == other


def test_the_same_model_in_another_folder_is_the_same(source, cache, tmp_path):
    shutil.copytree(source, tmp_path / "moved")
    exported(tmp_path / "moved", tmp_path / "taken")
    assert len(keys(cache)) == 1


def _another_weight(source: Path) -> None:
    bert = tiny_bert(source.parent / "other", **SIZES)
    with torch.no_grad():
        bert.auto_model.encoder.layer[0].output.dense.bias[0] += 1e-3
    bert.auto_model.save_pretrained(source)


def _another_word(source: Path) -> None:
    path = source / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"oak"', '"elm"'), encoding="utf-8")


def _another_number(source: Path) -> None:
    path = source / "config.json"
    facts = json.loads(path.read_text(encoding="utf-8")) | {"layer_norm_eps": 1e-5}
    path.write_text(json.dumps(facts), encoding="utf-8")


@pytest.mark.parametrize("change", [_another_weight, _another_word, _another_number])
def test_another_model_is_rounded_for_itself(source, cache, tmp_path, change):
    other = tmp_path / "model" / "src"
    shutil.copytree(source, other)
    change(other)
    exported(other, tmp_path / "other")
    assert len(keys(cache)) == 2


@pytest.fixture(params=[1, 3])
def other_threads(request) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    with threadpool_limits(request.param, "blas"):
        yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("other_threads")
def test_any_number_of_threads_gives_the_same_bytes(source, made, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    assert exported(source, tmp_path / "other") == made


@pytest.mark.usefixtures("other_threads")
def test_any_number_of_threads_takes_what_was_kept(source, cache, tmp_path):
    exported(source, tmp_path / "other")
    assert len(keys(cache)) == 1


def _beside(folder: Path) -> ModuleType:
    """Load our module anew, with the sources of `folder` beside it."""
    path = folder / "offline" / "encoder" / "kernel_file.py"
    spec = importlib.util.spec_from_file_location("copied_kernel_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", kernel_file.SOURCES)
def test_rounding_that_was_changed_is_done_again(tmp_path, name):
    bert, weights = tiny_bert(tmp_path / "bert").auto_model, {}
    found = set()
    for text in ("", "# changed\n"):
        folder = tmp_path / f"app{len(found)}"
        shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("*.so", "__py*"))
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)
        found.add(_beside(folder)._key(bert, "", "", weights, ("",)))
    assert len(found) == 2
    assert kernel_file._key(bert, "", "", weights, ("",)) in found


def test_all_that_rounding_imports_of_ours_is_part_of_the_key():
    known = {f"app.{name.removesuffix('.py').replace('/', '.')}" for name in kernel_file.SOURCES}
    for name in kernel_file.SOURCES:
        if not name.startswith("offline/"):
            continue  # of the kernel's module it is the layout alone, numbers in the file itself
        tree = ast.parse((APP / name).read_text(encoding="utf-8"))
        used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {module for module in used if module.split(".")[0] == "app"} <= known
