"""Memory of a training."""

from pathlib import Path

import pytest
import toy

from mmlabelpenet.apis import load_config
from mmlabelpenet.workbench.experiments.memory import measure_phase, measure_phases

PHASES = [('classification', 1), ('segmentation', 1), ('recurrent', 1)]
SIZE = (64, 96)
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(toy_root, tmp_path):
    return toy.run_config(toy_root, tmp_path, PHASES)


@pytest.mark.parametrize(('index', 'stages'), [(0, ['classification']), (1, ['segmentation']), (2, toy.STAGES)])
def test_sizes_are_those_of_what_trains_and_of_its_momentum(config, index, stages):
    usage, net = measure_phase(config, index, SIZE, proposals=20), toy.build(toy.model_config())
    sizes = {name: 4 * sum(p.numel() for p in stage.parameters()) for name, stage in net.stages.items()}
    backbone = 4 * sum(p.numel() for p in net.backbone.parameters())
    assert usage.phase == PHASES[index][0] and usage.parameters == sum(sizes.values()) + backbone
    assert usage.trained == sum(sizes[name] for name in stages) + (backbone if index == 2 else 0)
    momentum = [sizes['classification'], sizes['classification'] + sizes['segmentation'], usage.parameters]
    assert usage.optimizer == momentum[index] and usage.peak > usage.parameters


@pytest.mark.slow
def test_every_phase_of_a_config_is_measured_in_a_process_of_its_own():
    config = load_config(ROOT / 'configs/labelpenet/labelpenet_lite0_rendered.py')
    config.train_cfg.phases = config.train_cfg.phases[:2]
    first, second = measure_phases(config, (240, 320), proposals=100)
    assert (first.phase, second.phase) == ('classification', 'detection') and 0 < first.trained < second.trained < first.parameters
    trained = 2 * (first.trained + second.trained)  # AdamW keeps two numbers for each weight, and one for each tensor
    assert first.optimizer == pytest.approx(2 * first.trained, rel=1e-3) and second.optimizer == pytest.approx(trained, rel=1e-3)


@pytest.mark.slow
def test_a_process_that_the_system_ends_is_memory_that_ran_out(config, tmp_path, monkeypatch):
    (tmp_path / 'too_large.py').write_text('import os\nos._exit(9)\n')
    monkeypatch.syspath_prepend(tmp_path)
    config.custom_imports = dict(imports=['too_large'], allow_failed_imports=False)
    with pytest.raises(MemoryError, match='the process that measured phase classification was killed'):
        next(measure_phases(config, SIZE, proposals=20))
