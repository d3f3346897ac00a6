"""Which steps stay when memory is bounded (a leaf, plain integers)."""


class Thinning:
    """Says which entries of a list that grows without end are kept.

    When more than `most` are held, the newest half of `most` all stay, and of the older
    ones those whose number (the first is 0) is a multiple of a stride: the smallest
    power of two that leaves at most a quarter of `most`. So there are always the first
    entry, the newest ones without a gap, and evenly spaced ones between.

    Args:
        most: How many entries may be held, at least 8; `None` for no bound.
    """

    def __init__(self, most: int | None):
        self._most = most
        self._numbers: list[int] = []
        self._next = 0
        self._stride = 1

    def add(self) -> list[int] | None:
        """Counts one more entry.

        Returns:
            The positions of the entries to keep, ascending, if some are to go; else
            `None`.
        """
        if self._most is None:
            return None
        self._numbers.append(self._next)
        self._next += 1
        if len(self._numbers) <= self._most:
            return None
        newest = len(self._numbers) - self._most // 2
        older = range(newest)
        while len(older_kept := self._on_stride(older)) > self._most // 4:
            self._stride *= 2
        kept = [*older_kept, *range(newest, len(self._numbers))]
        self._numbers = [self._numbers[position] for position in kept]
        return kept

    def _on_stride(self, positions: range) -> list[int]:
        return [p for p in positions if self._numbers[p] % self._stride == 0]
