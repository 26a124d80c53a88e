"""The order of blocks within windows, beside a loop that follows its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ple_jax.data.sampling import permute
from ple_jax.data.windows import Windows

SIZES = {
    "rows": st.integers(1, 211),
    "of_block": st.integers(1, 23),
    "window": st.integers(1, 9),
    "seed": st.integers(0, 3),
    "processes": st.integers(1, 3),
}


def windows_by_loop(rows, of_block, window, seed, number, places, epoch):
    """Windows of (block, row) in the order of the sequence, before they are mixed."""
    count = -(-rows // of_block)
    sequence = []
    for block in permute(np.arange(count), count, (seed, epoch)).tolist():
        inside = range(block * of_block, min((block + 1) * of_block, rows))
        sequence += [(block, row) for row in inside]
    run = sequence[number * places : (number + 1) * places]
    in_order = list(dict.fromkeys(block for block, _ in run))
    found = [[] for _ in range(0, len(in_order), window)]
    for block, row in run:
        found[in_order.index(block) // window].append((block, row))
    return found


@given(**SIZES)
@settings(max_examples=150, deadline=None)
def test_windows_are_those_of_the_definition(rows, of_block, window, seed, processes):
    places, epoch = rows // processes, 5
    if not places:
        return
    for number in range(processes):
        one = Windows(rows, of_block, window, seed, (number, processes), places)
        course = one.course(epoch)
        wanted = windows_by_loop(rows, of_block, window, seed, number, places, epoch)
        assert len(course) == len(wanted)
        place = np.arange(places)
        found = course.rows(place)
        for i, each in enumerate(wanted):
            own = course.windows(place) == i
            in_file = [row for _, row in each]
            assert sorted(found[own]) == sorted(in_file)
            read = [
                p.block * of_block + p.first + j
                for p in course.pieces(i, of_block)
                for j in range(p.rows)
            ]
            assert read == in_file
            taken = np.array(read)[course.inside(place[own], i)]
            np.testing.assert_array_equal(taken, found[own])
            at_most = {p.block for p in course.pieces(i, of_block)}
            assert len(at_most) <= window


def test_the_order_stays_as_it_is():
    """A run must resume with it."""
    one = Windows(29, 4, 3, seed=7, process=(0, 1), places=28)
    order = [28, 14, 1, 12, 15, 2, 13, 3, 0, 11, 26, 27, 10, 8]
    order += [19, 9, 16, 25, 18, 24, 17, 6, 22, 5, 4, 21, 23, 20]
    assert one.course(0).rows(np.arange(28)).tolist() == order


def test_a_place_has_its_row_whoever_asks():
    one = Windows(97, 8, 3, 1, (1, 2), 48)
    whole = one.course(2).rows(np.arange(48))
    some = np.array([41, 3, 3, 20])
    np.testing.assert_array_equal(one.course(2).rows(some), whole[some])


@pytest.mark.parametrize(
    ("a", "b"), [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 1), (1, 0))]
)
def test_every_epoch_and_seed_has_an_order_of_its_own(a, b):
    orders = [
        Windows(512, 16, 4, seed, (0, 1), 512).course(epoch).rows(np.arange(512))
        for seed, epoch in (a, b)
    ]
    assert (orders[0] == orders[1]).mean() < 0.05
    # Windows too hold others.
    first = [set((order[:64] // 16).tolist()) for order in orders]
    assert first[0] != first[1]


def test_windows_of_an_epoch_are_mixed_in_ways_of_their_own():
    course = Windows(512, 64, 1, 0, (0, 1), 512).course(0)
    inside = [course.inside(np.arange(64) + 64 * i, i) for i in range(8)]
    for i in range(8):
        assert sorted(inside[i]) == list(range(64))
        for j in range(i):
            assert (inside[i] == inside[j]).mean() < 0.2
