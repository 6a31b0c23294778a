"""Half-open ranges of offsets: which there are together, and what is left between them."""

from collections.abc import Iterable, Sequence

Span = tuple[int, int]


def joined(spans: Iterable[Span]) -> list[Span]:
    """The ranges in order, those that touch or overlap as one."""
    found: list[Span] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        elif start < stop:
            found.append((start, stop))
    return found


def without(spans: Iterable[Span], taken: Sequence[Span]) -> list[Span]:
    """What is left of the ranges when those taken, in order and apart, are cut out."""
    left: list[Span] = []
    for start, stop in joined(spans):
        at = start
        for first, last in taken:
            if last <= at or first >= stop:
                continue
            if first > at:
                left.append((at, first))
            at = max(at, last)
        if at < stop:
            left.append((at, stop))
    return left
