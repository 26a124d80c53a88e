"""Values whose arrays lie in a file, so that several processes share their memory."""

import functools
import mmap
import pathlib
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

from ple_jax.disk import naming

ALIGNED = 64  # bytes: where an array may start


class Mapped(NamedTuple):
    """A value that is small to send: arrays of NumPy and Arrow are in the file."""

    pickled: bytes  # all but the arrays
    path: pathlib.Path  # must not change any more
    sizes: tuple[int, ...]  # of the arrays, in bytes

    @classmethod
    def of(cls, value: Any, path: pathlib.Path) -> "Mapped":
        """Writes the arrays of a value to a new file."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        sizes = []
        with naming(path), path.open("xb") as file:
            for buffer in buffers:
                file.seek(_aligned(file.tell()))
                sizes.append(file.write(buffer.raw()))
        return cls(pickled, path, tuple(sizes))

    def value(self) -> Any:
        """The value, whose arrays are mapped and read-only; the last one is kept."""
        return _load(self)


@functools.lru_cache(maxsize=1)
def _load(mapped: Mapped) -> Any:
    return pickle.loads(mapped.pickled, buffers=_buffers(mapped))


def _buffers(mapped: Mapped) -> Iterator[memoryview]:
    whole = memoryview(b"")
    if any(mapped.sizes):
        with mapped.path.open("rb") as file:
            whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    start = 0
    for size in mapped.sizes:
        start = _aligned(start)
        yield whole[start : start + size]
        start += size


def _aligned(place: int) -> int:
    return -(-place // ALIGNED) * ALIGNED
