"""A stage starts from the last stage of a checkpoint, whatever its classes are."""

import pytest
import torch
import toy
from torch import nn

from mmlabelpenet.engine.warm_start import fit_rows, last_stage, take_weights


def test_the_phase_starts_from_the_last_stage_of_a_checkpoint_of_other_classes(toy_root, tmp_path):
    model = toy.build(dict(toy.model_config(), num_classes=7))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'other.pth')
    given = model.stages['segmentation'].detector.state_dict()
    config = toy.run_config(
        toy_root, tmp_path / 'run', [('classification', 1), ('detection', 1, dict(warm_start=str(tmp_path / 'other.pth')))]
    )
    config.optim_wrapper.optimizer.lr = 0.0
    detection = toy.build_runner(config).train().stages['detection'].detector
    taken, classes = detection.state_dict(), detection.roi_head.bbox_head.num_classes
    assert classes != 7
    for name in ('rpn_head.rpn_conv.weight', 'roi_head.bbox_head.shared_fcs.0.weight'):
        assert torch.equal(taken[name], given[name])
    for kind in ('weight', 'bias'):
        rows, old = taken[f'roi_head.bbox_head.fc_cls.{kind}'], given[f'roi_head.bbox_head.fc_cls.{kind}']
        assert torch.equal(rows[-1], old[-1])
        assert torch.allclose(rows[:-1], old[:-1].mean(0).expand_as(rows[:-1]))


@pytest.mark.parametrize(('rows', 'own', 'num_classes'), [(20, 6, 6), (21, 7, 6), (3, 6, 6), (8, 9, 8)])
def test_rows_of_classes_become_their_mean(rows, own, num_classes):
    value = torch.randn(rows, 2, generator=torch.Generator().manual_seed(0))
    fitted, background = fit_rows(value, torch.zeros(own, 2), num_classes), own - num_classes
    assert fitted.shape == (own, 2)
    assert torch.allclose(fitted[:num_classes], value[: rows - background].mean(0).expand(num_classes, 2))
    assert torch.equal(fitted[num_classes:], value[rows - background :])


@pytest.mark.parametrize('own', [(24, 2), (6, 3), ()])  # class-specific boxes, another input, a single number
def test_other_layers_of_another_shape_are_left(own):
    value = torch.zeros(20, 2) if own else torch.zeros(())
    assert fit_rows(value, torch.zeros(own), 6) is value


def test_frozen_layers_are_not_replaced():
    stage = nn.ModuleDict(dict(tail=nn.Linear(2, 2), head=nn.Linear(2, 2)))
    stage.tail.requires_grad_(False)
    before = stage.tail.weight.clone()
    take_weights(stage, {name: torch.ones_like(value) for name, value in stage.state_dict().items()}, 2, 'ones')
    assert torch.equal(stage.tail.weight, before)
    assert (stage.head.weight == 1).all()


def test_files_that_do_not_fit_are_refused_in_one_line(tmp_path):
    torch.save(dict(conv=torch.zeros(2)), tmp_path / 'plain.pth')
    with pytest.raises(ValueError, match='warm_start: .*plain.pth has no stages'):
        last_stage(str(tmp_path / 'plain.pth'))
    torch.save({'stages.a.b': torch.zeros(2), 'stages.c.weight': torch.zeros(3)}, tmp_path / 'small.pth')
    assert list(last_stage(str(tmp_path / 'small.pth'))) == ['weight']
    with pytest.raises(ValueError, match=r'warm_start: no tensor of small.pth has the name and shape'):
        take_weights(nn.Linear(4, 4), last_stage(str(tmp_path / 'small.pth')), 2, 'small.pth')


def test_a_checkpoint_that_does_not_fit_is_refused_before_the_first_iteration(toy_root, tmp_path):
    torch.save({'stages.detection.other.weight': torch.zeros(3)}, tmp_path / 'other.pth')
    phases = [('classification', 1), ('detection', 1, dict(warm_start=str(tmp_path / 'other.pth')))]
    runner = toy.build_runner(toy.run_config(toy_root, tmp_path / 'run', phases))
    with pytest.raises(ValueError, match='warm_start: no tensor of .*other.pth has the name'):
        runner.train()
    assert runner.iter == 0


def test_a_missing_checkpoint_is_named_before_training(toy_root, tmp_path):
    from mmlabelpenet.apis.inputs import TRAINED_ON, check_inputs

    config = toy.run_config(toy_root, tmp_path, [('classification', 1), ('detection', 1, dict(warm_start='absent.pth'))])
    with pytest.raises(FileNotFoundError, match=r'Checkpoint absent.pth in warm_start of a phase does not exist'):
        check_inputs(config, TRAINED_ON)
