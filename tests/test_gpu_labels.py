"""Labels and predictions on a GPU equal those on the CPU."""

import copy

import numpy as np
import pytest
import torch
import toy
from devices import elsewhere, network, noise

from mmlabelpenet.calibration.backward import DetectionLabels
from mmlabelpenet.calibration.generators import MaskAggregation, ProposalCalibration
from mmlabelpenet.models.inference.image import Inference
from mmlabelpenet.models.inference.tta import LabelPENetTTA
from mmlabelpenet.workbench.experiments.memory import synthetic_batch
from mmlabelpenet.workbench.variants import ClassActivation

pytestmark = elsewhere


def with_tag_head(device):
    """The toy network with a tag head and a tail that has levels."""
    model = toy.net_with_tag_head()
    model.stages['classification'].detector.backbone = toy.BlockTail()
    return model.to(device)


@pytest.mark.parametrize(
    ('stage', 'make', 'generator'),
    [
        ('classification', network, lambda: ProposalCalibration(max_per_tag=1, crf=toy.CRF)),
        ('classification', network, lambda: ProposalCalibration(start='argmax', weights='score', box='proposal')),
        ('detection', network, lambda: ProposalCalibration(start='argmax_all', max_overlap=0.5, peak=0.9)),
        ('refinement', network, lambda: MaskAggregation(weights='one', crf=toy.CRF)),
        ('segmentation', network, lambda: DetectionLabels()),
        ('classification', with_tag_head, lambda: ClassActivation(max_per_tag=1)),
        ('classification', with_tag_head, lambda: ClassActivation(max_per_tag=1, zooms=[1.5], spread=dict(steps=1))),
    ],
)
def test_label_generators_give_the_labels_of_the_cpu(device, stage, make, generator):
    labels = []
    for place in (device, 'cpu'):
        torch.manual_seed(0)
        model = make(place).eval()
        model.stages[stage].labels = generator()
        data = noise(model)
        told = model.explain(stage, data['inputs'], data['data_samples'])
        labels.append([model.stages[stage].labels.label(*pair) for pair in told])
    assert sum(map(len, labels[1]))
    for found, expected in zip(*labels, strict=True):
        assert torch.equal(found.labels, expected.labels)
        assert (found.bboxes - expected.bboxes).abs().mean() <= 2  # a pixel that rounds otherwise may belong to a mask or not
        torch.testing.assert_close(found.weights, expected.weights, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    'settings', [dict(crf=toy.CRF, image_evidence=True), dict(cut=dict(type='SuperpixelCut', size=2))], ids=['crf', 'cut']
)
def test_predictions_of_every_stage_are_those_of_the_cpu(device, settings):
    predicted = []
    for place in (device, 'cpu'):
        model = network(place).eval()
        model.inference = Inference(model.reader, max_masks=2, **settings)
        data = noise(model)
        predicted.append(model.predict(data['inputs'], data['data_samples'], stages=toy.STAGES, explain=True))
    assert_same(*predicted, device)


def test_predictions_of_mirrored_views_together_are_those_of_the_cpu(device):
    torch.manual_seed(0)
    batch = synthetic_batch(4, (toy.HEIGHT, toy.WIDTH), 30, 1)
    mirrored = copy.deepcopy(batch['data_samples'])
    mirrored[0].set_metainfo(dict(flip=True, flip_direction='horizontal'))
    data = dict(inputs=[batch['inputs'], [batch['inputs'][0].flip(-1)]], data_samples=[batch['data_samples'], mirrored])
    predicted = [LabelPENetTTA(network(place).eval()).test_step(copy.deepcopy(data) | dict(stages=toy.STAGES)) for place in (device, 'cpu')]
    assert_same(*predicted, device)


def assert_same(found, expected, device):
    """Samples with the same predictions, those of ``found`` on the device."""
    for ours, theirs in zip(found, expected, strict=True):
        for name in toy.STAGES:
            one, other = ours.stage_predictions[name], theirs.stage_predictions[name]
            assert one.scores.device.type == device and len(one) == len(other) > 0
            assert torch.equal(one.labels.cpu(), other.labels)
            torch.testing.assert_close(one.scores.cpu(), other.scores, rtol=1e-2, atol=1e-3)
            assert (one.bboxes.cpu() - other.bboxes).abs().mean() <= 2
            assert np.mean(one.masks.numpy() != other.masks.numpy()) < 0.01
