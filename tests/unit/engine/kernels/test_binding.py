"""C and Python agree on structs, tables and constants, or the kernel is refused."""

import ctypes
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from app.engine.kernels.features import KernelFeatures
from app.engine.kernels.instruction_set import NUMBERS
from app.engine.kernels.lexical_features import KernelLexicalFeatures, Titles
from app.engine.kernels.loader import (
    FLAGS,
    FOLDER,
    KernelMismatch,
    Unavailable,
    bind,
    load_library,
    struct_layout,
    table_layout,
)
from app.engine.kernels.topk import KernelTopK
from tests.planted import random_behaviour

SETS = {name.upper(): number for name, number in NUMBERS.items()}


@pytest.fixture
def library() -> ctypes.CDLL:
    try:
        return load_library()
    except Unavailable as why:
        pytest.skip(str(why))


def changed(tmp_path: Path, kernel: str, old: str, new: str) -> ctypes.CDLL:
    """Compile one C file with a change."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    shutil.copytree(FOLDER, tmp_path / "c", ignore=shutil.ignore_patterns("*.so"))
    source = tmp_path / "c" / f"{kernel}.c"
    text = source.read_text()
    assert text.count(old) == 1
    source.write_text(text.replace(old, new))
    made = tmp_path / "changed.so"
    subprocess.run([compiler, *FLAGS, "-o", str(made), str(source), "-lm"], check=True)
    return ctypes.CDLL(str(made))


def test_what_both_sides_say_is_accepted_and_functions_take_integers(library):
    functions = {"instruction_set_available": (ctypes.c_int, [ctypes.c_int32])}
    bind(library, "instruction_set", functions, SETS)
    assert library.instruction_set_available(NUMBERS["avx2"]) == 1


@pytest.mark.parametrize(
    ("shared", "said"),
    [
        (SETS | {"VNNI": 7}, r"VNNI \(1 in C, 7 in Python\)"),
        ({"AVX2": 0, "VNNI": 1}, r"AMX \(2 in C, None in Python\)"),
        (SETS | {"AVX10": 3}, r"AVX10 \(None in C, 3 in Python\)"),
    ],
)
def test_another_number_one_too_few_and_one_too_many_are_refused(library, shared, said):
    with pytest.raises(KernelMismatch, match=said):
        bind(library, "instruction_set", {}, shared)


@pytest.mark.parametrize(
    ("kernel", "change", "said"),
    [
        ("features", ("RECENT = 20,", "RECENT = 24,"), r"RECENT \(24 in C, 20 in Python\)"),
        (
            "features",
            ("int64_t n_recent, n_rows;\n    double", "int64_t n_rows, n_recent;\n    double"),
            r"Request.n_recent \(24 in C, 16 in Python\), Request.n_rows \(16 in C",
        ),
        (
            "topk",
            ("int64_t n_rows, size;", "int64_t size, n_rows;"),
            r"TopkRequest.n_rows \(16 in C, 8 in Python\)",
        ),
        (
            "lexical_features",
            ("BM25, BM25_RANK,", "BM25_RANK, BM25,"),
            r"BM25 \(1 in C, 0 in Python\), BM25_RANK \(0 in C",
        ),
        ("topk", ("int64_t n; } RowList;", "int64_t n, m; } RowList;"), r"RowList \(24 in C"),
    ],
)
def test_a_c_file_that_was_changed_alone_is_refused(tmp_path, library, kernel, change, said):
    opened = {
        "features": partial(KernelFeatures, behaviour=random_behaviour(0, 30)),
        "topk": partial(KernelTopK, n=30),
        "lexical_features": partial(
            KernelLexicalFeatures,
            titles=Titles(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.uint8)),
        ),
    }[kernel]
    opened(library)
    with pytest.raises(KernelMismatch, match=said):
        opened(changed(tmp_path, kernel, *change))


def test_layouts_name_sizes_and_offsets():
    class _Pair(ctypes.Structure):
        _fields_ = [("one", ctypes.c_int32), ("two", ctypes.c_void_p)]

    assert struct_layout(_Pair) == {"Pair": 16, "Pair.one": 0, "Pair.two": 8}
    assert table_layout("Line", ("a", "b.c")) == {"Line": 16, "Line.a": 0, "Line.b.c": 8}
    assert struct_layout() == {}
