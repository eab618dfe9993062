import numpy as np
import pytest

from mmlabelpenet.apis.results import Prediction, worth_showing


@pytest.fixture
def found():
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 5:10, 5:15] = True
    masks[1, 8:18, 10:25] = True
    boxes = np.array([[5, 5, 15, 10], [10, 8, 25, 18]], np.float32)
    return Prediction('a', None, (20, 30), 'segmentation', ('cat', 'dog'), boxes, np.array([0.9, 0.4]), np.array([1, 0]), masks)


def test_of_two_instances_the_better_has_the_pixel(found):
    assert found.semantic[9, 12] == 2 and found.numbered[9, 12] == 1
    assert found.semantic[15, 20] == 1 and found.numbered[15, 20] == 2
    assert (found.semantic > 0).sum() == (found.numbered > 0).sum() == np.asarray(found.masks).any(0).sum()


def test_labels_have_names(found):
    assert found.names == ['dog', 'cat'] and len(found) == 2


def test_a_prediction_draws_itself(found):
    image = np.zeros((20, 30, 3), np.uint8)
    assert found.draw(image, scale=4).shape == (80, 120, 3)
    assert found.draw(image).any() and not image.any()
    with pytest.raises(ValueError, match='pass it to draw'):
        found.draw()
    with pytest.raises(ValueError, match='for an image of size'):
        found.draw(image[:5])
    with pytest.raises(ValueError, match='An image is an RGB array uint8 .* got float64'):
        found.draw(image / 255)
    assert np.array_equal(found.draw(image[..., 0]), found.draw(image))
    for scale in (0, -1, float('nan')):
        with pytest.raises(ValueError, match=f'scale must be above 0, got {scale}'):
            found.draw(image, scale)


def test_maps_need_masks(found):
    boxes_only = Prediction(**{**vars(found), 'masks': None})
    for name in ('semantic', 'numbered'):
        with pytest.raises(ValueError, match='with_masks'):
            getattr(boxes_only, name)
    assert boxes_only.draw(np.zeros((20, 30, 3), np.uint8)).any()


def test_an_image_without_instances_has_empty_maps(found):
    nothing = Prediction(
        'a', None, (20, 30), 'segmentation', ('cat',), found.bboxes[:0], found.scores[:0], found.labels[:0], found.masks[:0]
    )
    assert not nothing.semantic.any() and not nothing.numbered.any()
    assert not nothing.draw(np.zeros((20, 30, 3), np.uint8)).any()


@pytest.mark.parametrize(
    ('ranks', 'scores', 'shown'),
    [
        (False, [0.9, 0.31, 0.29], 2),
        (False, [], 0),
        (True, [0.01, 0.004, 0.002], 2),
        (True, [0.9] * 9, 5),
        (True, [0.0], 0),
    ],
)
def test_scores_that_rank_proposals_count_against_the_best(ranks, scores, shown):
    assert worth_showing(np.array(scores), 0.3, ranks).tolist() == list(range(shown))
