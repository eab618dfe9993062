"""A fifth stage needs only a config and a tail, from training to the report."""

import io
import multiprocessing
import signal

import torch
import toy
from rich.console import Console
from torch import nn
from training import recorded

from mmlabelpenet import apis
from mmlabelpenet.apis import LabelPENetInferencer
from mmlabelpenet.evaluation.table import write_metrics
from mmlabelpenet.progress import LiveLine
from mmlabelpenet.registry import MODELS
from mmlabelpenet.workbench.report.live_progress_hook import LiveProgress
from mmlabelpenet.workbench.report.report import write_report

STAGES = (*toy.STAGES, 'polish')
PHASES = [(name, 2) for name in (*STAGES, 'recurrent')]


@MODELS.register_module(force=True)
class PolishTail(nn.Module):
    """Two maps: the shared one and a convolution of it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(12, 12, 1)

    def forward(self, x):
        return x, self.conv(x).relu()


def config_of(toy_root, work_dir, hooks=()):
    """The toy's config with one more stage."""
    config = toy.run_config(toy_root, work_dir, PHASES, hooks=[dict(type='Record'), *hooks])
    stages = config.model.stages
    detector = dict(stages.segmentation.detector, backbone=dict(type='PolishTail'))
    config.merge_from_dict(
        dict(model=dict(stages=dict(segmentation=dict(labels=stages.refinement.labels), polish=dict(detector=detector))))
    )
    config.test_dataloader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True),
    )
    config.test_evaluator = dict(type='StageMetric', data_root=str(toy_root), split='test', mask_classes=toy.RENDERED_CLASSES)
    config.test_cfg = dict(type='TestLoop')
    config.default_hooks.update(progress=dict(type='LiveProgress'))
    return config


def train(config, resume=None):
    torch.manual_seed(0)
    return apis.train(config, resume=resume)


def test_a_fifth_stage_goes_through_training_a_kill_testing_prediction_report_and_progress(toy_root, tmp_path, monkeypatch):
    toy.hurry(monkeypatch)
    whole = train(config_of(toy_root, tmp_path / 'whole'))
    assert whole.model.names == STAGES
    assert 'polish.loss_mask' in recorded(whole).logs[8] and 'forward.polish.loss_mask' in recorded(whole).logs[10]

    killed = multiprocessing.get_context('fork').Process(
        target=lambda: train(config_of(toy_root, tmp_path / 'killed', hooks=[dict(type='KillAt', iteration=9)]))
    )
    killed.start()
    killed.join(300)
    assert killed.exitcode == -signal.SIGKILL

    lines, before = io.StringIO(), LiveProgress.before_train

    def on_a_terminal(self, runner):
        before(self, runner)
        self.line = LiveLine(Console(file=lines, force_terminal=True, width=200))

    monkeypatch.setattr(LiveProgress, 'before_train', on_a_terminal)
    monkeypatch.setattr('mmlabelpenet.workbench.report.live_progress_hook._REFRESH', -1)
    resumed = train(config_of(toy_root, tmp_path / 'killed'), resume='auto')
    assert toy.different(toy.weights(whole.model), toy.weights(resumed.model)) == []
    assert 'polish 2/2' in lines.getvalue()

    folder, config = tmp_path / 'whole', config_of(toy_root, tmp_path / 'whole')
    table = apis.test(config, folder / 'iter_12.pth')
    assert list(table) == [*STAGES, 'meta'] and table['polish']['bbox_mAP_50_area'] is not None
    write_metrics(folder / 'metrics.json', {name: table[name] for name in STAGES}, table['meta'])

    image = sorted((toy_root / 'JPEGImages').glob('test_*'))[0]
    (found,) = LabelPENetInferencer(folder)(image, min_score=0)
    assert found.stage == 'polish' and len(found) > 0 and found.masks.shape[0] == len(found)

    page = write_report(folder).read_text(encoding='utf-8')
    assert 'labels of segmentation' in page and 'polish' in page
