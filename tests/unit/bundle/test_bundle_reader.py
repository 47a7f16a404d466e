"""Bundles: published whole, verified whole, refused before any parser sees a damaged byte."""

import json
import mmap
import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.bundle.manifest import MANIFEST
from app.bundle.reader import (
    CURRENT,
    MOST_READ,
    UNSEALED,
    load_arrays,
    load_vectors,
    open_bundle,
    read_tensors,
    sealed,
)
from app.bundle.writer import write_bundle
from app.cli import main
from app.core.errors import BundleError
from tests.bundles import SMALL_FACTS as FACTS
from tests.bundles import fill_small as fill

FILES = ["vectors.npy", "items.safetensors", "encoder/model.bin", "encoder/empty"]


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "shop", fill)


def rewritten(bundle, **changes):
    """Write the manifest again with some fields changed, correctly sealed."""
    path = bundle.path / MANIFEST
    fields = json.loads(path.read_text()) | {"manifest_sha256": UNSEALED} | changes
    path.write_text(sealed(json.dumps(fields)))
    return bundle.path


# --- round trip


def test_what_was_written_is_read(bundle, tmp_path):
    opened = open_bundle(tmp_path / "shop")
    assert opened == bundle == open_bundle(bundle.path) == open_bundle(tmp_path / "shop" / CURRENT)
    assert opened.manifest.name == "shop"
    assert opened.manifest.generation == opened.path.name
    assert sorted(opened.manifest.files) == sorted(FILES)
    assert dict(FACTS) == {name: getattr(opened.manifest, name) for name in dict(FACTS)}


def test_arrays_cannot_be_written(bundle):
    arrays = load_arrays(bundle, "items.safetensors")
    assert arrays["a/values"].tolist() == [0, 1, 2, 3, 4]
    assert arrays["b"].dtype == np.int32
    assert arrays["b"].shape == (0,)
    vectors = load_vectors(bundle)
    assert np.array_equal(vectors, np.eye(3, 4))
    for array in (arrays["a/values"], vectors):
        assert not array.flags.writeable


@pytest.mark.parametrize("harm", ["removed", "cut off", "overwritten"])
def test_arrays_outlive_what_happens_to_their_files(bundle, harm):
    arrays, vectors = load_arrays(bundle, "items.safetensors"), load_vectors(bundle)
    for path in list(bundle.path.glob("*.*")):
        if harm == "removed":
            path.unlink()
        elif harm == "cut off":
            os.truncate(path, 0)
        else:
            with path.open("r+b") as file:
                file.write(b"\xff" * path.stat().st_size)
    assert arrays["a/values"].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(vectors, np.eye(3, 4))


