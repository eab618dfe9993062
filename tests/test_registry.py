"""Our registries are children of those of MMDetection and MMEngine."""

import pytest
from mmengine.registry import DefaultScope
from torch import nn

from mmlabelpenet.registry import WEIGHT_INITIALIZERS
from mmlabelpenet.utils import register_all_modules


def test_initialisers_of_mmengine_are_found_beside_our_own():
    layer = nn.Linear(2, 2)
    WEIGHT_INITIALIZERS.build(dict(type='Constant', val=3.0, layer='Linear'))(layer)
    assert layer.weight.eq(3).all()
    assert WEIGHT_INITIALIZERS.get('ImageNetWeights') is not None


@pytest.mark.parametrize('scope', [True, False])
def test_the_scope_of_names_changes_only_where_that_is_asked_for(scope):
    DefaultScope.get_instance(f'mine {scope}', scope_name='mmengine')
    register_all_modules(init_default_scope=scope)
    assert DefaultScope.get_current_instance().scope_name == ('mmlabelpenet' if scope else 'mmengine')
