"""Mixed precision on the CPU."""

import pytest
import torch
import toy
from mmengine.device import get_device
from mmengine.structures import InstanceData
from training import recorded

from mmlabelpenet.apis import train
from mmlabelpenet.calibration import generators
from mmlabelpenet.engine.precision import MixedPrecisionWrapper
from mmlabelpenet.models.weighted_heads import WeightedRPNHead

AMP = ['bf16', pytest.param('fp16', marks=pytest.mark.slow)]


def run(toy_root, work_dir, amp, phases, **kwargs):
    config = toy.run_config(toy_root, work_dir, phases, hooks=[dict(type='Record')], **kwargs)
    config.optim_wrapper.optimizer.lr = 1e-3
    config.param_scheduler = None
    torch.manual_seed(0)
    return train(config, amp=amp)


def grid(sample):
    """Boxes of three sizes all over the image, float (R, 4)."""
    h, w = sample['img_shape']
    centres = torch.cartesian_prod(torch.linspace(0.2, 0.8, 5) * w, torch.linspace(0.2, 0.8, 5) * h)
    return torch.cat([torch.cat([centres - size, centres + size], 1) for size in (12, 20, 32)])


@pytest.fixture(scope='module')
def fixed_rois(toy_root, tmp_path_factory):
    """A function that trains all cascaded phases but one on the labels of another run and on RoIs that no weight has chosen."""
    first = run(toy_root, tmp_path_factory.mktemp('labels'), None, [('classification', 1), ('detection', 1)])

    def train_on_them(amp):
        folder, phases = tmp_path_factory.mktemp(f'fixed_{amp}'), [(name, 20) for name in ('classification', 'detection', 'segmentation')]
        config = toy.run_config(toy_root, folder, phases, interval=100, hooks=[dict(type='Record')])
        for name in ('detection', 'segmentation'):
            config.train_cfg.phases[name].update(pseudo_labels=f'{first.work_dir}/pseudo_labels/classification.json', any_maker=True)
        config.optim_wrapper.optimizer.lr, config.param_scheduler = 1e-3, None
        torch.manual_seed(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                WeightedRPNHead,
                'predict_by_feat',
                lambda head, *args, batch_img_metas, **kwargs: [
                    InstanceData(bboxes=grid(m), scores=torch.ones(75)) for m in batch_img_metas
                ],
            )
            return recorded(train(config, amp=amp))

    return train_on_them


@pytest.fixture(scope='module')
def exact(fixed_rois):
    return fixed_rois(None).logs


@pytest.mark.parametrize('amp', AMP)
def test_on_the_same_rois_each_of_20_losses_is_within_a_percent_of_float32_and_weights_are_finite(fixed_rois, exact, amp):
    record = fixed_rois(amp)
    mine, theirs = ([log['loss'] for log in logs] for logs in (record.logs, exact))
    assert len(mine) == 60 and mine == pytest.approx(theirs, rel=0.01)
    assert sum(a != b for a, b in zip(mine, theirs, strict=True)) > 55  # it was another precision; two numbers may meet by chance
    assert all(torch.isfinite(value).all() and value.dtype != torch.bfloat16 for value in record.weights[-1].values())


@pytest.mark.slow
@pytest.mark.parametrize('amp', ['bf16', 'fp16'])
def test_where_rounding_chooses_other_rois_the_sum_of_20_losses_is_within_a_percent(toy_root, tmp_path, amp):
    phases = [('classification', 20), ('detection', 20)]
    mine, theirs = ([log['loss'] for log in recorded(run(toy_root, tmp_path / str(a), a, phases)).logs[20:]] for a in (amp, None))
    assert sum(mine) == pytest.approx(sum(theirs), rel=0.01)


@pytest.mark.parametrize('amp', AMP)
def test_every_phase_runs_in_mixed_precision_and_resumes_with_the_same_bits(toy_root, tmp_path, amp):
    phases = [(name, 1) for name in toy.STAGES] + [('recurrent', 2)]
    whole = run(toy_root, tmp_path, amp, phases, interval=1)
    (tmp_path / 'last_checkpoint').write_text('iter_5.pth')
    config = toy.run_config(toy_root, tmp_path, phases)
    config.optim_wrapper.optimizer.lr, config.param_scheduler = 1e-3, None
    resumed = train(config, resume='auto', amp=amp)
    assert toy.different(toy.weights(whole.model), toy.weights(resumed.model)) == []


def test_excitation_and_attention_are_float32_under_mixed_precision(toy_net, toy_batch, monkeypatch):
    seen = []
    for name in ('proposal_attention', 'paste_attention'):
        real = getattr(generators, name)

        def look(*args, _real=real, **kwargs):
            out = _real(*args, **kwargs)
            probe = torch.mm(torch.ones(2, 2), torch.ones(2, 2))  # what a product inside would be
            seen.extend(t.dtype for t in [*args, *args[-1], probe, out] if torch.is_tensor(t))
            return out

        monkeypatch.setattr(generators, name, look)
    images = toy_net.data_preprocessor.images(*toy_batch)
    with torch.autocast(get_device(), torch.bfloat16):
        feature = toy_net.extract_feat(toy_batch[0])
        for name in toy.STAGES[:3]:
            stage = toy_net.stages[name]
            mixed = toy.labels_of(stage.detector, stage.labels, feature, toy_batch[1], images)
    assert feature.dtype == torch.bfloat16 and len(seen) > 10 and {t for t in seen if t.is_floating_point} == {torch.float32}
    plain = toy.labels_of(stage.detector, stage.labels, feature.float(), toy_batch[1], images)
    assert all(torch.equal(a.bboxes, b.bboxes) for a, b in zip(mixed, plain, strict=True))


def test_float16_leaves_an_update_out_whose_gradient_overflows_and_lowers_its_scale():
    layer = torch.nn.Linear(2, 1)
    wrapper = MixedPrecisionWrapper('fp16', optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    before, scale = toy.weights(layer), wrapper.loss_scaler.get_scale()
    wrapper.update_params(layer(torch.ones(1, 2)).sum() * 3e38)
    assert toy.different(before, toy.weights(layer)) == [] and wrapper.loss_scaler.get_scale() == scale / 2
    wrapper.update_params(layer(torch.ones(1, 2)).sum())
    assert toy.different(before, toy.weights(layer)) == ['weight', 'bias']
    again = MixedPrecisionWrapper('fp16', optimizer=torch.optim.SGD(layer.parameters(), lr=1.0))
    again.load_state_dict(wrapper.state_dict())
    assert again.loss_scaler.get_scale() == scale / 2


def test_gradients_are_scaled_in_float16_alone():
    layer = torch.nn.Linear(2, 1)
    wrappers = [MixedPrecisionWrapper(dtype, optimizer=torch.optim.SGD(layer.parameters(), lr=1.0)) for dtype in ('bf16', 'fp16')]
    assert [wrapper.loss_scaler.is_enabled() for wrapper in wrappers] == [False, True]


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="'bf16' or 'fp16', got 'int8'"):
        MixedPrecisionWrapper('int8', optimizer=None)
