"""Spreads the rows of a table, so that devices that share it have as much to do each.

Ids are numbered by how often train has them, so that the first of several ranges of
rows has nearly all that a batch reads. Spread rows lie in lanes, and the next row in
another lane, far off by the golden ratio:

    place(r) = lane(r mod m) n + floor(r / m),  lane(j) = g j mod m,  n = ceil(R / m)

for R rows and m lanes, m a power of two and g odd, near 0.618 m. It is the same on any
number of devices, and needs integers of 32 bits alone.
"""

from ple_jax.types import Array

GOLDEN = 0.6180339887498949
MOST_LANES, LEAST_LENGTH = 4096, 16  # of lanes; of rows in each


def lanes_of(rows: int) -> int:
    """m: at most 4096, and few enough for each to have 16 rows or more.

    One where places would not be int32.
    """
    if rows > 2**31 - 1 - MOST_LANES:
        return 1
    return min(MOST_LANES, 1 << max(rows // LEAST_LENGTH, 1).bit_length() - 1)


def spread_length(rows: int) -> int:
    """m n: up to m - 1 places have no row.

    Example:
        >>> [spread_length(rows) for rows in (10, 100, 1000, 10**6)]
        [10, 100, 1024, 1003520]
    """
    lanes = lanes_of(rows)
    return -(-rows // lanes) * lanes


def spread(row: Array, rows: int) -> Array:
    """The place of a row, out of R = `rows`; places are below `spread_length`."""
    lanes = lanes_of(rows)
    step, bits = int(GOLDEN * lanes) | 1, lanes.bit_length() - 1
    lane = (row & (lanes - 1)) * step & (lanes - 1)
    return lane * (-(-rows // lanes)) + (row >> bits)


def unspread(place: Array, rows: int) -> Array:
    """The row at a place below `spread_length`; `rows` or more where none is."""
    lanes = lanes_of(rows)
    length, step = -(-rows // lanes), int(GOLDEN * lanes) | 1
    first = (place // length) * pow(step, -1, lanes) & (lanes - 1)
    return place % length * lanes + first
