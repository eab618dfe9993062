"""Mixed precision on the CPU."""

import pytest
import torch
import toy
from mmengine.device import get_device
from training import recorded

from mmlabelpenet.apis import train
from mmlabelpenet.calibration import generators
from mmlabelpenet.engine.precision import MixedPrecisionWrapper

AMP = ['bf16', pytest.param('fp16', marks=pytest.mark.slow)]


def run(toy_root, work_dir, amp, phases, **kwargs):
    config = toy.run_config(toy_root, work_dir, phases, hooks=[dict(type='Record')], **kwargs)
    config.optim_wrapper.optimizer.lr = 1e-3
    config.param_scheduler = None
    torch.manual_seed(0)
    return train(config, amp=amp)


@pytest.fixture(scope='module')
def cascade(toy_root, tmp_path_factory):
    """20 iterations of the classification stage, then 20 of the detection stage, in float32."""
    folder = tmp_path_factory.mktemp('float32')
    return run(toy_root, folder, None, [('classification', 20), ('detection', 20)])


@pytest.mark.parametrize('amp', AMP)
def test_losses_of_20_iterations_are_within_a_percent_of_float32_and_weights_are_finite(cascade, toy_root, tmp_path, amp):
    runner = run(toy_root, tmp_path, amp, [('classification', 20), ('detection', 20)])
    mine, theirs = ([log['loss'] for log in recorded(r).logs] for r in (runner, cascade))
    assert mine[:20] == pytest.approx(theirs[:20], rel=0.01) and mine[:20] != theirs[:20]
    # Among so few RoIs, one that is sampled instead of another moves the loss of a single iteration by more.
    assert sum(mine[20:]) == pytest.approx(sum(theirs[20:]), rel=0.01)
    assert sum(abs(a / b - 1) > 0.01 for a, b in zip(mine[20:], theirs[20:], strict=True)) <= 3
    assert all(torch.isfinite(value).all() and value.dtype != torch.bfloat16 for value in runner.model.state_dict().values())


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
            seen.extend(t.dtype for t in [*args, probe, *(out if isinstance(out, tuple) else [out])] if torch.is_tensor(t))
            return out

        monkeypatch.setattr(generators, name, look)
    images = toy_net.data_preprocessor.images(*toy_batch)
    with torch.autocast(get_device(), torch.bfloat16):
        feature = toy_net.extract_feat(toy_batch[0])
        for name in toy.STAGES[:3]:
            mixed = toy_net.generators[name](toy_net.stages[name], feature, toy_batch[1], images)
    assert feature.dtype == torch.bfloat16 and len(seen) > 10 and {t for t in seen if t.is_floating_point} == {torch.float32}
    plain = toy_net.generators[name](toy_net.stages[name], feature.float(), toy_batch[1], images)
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


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="'bf16' or 'fp16', got 'int8'"):
        MixedPrecisionWrapper('int8', optimizer=None)