def test_a_large_file_is_mapped_and_says_the_same(tmp_path):
    """A file with a hole, which takes no room on the disk."""
    path, n = tmp_path / "large.safetensors", MOST_READ // 4
    header = {
        "first": {"dtype": "F32", "shape": [n], "data_offsets": [0, 4 * n]},
        "last": {"dtype": "I64", "shape": [2], "data_offsets": [4 * n, 4 * n + 16]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.seek(4 * n, os.SEEK_CUR)
        file.write(np.array([7, -7]).tobytes())
    arrays = read_tensors(path)
    assert (len(arrays["first"]), arrays["last"].tolist()) == (n, [7, -7])
    assert not arrays["first"].flags.writeable
    base = arrays["first"]
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, memoryview)
    assert isinstance(base.obj, mmap.mmap)


def test_a_tensor_at_an_odd_address_is_refused(tmp_path):
    path = tmp_path / "odd.safetensors"
    header = {
        "one": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "two": {"dtype": "F32", "shape": [MOST_READ // 4], "data_offsets": [1, MOST_READ + 1]},
    }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + MOST_READ + 1)
    with pytest.raises(ValueError, match="odd address"):
        read_tensors(path)


# --- refusal


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_deleted_file_is_noticed(bundle, name):
    (bundle.path / name).unlink()
    with pytest.raises(BundleError):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", [*FILES[:-1], MANIFEST])
def test_a_truncated_file_is_noticed(bundle, name):
    path = bundle.path / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_longer_file_is_noticed(bundle, name):
    with (bundle.path / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleError):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", [*FILES[:-1], MANIFEST])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_any_flipped_bit_is_noticed(bundle, name, data):
    path = bundle.path / name
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    try:
        with pytest.raises(BundleError):
            open_bundle(bundle.path)
    finally:
        path.write_bytes(whole)


def test_swapped_files_are_noticed(bundle):
    one, two = bundle.path / "vectors.npy", bundle.path / "items.safetensors"
    one_bytes, two_bytes = one.read_bytes(), two.read_bytes()
    one.write_bytes(two_bytes)
    two.write_bytes(one_bytes)
    with pytest.raises(BundleError, match="has another size"):
        open_bundle(bundle.path)


def test_a_file_of_the_same_size_is_noticed(bundle):
    (bundle.path / "encoder/model.bin").write_bytes(bytes(256))
    with pytest.raises(BundleError, match="has another checksum"):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", ["more.npy", "encoder/more", "new/more", ".hidden"])
def test_an_added_file_is_noticed(bundle, name):
    path = bundle.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(BundleError, match="does not name"):
        open_bundle(bundle.path)


def test_a_link_is_refused_even_if_its_target_is_right(bundle, tmp_path):
    moved = shutil.move(bundle.path / "vectors.npy", tmp_path / "elsewhere.npy")
    (bundle.path / "vectors.npy").symlink_to(moved)
    with pytest.raises(BundleError, match="no file"):
        open_bundle(bundle.path)


@pytest.mark.parametrize(
    "name",
    ["../other", "/etc/passwd", "a/../../b", "./vectors.npy", "a//b", "", ".", "a\\b", MANIFEST],
)
def test_a_manifest_that_points_outside_is_refused(bundle, name):
    facts = {"bytes": 0, "sha256": "0" * 64}
    with pytest.raises(BundleError, match="wrong at 'files"):
        open_bundle(rewritten(bundle, files={name: facts}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 5}, "has format 5, not 4"),
        ({"format_version": None}, "has format None"),
        ({"colour": "red"}, "wrong at 'colour'"),
        ({"n_items": -1}, "wrong at 'n_items'"),
        ({"attributes": {"a": "colour"}}, "wrong at 'attributes.a'"),
        ({"generation": "../x"}, "wrong at 'generation'"),
        ({"generation": "20200101T000000000000Z-00000000"}, "another generation"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(bundle, changes, message):
    with pytest.raises(BundleError, match=message):
        open_bundle(rewritten(bundle, **changes))


def test_a_bundle_of_format_3_is_refused_with_the_command_that_builds_it_again(bundle, tmp_path):
    rewritten(bundle, format_version=3)
    for path in (bundle.path, tmp_path / "shop"):
        with pytest.raises(BundleError) as caught:
            open_bundle(path)
        # Callers of the API read this message too: it names no folder of the machine.
        assert caught.value.message == (
            "the bundle has format 3, not 4: build it again with "
            "`recserve build --items FILE --out models/shop`"
        )


def test_serve_refuses_a_bundle_of_format_3_in_one_line(bundle, tmp_path, capsys):
    rewritten(bundle, format_version=3)
    code = main(["serve", "--bundle", str(tmp_path / "shop"), "--port", "0"])

    assert code == 1
    assert capsys.readouterr().err == (
        "recserve: the bundle has format 3, not 4: build it again with "
        "`recserve build --items FILE --out models/shop`\n"
    )


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '{"format_version": 1}'])
def test_a_manifest_that_is_none_is_refused(bundle, text):
    (bundle.path / MANIFEST).write_text(text)
    with pytest.raises(BundleError):
        open_bundle(bundle.path)


def test_a_changed_manifest_is_noticed_even_if_it_still_fits(bundle):
    path = bundle.path / MANIFEST
    path.write_text(path.read_text().replace('"n_items": 3', '"n_items": 4'))
    with pytest.raises(BundleError, match="changed after it was written"):
        open_bundle(bundle.path)


def test_a_missing_bundle_says_what_builds_one(tmp_path):
    with pytest.raises(BundleError, match=r"recserve demo.*recserve build --items FILE"):
        open_bundle(tmp_path / "none")


@pytest.mark.parametrize("target", ["../shop", "/", "gone", "20200101T000000000000Z-00000000"])
def test_current_may_only_point_to_a_generation_beside_it(bundle, tmp_path, target):
    link = tmp_path / "shop" / CURRENT
    link.unlink()
    link.symlink_to(target)
    with pytest.raises(BundleError, match="does not point to a generation"):
        open_bundle(tmp_path / "shop")


def test_a_file_that_the_manifest_does_not_name_is_not_parsed(bundle):
    (bundle.path / "later.safetensors").write_bytes(b"x")
    with pytest.raises(BundleError, match="lacks"):
        load_arrays(bundle, "later.safetensors")


@pytest.mark.parametrize(
    "raw", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{}x", b"\x10\0\0\0\0\0\0\0{}"], ids=range(4)
)
def test_a_malformed_array_file_is_refused(tmp_path, raw):
    def broken(folder):
        fill(folder)
        (folder / "items.safetensors").write_bytes(raw)
        return FACTS

    bundle = write_bundle(tmp_path / "shop", broken)
    with pytest.raises(BundleError, match="malformed"):
        load_arrays(open_bundle(bundle.path), "items.safetensors")


@pytest.mark.parametrize(
    "vectors",
    [
        np.eye(2, 4, dtype=np.float32),
        np.eye(3, 4),
        np.array([None]),
        np.eye(3, 5, dtype=np.float32),
    ],
)
def test_vectors_of_another_shape_type_or_with_objects_are_refused(tmp_path, vectors):
    def broken(folder):
        fill(folder)
        np.save(folder / "vectors.npy", vectors, allow_pickle=True)
        return FACTS

    with pytest.raises(BundleError):
        load_vectors(write_bundle(tmp_path / "shop", broken))
