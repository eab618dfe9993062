"""Which images of a data set are looked at."""

import pytest

from mmlabelpenet.workbench.report.training_images import evenly_spread


def test_so_many_images_as_asked_for_are_spread_from_the_first_to_the_last():
    assert evenly_spread(100, 5) == [0, 25, 50, 74, 99] and evenly_spread(0, 3) == [] and evenly_spread(3) == [0, 1, 2]
    for length in range(1, 40):
        for count in range(1, 45):
            chosen = evenly_spread(length, count)
            assert len(set(chosen)) == len(chosen) == min(length, count) and chosen == sorted(chosen)
    with pytest.raises(ValueError, match='at least one of 9 images, got 0'):
        evenly_spread(9, 0)
