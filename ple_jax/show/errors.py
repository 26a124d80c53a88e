"""What went wrong, in one sentence, where it is the user's or the machine's fault."""

import errno
import re
import sys

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
OF_DEVICE = r"(?:RESOURCE_EXHAUSTED: |(?=Out of memory))(.*)"
# Libraries that are slow to import: their errors can only come where they are loaded.
OTHERS = {"pyarrow": "ArrowException", "jax.errors": "JaxRuntimeError"}


def sentence(error: BaseException) -> str | None:
    """What to tell the user; None if the error is a mistake of this program."""
    text = str(error)
    if isinstance(error, MemoryError):
        return f"There is not enough memory{f': {text}' if text else '.'}"
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, ValueError | FloatingPointError):
        return text
    if _is("pyarrow", error):
        return f"{type(error).__name__}: {text}"
    if _is("jax.errors", error) and (full := re.search(OF_DEVICE, text)):
        return f"There is not enough memory: {full[1]}"
    return None


def _is(module: str, error: BaseException) -> bool:
    """Whether it is an error of a library, which may not be loaded."""
    kind = getattr(sys.modules.get(module), OTHERS[module], ())
    return isinstance(error, kind)


def _of_system(error: OSError) -> str:
    """The file and what it suffered; our own errors are sentences already."""
    if error.strerror is None:
        return str(error)
    names = [error.filename, error.filename2]
    named = " -> ".join(str(name) for name in names if name is not None)
    what = FULL.get(error.errno or 0, error.strerror)
    return f"{named}: {what}." if named else f"{what[:1].upper()}{what[1:]}."
