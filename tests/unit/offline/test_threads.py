"""What is learned does not depend on the threads of the machine."""

import os
import threading

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from app.offline.learning.fusion import choose
from app.offline.learning.neighbours import sequential_ridge
from app.offline.learning.train_scorer import ThreeNetworks, train
from app.offline.threads import BLAS_THREADS, fixed_threads, side_by_side
from tests.planted import as_sequences, planted_lists, ring_walks

pytestmark = pytest.mark.learning


def blas_threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_the_number_is_fixed_inside_and_as_before_outside():
    before = torch.get_num_threads(), blas_threads()
    with fixed_threads():
        assert (torch.get_num_threads(), blas_threads()) == (1, {BLAS_THREADS})
    assert (torch.get_num_threads(), blas_threads()) == before


@pytest.mark.parametrize("threads", [1, 3])
def test_learning_gives_the_same_bits(threads):
    sequences = as_sequences(ring_walks(150, 400))

    def learned():
        with fixed_threads():
            chosen = choose(planted_lists(), lambda columns: columns[2], 0)
            return chosen.arrays, sequential_ridge(sequences, 150).weights

    expected, table = learned()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with threadpool_limits(threads, user_api="blas"):
        arrays, again = learned()
    torch.set_num_threads(before)
    assert all((arrays[name] == expected[name]).all() for name in expected)
    np.testing.assert_array_equal(again, table)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: one after the other")
def test_calls_run_side_by_side_and_keep_their_order():
    both = threading.Barrier(2, timeout=30)
    results = side_by_side([lambda: both.wait() * 0 + 1, lambda: both.wait() * 0 + 2])
    assert results == [1, 2]


def test_models_fitted_side_by_side_are_those_fitted_alone():
    examples = planted_lists()
    alone = [train(examples, seed, make=ThreeNetworks).arrays for seed in (1, 2)]
    together = side_by_side(
        [lambda seed=seed: train(examples, seed, make=ThreeNetworks).arrays for seed in (1, 2)]
    )
    for one, other in zip(alone, together, strict=True):
        assert all((one[name] == other[name]).all() for name in one)
