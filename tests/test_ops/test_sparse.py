"""Sparse matrices in row format, and images of another size."""

import cv2
import numpy as np
import pytest
import torch

from mmlabelpenet.ops.sparse import SparseMatrix, resize


def random_matrix(seed, rows=40, columns=30):
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(rows, columns, generator=generator)
    dense[torch.rand(rows, columns, generator=generator) < 0.7] = 0
    dense[3] = 0
    return dense


@pytest.mark.parametrize('channels', [1, 3, 8, 40])
def test_products_equal_those_of_the_dense_matrix(channels):
    dense, values = random_matrix(0), torch.rand(30, channels, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(SparseMatrix.from_dense(dense) @ values, dense @ values, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('longest', [1, 3, 64])
def test_a_matrix_in_runs_gives_the_same_sums_and_no_run_is_too_long(longest):
    dense, values = random_matrix(0), torch.rand(30, 3, generator=torch.Generator().manual_seed(1))
    of_runs, of_entries = SparseMatrix.from_dense(dense).in_runs(longest)
    assert of_entries.offsets.diff().max() <= longest
    torch.testing.assert_close(of_runs @ (of_entries @ values), dense @ values, atol=1e-5, rtol=1e-5)


def test_a_row_has_the_same_sum_whatever_other_rows_there_are():
    dense, values = random_matrix(0), torch.rand(30, 3, generator=torch.Generator().manual_seed(1))
    whole = SparseMatrix.from_dense(dense) @ values
    for row in range(len(dense)):
        assert torch.equal(SparseMatrix.from_dense(dense[row : row + 1]) @ values, whole[row : row + 1])


@pytest.mark.parametrize('size', [(20, 30), (27, 41), (40, 60), (13, 59), (55, 90), (1, 1)])
def test_images_are_resized_as_opencv_does(size):
    image = np.random.default_rng(0).random((40, 60, 3), np.float32) * 255
    shrink = size[0] < 40
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    torch.testing.assert_close(resize(torch.from_numpy(image), size).contiguous(), torch.from_numpy(expected), atol=2e-2, rtol=0)
