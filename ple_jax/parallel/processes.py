"""Several processes that train one run: how they meet, agree, and end.

They take the same steps in the same order. The first alone writes the run directory and
speaks; what one finds by itself, such as a score, is agreed before anybody acts on it.
Texts go through the coordinator's store, which the first process holds: unlike a
collective it can be waited for as long as the first prepares data.
"""

import itertools
import json
import math
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import jax
from jax.experimental import multihost_utils

from ple_jax.parallel import bounds, told
from ple_jax.show import console
from ple_jax.show.errors import sentence
from ple_jax.show.escape import printable

AUTO = "auto"  # the address that JAX finds by itself
# Seconds. One that stands still is lost after a heartbeat (the environment may state
# another); with what the launcher then waits for the others, within 15.
INITIALIZATION, HEARTBEAT, SHUTDOWN = 60, 10, 10
SECONDS = "PLE_JAX_HEARTBEAT_SECONDS"
WAIT = 24 * 3600 * 1000  # milliseconds: the first may prepare data, or measure
# Exit statuses. LOST is another's fault; a run whose steps end no more is STUCK.
FAILED, MISTAKE, STUCK, LOST, STOPPED = 1, 2, 75, 76, 130
LOSSES = (
    "gloo",
    "nccl",
    "coordination",
    "connection",
    "unavailable",
    "barrier",
    "task",
)
SURE = ("gloo/", "nccl", "coordination service")  # in whatever wraps JAX's error
NAMES = (f"ple_jax/{number}" for number in itertools.count())  # of what is agreed


def count() -> int:
    """How many processes train together."""
    return jax.process_count()


def several() -> bool:
    """Whether there are more than this one."""
    return count() > 1


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0


def part() -> tuple[int, int]:
    """(number, count): this process's place among all."""
    return jax.process_index(), count()


@contextmanager
def joined(address: str, *together: type[Exception]) -> Iterator[None]:
    """Joins the others, if there is an address; what fails inside ends its process.

    At once: Python would first wait for the others, which wait for it. They notice by a
    collective that fails, or by the heartbeat.

    Args:
        address: `train.distributed`.
        together: Exceptions that all processes raise at the same place, and survive.
    """
    if not address:
        yield
        return
    join(address)
    try:
        yield
    except together:
        leave()
        raise
    except BaseException as error:
        end(error)
    leave()


def join(address: str) -> None:
    """Joins the other processes; from then on only the first speaks.

    Raises:
        ValueError: No cluster is found, or not all processes come within a minute, or
            the environment states no heartbeat.
    """
    lost_after = heartbeat()
    # Signals are agreed by `train.stopping`: this would swallow them.
    jax.config.update("jax_enable_preemption_service", False)
    if told.is_launched():
        keep_on_loopback()
    try:
        jax.distributed.initialize(
            **place_of(address),
            initialization_timeout=INITIALIZATION,
            heartbeat_timeout_seconds=lost_after,
            shutdown_timeout_seconds=SHUTDOWN,
        )
        with silent():
            multihost_utils.sync_global_devices("ple_jax")  # all begin together
    except (ValueError, TypeError, RuntimeError) as error:
        why = str(error).partition("\n")[0]
        raise ValueError(
            f"The processes of train.distributed = {address!r} do not meet: {why} "
            f"Start as many as {told.COUNT} says within {INITIALIZATION} s, each with "
            f"its {told.NUMBER}; `ple-jax launch` does so on one machine."
        ) from error
    sys.excepthook = lambda kind, error, where: end(error)
    threading.excepthook = lambda thrown: end(thrown.exc_value)
    if not is_first():
        console.stderr.quiet = True
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def heartbeat() -> int:
    """Whole seconds after which a process that is not heard of is lost.

    Raises:
        ValueError: The environment states something else.
    """
    what = "seconds after which a process that is not heard of is lost, 1 or more"
    return math.ceil(bounds.seconds(SECONDS, HEARTBEAT, 1, what))


