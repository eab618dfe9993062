"""Registries are children of those of MMDetection and MMEngine."""

from torch import nn

from mmlabelpenet.registry import WEIGHT_INITIALIZERS


def test_initialisers_of_mmengine_are_found_beside_our_own():
    layer = nn.Linear(2, 2)
    WEIGHT_INITIALIZERS.build(dict(type='Constant', val=3.0, layer='Linear'))(layer)
    assert layer.weight.eq(3).all()
    assert WEIGHT_INITIALIZERS.get('ImageNetWeights') is not None
