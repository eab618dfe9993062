import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from shapely.geometry import MultiPolygon, Polygon

from mmlabelpenet.workbench.exports.polygons import cut_polygons, inner, joined_parts, mask_outlines, mask_polygons, pulled_in


def filled(polygons, size):
    """COCO's filling, as pycocotools does it."""
    codes = coco_mask.frPyObjects([polygon.astype(float).flatten().tolist() for polygon in polygons], *size)
    return coco_mask.decode(coco_mask.merge(codes)).astype(bool)


def area(polygon):
    x, y = polygon.astype(float).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def blobs(seed, size=(40, 50), smooth=2.5):
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=size), (0, 0), smooth)
    return noise > np.quantile(noise, 0.7)


@pytest.mark.parametrize('seed', range(20))
def test_outlines_enclose_exactly_the_pixels(seed):
    mask = blobs(seed) if seed % 2 else np.random.default_rng(seed).random((12, 15)) > 0.5
    assert sum(map(area, mask_outlines(mask))) == mask.sum()


@pytest.mark.parametrize('seed', range(20))
def test_polygons_filled_by_pycocotools_are_the_mask(seed):
    mask = blobs(seed)
    found = filled(mask_polygons(mask), mask.shape)
    assert (found & mask).sum() / (found | mask).sum() >= 0.97
    assert np.array_equal(found, mask)


@pytest.mark.parametrize('seed', range(20))
def test_a_polygon_pulled_in_is_the_mask_for_programs_that_cut_coordinates(seed):
    mask = blobs(seed, (120, 150), 6)
    polygons = mask_polygons(mask, pulled_in)
    assert np.array_equal(filled(polygons, mask.shape), mask)
    cut = np.any([cv2.fillPoly(np.zeros(mask.shape, np.uint8), [polygon.astype(np.int32)], 1) for polygon in polygons], 0)
    assert (cut & mask).sum() / (cut | mask).sum() >= 0.99  # bridges to holes are as wide as a pixel there


@pytest.mark.parametrize('whole', [np.trunc, np.round])
@pytest.mark.parametrize('seed', range(10))
def test_inner_polygons_are_the_mask_for_programs_that_round_or_truncate(seed, whole):
    mask = blobs(seed)
    drawn = [cv2.fillPoly(np.zeros(mask.shape, np.uint8), [whole(polygon).astype(np.int32)], 1) for polygon in mask_polygons(mask, inner)]
    assert np.array_equal(np.any(drawn, 0), mask)


@pytest.mark.parametrize('seed', range(10))
def test_cut_polygons_have_no_holes_do_not_touch_and_are_the_mask(seed):
    mask = blobs(seed) if seed % 2 else np.random.default_rng(seed).random((20, 25)) > 0.4
    polygons = cut_polygons(mask)
    assert np.array_equal(filled(polygons, mask.shape), mask)
    cut = [cv2.fillPoly(np.zeros(mask.shape, np.uint8), [polygon.astype(np.int32)], 1) for polygon in polygons]
    assert np.array_equal(np.any(cut, 0), mask) and np.sum(cut, 0).max() == 1
    assert MultiPolygon([Polygon(polygon) for polygon in polygons]).is_valid


def test_parts_are_joined_where_they_bring_more_pixels_than_the_bridge_costs():
    mask = np.zeros((20, 60), bool)
    mask[2:12, 2:12] = mask[4:9, 20:25] = mask[15, 50] = True  # 25 pixels over a bridge of 8, one pixel over one of 24
    polygon = np.floor(joined_parts(mask_polygons(mask, inner))).astype(np.int32)
    found = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [polygon], 1) > 0
    assert found[mask][:-1].all() and not found[15, 50] and found.sum() == 125 + 8


def test_a_hole_stays_open():
    mask = np.ones((20, 20), bool)
    mask[5:10, 6:12] = False
    outlines = mask_outlines(mask)
    assert [area(outline) for outline in outlines] == [400, -30]
    assert np.array_equal(filled(mask_polygons(mask), mask.shape), mask)


@pytest.mark.parametrize('mask', [np.ones((1, 1)), np.ones((1, 9)), np.eye(6), np.ones((7, 7)), 1 - np.eye(5)])
def test_small_and_odd_masks_keep_their_pixels(mask):
    mask = mask.astype(bool)
    assert sum(map(area, mask_outlines(mask))) == mask.sum()


def test_an_empty_mask_has_no_outline():
    assert mask_outlines(np.zeros((5, 6), bool)) == []


def test_outlines_turn_at_every_corner_and_are_the_same_each_time():
    mask = blobs(3)
    for outline, again in zip(mask_outlines(mask), mask_outlines(mask), strict=True):
        steps = np.roll(outline, -1, 0) - outline
        assert ((steps == 0).sum(1) == 1).all()
        assert (np.roll(steps, -1, 0) * steps == 0).all()
        assert np.array_equal(outline, again)
