import tracemalloc

import cv2
import numpy as np
import pytest

from mmlabelpenet.visualization.drawing import (
    class_colours,
    draw_heat,
    draw_instances,
    draw_masks,
    draw_proposals,
    enlarge,
    webp,
)

RED, BLUE = np.array([[255, 0, 0]], np.uint8), np.array([[0, 0, 255]], np.uint8)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.mark.parametrize(
    'draw',
    [
        lambda image: draw_instances(image, np.array([[5, 5, 30, 30]]), RED, ['cat'], np.ones((1, 40, 60), bool)),
        lambda image: draw_instances(image, np.array([[5, 5, 30, 30]]), RED),
        lambda image: draw_heat(image, np.ones((4, 4))),
        lambda image: draw_proposals(image, np.array([[5, 5, 30, 30]])),
        lambda image: enlarge(image, 1),
    ],
)
def test_drawing_leaves_its_image_as_it_was_and_keeps_its_size(image, draw):
    before = image.copy()
    drawn = draw(image)
    drawn[:] = 0
    assert np.array_equal(image, before)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8


def test_a_box_colours_its_border_and_nothing_else(image):
    drawn = draw_instances(image, np.array([[10, 8, 30, 28]]), RED)
    assert drawn[8, 20].tolist() == drawn[27, 20].tolist() == drawn[18, 10].tolist() == drawn[18, 29].tolist() == [255, 0, 0]
    assert np.array_equal(drawn[12:24, 14:26], image[12:24, 14:26])
    assert np.array_equal(drawn[:, 33:], image[:, 33:])


def test_a_mask_colours_its_pixels_and_no_other(image):
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 10:20, 15:25] = True
    drawn = draw_masks(image, mask, RED, opacity=1.0)
    assert (drawn[10:20, 15:25] == RED[0]).all()
    assert np.array_equal(drawn[~mask[0]], image[~mask[0]])


def test_a_mask_blends_with_the_image_by_its_opacity(image):
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 10:20, 15:25] = True
    drawn = draw_masks(image, mask, np.array([[10, 200, 90]]), opacity=0.45)
    expected = (0.55 * image[11:19, 16:24] + 0.45 * np.array([10, 200, 90])).astype(np.uint8)
    assert np.array_equal(drawn[11:19, 16:24], expected)  # within the outline


def test_a_mask_takes_few_bytes_a_pixel():
    image = np.zeros((1000, 1200, 3), np.uint8)
    tracemalloc.start()
    draw_masks(image, np.ones((2, 1000, 1200), bool), RED.repeat(2, 0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1000 * 1200


def test_an_empty_mask_changes_nothing(image):
    assert np.array_equal(draw_masks(image, np.zeros((1, 40, 60), bool), RED), image)


def test_the_first_instance_lies_on_top(image):
    boxes, masks = np.array([[5, 5, 30, 30], [5, 5, 30, 30]]), np.ones((2, 40, 60), bool)
    drawn = draw_instances(image, boxes, np.concatenate([RED, BLUE]), masks=masks, opacity=1.0)
    assert drawn[5, 15].tolist() == [255, 0, 0]
    assert drawn[20, 15].tolist() == [255, 0, 0]


def test_drawing_at_a_scale_moves_boxes_and_masks_along(image):
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 10:20, 15:25] = True
    drawn = draw_instances(image, np.array([[30, 20, 50, 30]]), RED, masks=mask, scale=2, opacity=1.0)
    assert drawn.shape == (80, 120, 3)
    assert drawn[40, 80].tolist() == [255, 0, 0]
    assert drawn[30, 40].tolist() == [255, 0, 0]
    assert drawn[30, 60].tolist() == enlarge(image, 2)[30, 60].tolist()


@pytest.mark.parametrize('box', [[0, 0, 60, 40], [-20, -20, 5, 5], [55, 38, 90, 70], [3, 3, 3, 3]])
def test_a_caption_stays_within_the_image_wherever_the_box_is(image, box):
    assert draw_instances(image, np.array([box], float), RED, ['a caption longer than the image']).shape == image.shape


@pytest.mark.parametrize('wrong', [dict(colours=RED[:0]), dict(captions=['a', 'b']), dict(masks=np.ones((2, 40, 60), bool))])
def test_instances_need_one_of_everything_each(image, wrong):
    with pytest.raises(ValueError, match=f'1 box needs as many {next(iter(wrong))}'):
        draw_instances(image, np.array([[5, 5, 30, 30]]), **{'colours': RED, **wrong})


def test_heat_is_brightest_at_its_peak_and_absent_where_it_is_zero():
    heat = np.zeros((40, 60))
    heat[10:20, 10:20] = 1e-6
    heat[14, 14] = 2e-6
    drawn = draw_heat(np.full((40, 60, 3), 100, np.uint8), heat).astype(int)
    assert (drawn[30, 40] == 100).all()
    assert drawn.sum(2).argmax() == 14 * 60 + 14


@pytest.mark.parametrize('heat', [np.ones((2, 3, 4)), np.full((2, 2), np.nan), -np.ones((2, 2)), np.zeros((0, 4))])
def test_a_map_that_is_none_is_an_error(image, heat):
    with pytest.raises(ValueError, match='attention map'):
        draw_heat(image, heat)


def test_no_more_proposals_are_drawn_than_allowed(image):
    boxes = np.array([[5, 5, 20, 20], [30, 10, 50, 30]])
    assert np.array_equal(draw_proposals(image, boxes, limit=1), draw_proposals(image, boxes[:1]))
    assert not np.array_equal(draw_proposals(image, boxes), draw_proposals(image, boxes[:1]))


def test_colours_of_classes_differ_and_do_not_depend_on_their_number():
    colours = class_colours(40)
    assert len(np.unique(colours, axis=0)) == 40
    assert np.array_equal(class_colours(4), colours[:4])


def test_a_webp_file_holds_the_image():
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, 16:] = (250, 10, 10)
    decoded = cv2.imdecode(np.frombuffer(webp(image, quality=95), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert decoded.shape == image.shape
    assert abs(decoded.astype(int) - image).mean() < 10
