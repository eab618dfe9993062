import pytest
import torch

from mmlabelpenet.models.log_values import check_finite


def test_lists_of_losses_are_checked_too():
    check_finite({'a.loss': [torch.zeros(1), torch.ones(1)]}, [])
    with pytest.raises(FloatingPointError, match='a.loss'):
        check_finite({'a.loss': [torch.zeros(1), torch.tensor([float('nan')])]}, [])
