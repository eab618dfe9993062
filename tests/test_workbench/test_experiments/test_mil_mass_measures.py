"""Where the weight of proposals lies."""

import numpy as np
import pytest

from mmlabelpenet.workbench.experiments.mil_mass_measures import KEYS, painted, pixel_shares, summarise_mass, tag_mass

SIZE = (24, 32)


def random_boxes(rng, count):
    corner = rng.integers(0, (SIZE[1] - 6, SIZE[0] - 6), size=(count, 2))
    return np.concatenate([corner, corner + rng.integers(1, 7, size=(count, 2))], 1).astype(np.float32)


@pytest.mark.parametrize('seed', range(3))
def test_shares_and_mass_equal_counting_pixels(seed):
    rng = np.random.default_rng(seed)
    boxes, pixels, weights = random_boxes(rng, 20), rng.random(SIZE) < 0.3, rng.dirichlet(np.ones(20))
    slow = []
    for left, top, right, bottom in boxes.astype(int):
        inside = [pixels[y, x] for y in range(top, bottom) for x in range(left, right)]
        slow.append(sum(inside) / len(inside))
    assert pixel_shares(boxes, pixels) == pytest.approx(slow)
    found = tag_mass(boxes, weights, weights, boxes[:1], pixels)
    assert found['mass_on_object'] == pytest.approx(sum(w * s for w, s in zip(weights, slow)))
    assert found['uniform_on_object'] == pytest.approx(np.mean(slow))


def test_a_tag_by_hand():
    boxes = np.array([[0, 0, 8, 12], [0, 0, 16, 12], [16, 12, 32, 24]], np.float32)
    found = tag_mass(boxes, np.array([0.1, 0.9, 0.2]), np.array([0.5, 0.25, 0.25]), boxes[:1], painted(boxes[:1], SIZE))
    assert found == pytest.approx(
        dict(
            chosen_area=0.25,
            mass_on_object=0.5 + 0.25 / 2,
            uniform_on_object=0.5,
            entropy=1.5 * np.log(2) / np.log(3),
            chosen_iou=0.5,
            CorLoc_50=1.0,
        )
    )


def test_boxes_beyond_the_image_and_boxes_without_a_pixel_are_measured_too():
    shares = pixel_shares(np.array([[-5, -5, 40, 40], [31.9, 23.9, 32, 24], [3, 3, 3, 3]]), np.ones(SIZE, bool))
    assert shares.tolist() == [1, 1, 1]


def test_one_proposal_has_no_choice():
    box = np.array([[0, 0, 32, 24]], np.float32)
    assert tag_mass(box, np.ones(1), np.ones(1), box, np.ones(SIZE, bool))['entropy'] == 1


def test_areas_have_a_median_corloc_is_a_mean_over_classes_and_the_rest_a_mean_over_tags():
    records = [dict.fromkeys(KEYS, value) for value in (0.0, 0.1, 1.0, 1.0)]
    found = summarise_mass(records, [0, 0, 0, 2], num_classes=3)
    assert found['chosen_area'] == pytest.approx(55) and found['entropy'] == pytest.approx(52.5)
    assert found['CorLoc_50'] == pytest.approx((110 / 3 + 100) / 2)


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match='nothing to measure'):
        summarise_mass([], [], 3)
