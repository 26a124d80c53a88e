"""Accelerators by name, with their makers' peak figures.

No program reaches a peak: a bound by them is the least time that a step can take.

Sources. NVIDIA's data sheets of A100 80GB SXM, H100 SXM, H200 SXM and HGX B200: dense
rates, which are half of those "with sparsity"; NVLink and PCIe in one direction, which
is half of what is stated; the networks of DGX A100 (200 Gb/s a GPU), DGX H100, H200 and
B200 (400 Gb/s). Google's pages "TPU v5e", "TPU v5p" and "TPU v6e" of Cloud TPU: links
between chips in one direction, half of the bidirectional rate. Google publishes no rate
of the links to hosts: 16 and 32 GB/s are those of "How to Scale Your Model" (2025),
part 2.
"""

import dataclasses
from collections.abc import Iterator

from ple_jax.checks import check_known


@dataclasses.dataclass(frozen=True)
class Kind:
    """Peak figures of one device; bytes, and bytes or operations a second.

    Attributes:
        platform: What JAX calls the backend.
        memory: Bytes.
        bandwidth: Of its memory.
        float32: Of products of float32 in JAX's default precision: TF32 on GPUs, passes
            of bfloat16 on TPUs.
        bfloat16: Of products of bfloat16.
        link: To devices of the same host, one way.
        network: To devices of other hosts, one way.
        host: From its host.
        per_host: Devices of a host.
        most: Devices that may work together; None if no limit is stated.
    """

    platform: str
    memory: float
    bandwidth: float
    float32: float
    bfloat16: float
    link: float
    network: float
    host: float
    per_host: int
    most: int | None = None

    def peak(self, dtype: str) -> float:
        """Operations a second at a precision."""
        return self.bfloat16 if dtype == "bfloat16" else self.float32

    def between(self, devices: int) -> float:
        """Bytes a second between so many devices: the slowest link decides."""
        return self.link if devices <= self.per_host else self.network

    def hosts(self, devices: int) -> int:
        """Hosts that have so many devices."""
        return -(-devices // self.per_host)

    def can_have(self, devices: int) -> bool:
        """Whether so many are a part of one host, or whole hosts."""
        whole = devices <= self.per_host or devices % self.per_host == 0
        return whole and 1 <= devices <= (self.most or devices)


KINDS = {
    "a100": Kind("gpu", 80e9, 2.039e12, 156e12, 312e12, 300e9, 25e9, 32e9, per_host=8),
    "h100": Kind(
        "gpu", 80e9, 3.35e12, 494.7e12, 989.4e12, 450e9, 50e9, 64e9, per_host=8
    ),
    "h200": Kind(
        "gpu", 141e9, 4.8e12, 494.7e12, 989.4e12, 450e9, 50e9, 64e9, per_host=8
    ),
    "b200": Kind("gpu", 180e9, 8e12, 1.1e15, 2.25e15, 900e9, 50e9, 64e9, per_host=8),
    "v5e": Kind("tpu", 16e9, 819e9, 197e12, 197e12, 200e9, 200e9, 16e9, 8, most=256),
    "v5p": Kind(
        "tpu", 95e9, 2.765e12, 459e12, 459e12, 600e9, 600e9, 16e9, 4, most=6144
    ),
    "v6e": Kind("tpu", 32e9, 1.638e12, 918e12, 918e12, 400e9, 400e9, 32e9, 8, most=256),
}


def find(name: str) -> Kind:
    """The kind of a name.

    Raises:
        ValueError: It is not known.
    """
    check_known(name, KINDS, "kind of device")
    return KINDS[name]


def check_count(name: str, devices: int, batch_size: int, model: int = 1) -> None:
    """Raises a ValueError for a number of devices that cannot share a batch.

    Each part of a batch has `model` devices, which share the experts. The nearest
    number that can is named.
    """
    kind = find(name)
    known = list(counts(kind, batch_size, model))
    if devices in known:
        return
    if not known:
        raise ValueError(
            f"train.mesh.model = {model} is not possible: no number of {name} divides "
            "into so many parts."
        )
    near = min(known, key=lambda count: abs(count - devices))
    parts = f" by {model} (train.mesh.model)" if model > 1 else ""
    limit = f", at most {kind.most:,}" if kind.most else ""
    raise ValueError(
        f"--devices {devices:,} is not possible: {name} come as up to {kind.per_host} "
        f"on one host or as whole hosts{limit}, and a batch of {batch_size:,} "
        f"(train.batch_size) must divide evenly among them{parts}. The nearest number "
        f"is {near:,}."
    )


def counts(kind: Kind, batch_size: int, model: int) -> Iterator[int]:
    """Numbers of devices that can share a batch, `model` of them each part."""
    return (
        count * model
        for count in range(1, batch_size + 1)
        if batch_size % count == 0 and kind.can_have(count * model)
    )
