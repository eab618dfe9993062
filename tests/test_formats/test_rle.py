import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from random_images import masks_of, random_boxes

from mmlabelpenet.evaluation.functional import encode_masks
from mmlabelpenet.formats.rle import EncodedMasks, checked_rle, checked_segmentation, decode_counts, decode_mask, encoded, enlarged_code


def some_masks():
    rng = np.random.default_rng(0)
    small = masks_of(rng, random_boxes(rng, 100))
    large = [rng.random((1, 300, 200)) < share for share in (0.001, 0.5, 0.9)]
    blobs = np.zeros((2, 900, 700), bool)
    blobs[0, 100:, 50:600] = True
    return [mask for group in (small, *large, blobs, ~blobs) for mask in group]


def test_decoding_undoes_encoding():
    for mask in some_masks():
        code = encode_masks(mask[None])[0]
        np.testing.assert_array_equal(decode_mask(code), mask)
        assert checked_rle({'size': list(mask.shape), 'counts': code['counts'].decode()}, mask.shape) == code


def test_uncompressed_counts_are_compressed():
    mask = np.zeros((3, 4), bool)
    mask[1:, 2] = True
    assert checked_rle({'size': [3, 4], 'counts': [7, 2, 3]}, (3, 4)) == encode_masks(mask[None])[0]
    assert checked_rle({'size': [3, 4], 'counts': [0, 12]}, (3, 4)) == encode_masks(np.ones((1, 3, 4), bool))[0]


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([[0, 0, 4, 0, 4, 4]], 'not an RLE'),
        ({'counts': 'abc'}, 'not an RLE'),
        ({'size': [3, 2], 'counts': [6]}, r'size \[3, 2\], but the image has \[2, 3\]'),
        ({'size': [2, 3], 'counts': [1, 4]}, 'cover 5 pixels'),
        ({'size': [2, 3], 'counts': [7, -1]}, 'neither a string nor a list'),
        ({'size': [2, 3], 'counts': [3.0, 3]}, 'neither a string nor a list'),
        ({'size': [2, 3], 'counts': 6}, 'neither a string nor a list'),
        ({'size': [2, 3], 'counts': ''}, 'cover 0 pixels'),
        ({'size': [2, 3], 'counts': []}, 'cover 0 pixels'),
        ({'size': [2, 3], 'counts': '5'}, 'cover 5 pixels'),
        ({'size': [2, 3], 'counts': '6\n'}, 'outside 0..o'),
        ({'size': [2, 3], 'counts': '6ä'}, 'outside 0..o'),
        ({'size': [2, 3], 'counts': '6P'}, 'middle of a number'),
        ({'size': [2, 3], 'counts': 'PPPPPPPPPP0'}, 'too long'),
        ({'size': [2, 3], 'counts': '0O7'}, 'negative length'),
    ],
)
def test_damaged_code_is_refused_with_its_fault(segmentation, message):
    with pytest.raises(ValueError, match=message):
        checked_rle(segmentation, (2, 3))


def test_changed_characters_never_pass_as_another_number_of_pixels():
    rng = np.random.default_rng(1)
    mask = rng.random((1, 40, 30)) < 0.3
    counts = bytearray(encode_masks(mask)[0]['counts'])
    refused = 0
    for _ in range(500):
        damaged = bytearray(counts)
        damaged[rng.integers(len(damaged))] = rng.integers(0, 256)
        try:
            code = checked_rle({'size': [40, 30], 'counts': bytes(damaged)}, (40, 30))
        except ValueError:
            refused += 1
            continue
        assert decode_counts(code['counts']).sum() == 1200
        assert coco_mask.area(code) == decode_mask(code).sum()
    assert refused > 400


@pytest.mark.parametrize('size', [(40, 30), (97, 211), (8, 60), (1, 1), (9, 12), (13, 7), (4, 5)])
def test_a_code_is_enlarged_without_the_large_mask_and_has_its_pixels(size):
    rng = np.random.default_rng(sum(size))
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        mask = rng.random((9, 12)) < share
        expected = cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
        assert enlarged_code(mask, size) == encoded(expected)
        np.testing.assert_array_equal(EncodedMasks([enlarged_code(mask, size)], size)[0], expected)


def test_encoded_masks_are_chosen_as_those_of_an_array():
    array = np.random.default_rng(0).random((4, 5, 6)) < 0.4
    masks = EncodedMasks(list(map(encoded, array)), (5, 6))
    assert masks.shape == array.shape and np.asarray(masks[:0]).shape == (0, 5, 6)
    for chosen in (slice(None, None, -1), slice(1, 3), np.array([2, 0]), np.array([True, False, True, False])):
        np.testing.assert_array_equal(np.asarray(masks[chosen]), array[chosen])
    np.testing.assert_array_equal(np.stack(list(masks)), array)
    expected = np.zeros((5, 6), int)
    for number in (4, 3, 2, 1):
        expected[array[number - 1]] = number
    np.testing.assert_array_equal(masks.numbered(), expected)
    np.testing.assert_array_equal(EncodedMasks([[[0, 0, 2, 0, 2, 1, 0, 1]]], (2, 3)).numbered(), [[1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        ('n' * 6 + '0', ''),
        ('n' * 7 + '0', 'a number that is too long'),
        ('o' * 6, 'in the middle of a number'),
        ('p', 'a character outside'),
        ('/', 'a character outside'),
    ],
)
def test_numbers_of_counts_end_where_their_longest_ends(counts, message):
    if message:
        with pytest.raises(ValueError, match=message):
            decode_counts(counts)
    else:
        assert len(decode_counts(counts)) == 1


@pytest.mark.parametrize('numbers', [0, 4, 5, 7])
def test_a_polygon_is_three_or_more_pairs(numbers):
    assert len(checked_segmentation([[1] * 6, [1] * 8], (4, 5))) == 2
    with pytest.raises(ValueError, match='three or more pairs'):
        checked_segmentation([[1] * 6, [1] * numbers], (4, 5))


def test_a_mask_may_have_as_many_pixels_as_an_image():
    assert checked_rle({'size': [10_000, 17_800], 'counts': [178_000_000]}, (10_000, 17_800))['size'] == [10_000, 17_800]
    with pytest.raises(ValueError, match='178000001 pixels .* 178 megapixels'):
        checked_rle({'size': [1, 178_000_001], 'counts': [178_000_001]}, (1, 178_000_001))


def test_corners_may_lie_as_far_off_as_twice_the_image():
    assert checked_segmentation([[0, 0, 60, 0, 60, -60]], (20, 30)) == [[0, 0, 60, 0, 60, -60]]
    with pytest.raises(ValueError, match='a corner far outside its image'):
        checked_segmentation([[0, 0, 60.5, 0, 60, 60]], (20, 30))
