"""Stratified split of tagged images into two parts."""

from collections.abc import Sequence

import numpy as np


def stratified_split(labels: Sequence[Sequence[int]], share: float, seed: int = 0, name: str = 'share') -> tuple[list[int], list[int]]:
    """Split images by iterative stratification (Sechidis et al., ECML 2011), starting with the rarest class.

    An image with several classes counts for each. For shares below one half, classes with one or two images stay in the first part.

    Args:
        labels: classes of each image; images without classes are in neither part.
        share: share of the second part, in [0, 1).
        seed: seed of the order.
        name: of the share, for the message.

    Returns:
        sorted indices of the first part and of the second.

    Raises:
        ValueError: a share outside [0, 1).

    >>> first, second = stratified_split([[0]] * 8 + [[1]] * 4, share=0.25)
    >>> len(second), sum(index >= 8 for index in second)
    (3, 1)
    """
    if not 0 <= share < 1:
        raise ValueError(f'{name} must be in [0, 1), got {share}.')
    rng = np.random.default_rng(seed)
    left = {int(index) for index in rng.permutation(len(labels)) if labels[index]}
    order = {int(index): rank for rank, index in enumerate(rng.permutation(len(labels)))}
    parts: tuple[list[int], list[int]] = ([], [])
    holders: dict[int, set[int]] = {}
    for index in left:
        for c in set(labels[index]):
            holders.setdefault(c, set()).add(index)
    wishes = [{c: size * len(held) for c, held in holders.items()} for size in (1 - share, share)]
    room = [size * len(left) for size in (1 - share, share)]
    while left:
        rarest = min((c for c, held in holders.items() if held), key=lambda c: (len(holders[c]), c))
        for index in sorted(holders[rarest], key=order.__getitem__):
            second = (wishes[1][rarest], room[1]) > (wishes[0][rarest], room[0])
            parts[second].append(index)
            left.discard(index)
            room[second] -= 1
            for c in set(labels[index]):
                wishes[second][c] -= 1
                holders[c].discard(index)
    return sorted(parts[0]), sorted(parts[1])
