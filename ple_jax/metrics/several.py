"""P-values of several comparisons that are read together."""

from collections.abc import Sequence


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's corrected p-values: below a level, they are wrong together no more often.

        p_(k) = max over j <= k of min(1, (m - j + 1) p_(j)),   p_(1) <= ... <= p_(m)

    However the comparisons depend on each other, the chance that any true null
    hypothesis of all has a corrected value below alpha is at most alpha.

    Args:
        values: P-values from 0 to 1; None for a comparison that is undefined, which
            does not count.

    Reference: Holm, Scandinavian Journal of Statistics 1979.

    Example:
        >>> [round(p, 2) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    order = sorted((p, i) for i, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[i] = largest
    return corrected
