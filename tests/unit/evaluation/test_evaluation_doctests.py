"""The worked examples beside the formulas say what the code does."""

import doctest
import importlib
import pkgutil

import pytest

import app.evaluation as package

MODULES = [
    "app.offline.metrics.ranking",
    *(found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_metric_has_an_example():
    module = importlib.import_module("app.offline.metrics.ranking")
    public = [f for n, f in vars(module).items() if callable(f) and not n.startswith("_")]
    mine = [f for f in public if getattr(f, "__module__", "") == module.__name__]
    assert len(mine) >= 12
    assert all(">>>" in (f.__doc__ or "") for f in mine)
