"""Measurements of the paper's network."""

import pytest

from mmlabelpenet.workbench.experiments.estimate import LABEL_PASSES, PHASES, Step
from mmlabelpenet.workbench.gpu_check import paper
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings


@pytest.fixture
def measured(monkeypatch):
    """Stands for the estimate, an hour for phases and half of one for label passes; what it was called for, with the precision."""
    calls = []

    def estimate(config, device, iters, measured):
        precision = config.optim_wrapper.get('dtype', 'float32')
        calls.append((*measured, precision))
        if precision == 'fp16':
            raise RuntimeError('no fp16 here')
        yield Step('recurrent' if measured == [PHASES] else 'labels of refinement', 3600, 1.0 if measured == [PHASES] else 0.5)

    monkeypatch.setattr(paper, 'estimate', estimate)
    return calls


def test_label_passes_are_measured_once_and_after_the_phases_of_every_precision(measured, tmp_path):
    notes = Notebook(tmp_path / 'found.json')
    paper.paper(Settings('cuda', str(tmp_path)), notes)
    assert measured == [(PHASES, 'float32'), (PHASES, 'bf16'), (PHASES, 'fp16'), (LABEL_PASSES, 'float32')]
    (table,) = notes.findings.tables
    assert [row[:2] for row in table.rows] == [['float32', 'recurrent'], ['bf16', 'recurrent'], ['any', 'labels of refinement']]
    hours = {name: value for name, value in notes.findings.facts.items() if name.startswith('hours')}
    assert hours == {
        'hours of phases, float32': 1.0,
        'hours of phases, bf16': 1.0,
        'hours of label passes': 0.5,
        'hours of the whole schedule, float32': 1.5,
        'hours of the whole schedule, bf16': 1.5,
    }
    assert notes.findings.result == 'hours of all phases: float32 1.0, bf16 1.0'
    assert notes.findings.problems == ['phases, fp16: RuntimeError: no fp16 here']


def test_the_paper_s_network_sees_noise_of_the_given_size():
    config = paper.paper_config((60, 80), 5, 'bf16', thin=True)
    assert (
        config.train_dataloader.dataset
        == config.label_dataloader.dataset
        == dict(type='NoiseTags', num_classes=20, size=(60, 80), proposals=5)
    )
    assert config.optim_wrapper.type == 'MixedPrecisionWrapper' and config.optim_wrapper.dtype == 'bf16'
    assert 'dtype' not in paper.paper_config((60, 80), 5, paper.ANY).optim_wrapper