@contextmanager
def silent() -> Iterator[None]:
    """Drops what C++ prints on stdout: Gloo tells there whom it met."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def place_of(address: str) -> dict[str, Any]:
    """Which process this is and where all meet; what is left out, JAX finds."""
    if address == AUTO:
        return {}
    place: dict[str, Any] = {
        "coordinator_address": address,
        "coordinator_bind_address": address,
    }
    if told.COUNT in os.environ:
        place["num_processes"] = int(os.environ[told.COUNT])
        place["process_id"] = int(os.environ[told.NUMBER])
    if told.is_launched():
        place["local_device_ids"] = [place["process_id"]]  # a GPU for each
    return place


def keep_on_loopback() -> None:
    """Lets collectives on CPU listen on loopback, not on the machine's address."""
    from jax._src.lib import _jax

    made = getattr(_jax, "make_gloo_tcp_collectives", None)
    if made is not None:
        _jax.make_gloo_tcp_collectives = partial(made, hostname="127.0.0.1")


def leave() -> None:
    """Parts from the others, once all have come to this place."""
    try:
        _store().wait_at_barrier("ple_jax/end", WAIT)
        jax.distributed.shutdown()
    except Exception as error:
        end(error)


def end(error: BaseException | None) -> NoReturn:
    """Ends this process with one sentence, without waiting for the others.

    The traceback of what is our own mistake stands before it.
    """
    number, of = part()
    step = told.step_told_here()
    at = f" at step {step}" if step is not None else ""
    why, status = reason(error)
    text = f"error: process {number} of {of} ends{at}: {why}"
    print(printable(text), file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)


def reason(error: BaseException | None) -> tuple[str, int]:
    """Why a process ends, and with which status."""
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted", STOPPED
    if lost := loss(error):
        return f"it lost another process ({lost})", LOST
    told_user = sentence(error) if error else None
    if told_user is not None:
        return told_user, MISTAKE
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}", FAILED


def loss(error: BaseException | None) -> str:
    """What JAX says of another process that is gone, if that caused an error, or ""."""
    while error is not None:
        text = str(error)
        own = type(error).__name__ == "JaxRuntimeError"
        if any(word in text.lower() for word in (LOSSES if own else SURE)):
            return text.splitlines()[0]
        error = error.__cause__
    return ""


def _store() -> Any:
    """The coordinator's store of texts, which JAX has no public name for."""
    from jax._src import distributed

    return distributed.global_state.client


def from_first(value: Any = None) -> Any:
    """What the first process gives, in all of them; ready for JSON."""
    if not several():
        return value
    name = next(NAMES)
    if is_first():
        _store().key_value_set(name, json.dumps(value))
        return value
    return json.loads(_store().blocking_key_value_get(name, WAIT))


def from_all(value: Any) -> list[Any]:
    """What each process gives, in order, in all of them; ready for JSON."""
    if not several():
        return [value]
    name, (number, of) = next(NAMES), part()
    _store().key_value_set(f"{name}/{number}", json.dumps(value))
    return [
        json.loads(_store().blocking_key_value_get(f"{name}/{i}", WAIT))
        for i in range(of)
    ]


def wait_for_all() -> None:
    """Waits until each process has come here."""
    if several():
        _store().wait_at_barrier(next(NAMES), WAIT)


def check_alike(facts: Mapping[str, Any]) -> None:
    """Raises a ValueError that names a process, and what it has that the first has not.

    Args:
        facts: What must be equal in all processes, by name; ready for JSON.
    """
    first, *others = from_all(dict(facts))
    for number, other in enumerate(others, start=1):
        if unlike := [k for k in first | other if first.get(k) != other.get(k)]:
            leave()
            if not is_first():
                os._exit(MISTAKE)  # the first says so
            name = unlike[0]
            raise ValueError(
                f"process {number} has {name} = {other.get(name)!r}, but process 0 has "
                f"{first.get(name)!r}: all must train the same."
            )
