"""Errors of constructors name the part of the config."""

import pytest
import toy
from mmengine.config import Config

from mmlabelpenet.apis.built_parts import place_of_part
from mmlabelpenet.apis.config import build_dataset, build_model
from mmlabelpenet.apis.train import train


def changed(toy_root, tmp_path, key, value):
    config = toy.run_config(toy_root, tmp_path, [('classification', 1)])
    config.merge_from_dict({key: value})
    return config


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [
        (
            'detector.roi_head.bbox_head.loss_cls.type',
            'FocalLoss',
            'detector.roi_head.bbox_head.loss_cls: FocalLoss cannot be built: AssertionError: Only sigmoid focal loss supported now.',
        ),
        (
            'detector.roi_head.bbox_head.num_shared_fcs',
            -1,
            'detector.roi_head.bbox_head: WeightedBBoxHead cannot be built: AssertionError: assert ',
        ),
        ('detector.rpn_head.in_channels', 'a', 'detector.rpn_head: WeightedRPNHead cannot be built: TypeError: '),
    ],
)
def test_a_part_of_the_model_that_cannot_be_built_is_named(toy_root, tmp_path, key, value, said):
    config = changed(toy_root, tmp_path, f'model.stages.refinement.{key}', value)
    with pytest.raises(ValueError) as raised:
        build_model(config)
    assert str(raised.value).startswith(f'model.stages.refinement.{said}') and '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [
        (
            'model.data_preprocessor',
            dict(mean=[1.0, 2.0]),
            'model.data_preprocessor: InvertibleDataPreprocessor cannot be built: Assertion',
        ),
        ('optim_wrapper.optimizer.weight_decay', -1, 'optim_wrapper.optimizer: SGD cannot be built: Invalid weight_decay value: -1'),
    ],
)
def test_training_names_parts_of_the_model_and_those_that_are_built_later(toy_root, tmp_path, key, value, said):
    with pytest.raises(ValueError, match=f'^{said}'):
        train(changed(toy_root, tmp_path, key, value))


def test_a_step_of_a_data_set_is_named(toy_root, tmp_path):
    config = changed(toy_root, tmp_path, 'train_dataloader.dataset.pipeline.0', dict(color_type=5, imdecode_backend=5, backend_args=5))
    with pytest.raises(ValueError, match='^train_dataloader.dataset.pipeline.0: LoadImageFromFile cannot be built: '):
        build_dataset(config, 'train')


def test_deliberate_errors_and_errors_outside_of_constructors_stay_as_they_are(toy_root, tmp_path):
    with pytest.raises(ValueError, match='^A stage must learn from'):
        build_model(changed(toy_root, tmp_path, 'model.stages.refinement.learns_from', 'boxes'))
    with pytest.raises(AttributeError):
        build_model(Config(dict(default_scope='mmlabelpenet')))


def test_of_equal_types_the_part_with_the_most_equal_values_is_named():
    head = dict(type='Head', loss=dict(type='Loss', weight=1))
    content = dict(model=dict(type='Net', a=head, b=dict(head, loss=dict(type='Loss', weight=2))), other=head)
    assert place_of_part(content, [dict(type='Net'), content['model']['b'], dict(type='Loss', weight=2)]) == ('model', 'b', 'loss')
    assert place_of_part(content, [dict(type='Unknown'), dict(type='Net'), dict(type='Loss', weight=1)]) == ('model', 'a', 'loss')
    assert place_of_part(content, [dict(type='Unknown')]) == ()
