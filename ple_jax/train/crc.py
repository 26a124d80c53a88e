"""CRC-32 of a whole out of those of its parts.

A CRC is the remainder of the bits, as a polynomial over GF(2), modulo one of degree 32.
Appending n bytes multiplies what stands before by x^(8n), so that parts which lie in
several processes need not meet.
"""

POLYNOMIAL = 0xEDB88320  # of CRC-32, the lowest bit is that of x^31
ONE, X = 1 << 31, 1 << 30


def joined(first: int, second: int, length: int) -> int:
    """CRC-32 of two parts, the second of which has `length` bytes.

    Example:
        >>> import zlib
        >>> joined(zlib.crc32(b"some "), zlib.crc32(b"bytes"), 5) == zlib.crc32(
        ...     b"some bytes"
        ... )
        True
    """
    return _product(_power(8 * length), first) ^ second


def _product(a: int, b: int) -> int:
    """a b, modulo the polynomial."""
    total = 0
    while a:
        if a & ONE:
            total ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ POLYNOMIAL if b & 1 else b >> 1
    return total


def _power(n: int) -> int:
    """x^n, modulo the polynomial."""
    power, square = ONE, X
    while n:
        if n & 1:
            power = _product(power, square)
        square, n = _product(square, square), n >> 1
    return power
