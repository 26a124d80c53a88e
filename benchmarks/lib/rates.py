"""The machine's own rates: float operations of a product, bytes of a copy."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .measure import in_turn, medians, queued
from .report import Record

Rates = dict[str, float]  # dtype -> operations a second; "copy" -> bytes a second


def product(
    a: int, b: int, c: int, dtype: Any = jnp.float32, precision: str | None = None
) -> Callable[[], jax.Array]:
    """Multiplies (a, b) and (b, c), of random numbers: zeros would draw less power."""
    keys, shapes = jax.random.split(jax.random.key(0)), ((a, b), (b, c))
    matrices = [jax.random.normal(*of, dtype) for of in zip(keys, shapes, strict=True)]
    multiply = functools.partial(jnp.matmul, precision=precision)
    return functools.partial(jax.jit(multiply), *matrices)


def copy(floats: int) -> Callable[[], jax.Array]:
    """Reads and writes a large array in place: fresh memory costs its first touch."""
    array = jnp.zeros(floats, jnp.float32)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)

    def run():
        nonlocal array
        array = add(array)
        return array

    return run


def measure(
    rates: Rates, side: int, copied: int, calls: int, rounds: int
) -> list[Record]:
    """Fill `rates` with the device's best: products of (side, side), and a copy.

    A turn is `calls` calls.
    """
    ways = {
        "bfloat16": product(side, side, side, jnp.bfloat16),
        "float32": product(side, side, side),
        "float32, highest": product(side, side, side, precision="highest"),
        "copy": copy(copied),
    }
    work = dict.fromkeys(ways, 2 * side**3) | {"copy": 8 * copied}
    ways = {name: queued(way, calls) for name, way in ways.items()}
    taken = medians(in_turn(ways, rounds, warm_up=2))
    rates |= {name: calls * work[name] / taken[name] for name in ways}
    return [
        {"of": name, "GB/s": rate / 1e9}
        if name == "copy"
        else {"of": name, "TFLOP/s": rate / 1e12}
        for name, rate in rates.items()
    ]
