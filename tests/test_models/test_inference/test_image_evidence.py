"""The image as a whole weighs the detections of the later stages."""

import copy

import numpy as np
import pytest
import torch
import toy
from mmengine.structures import InstanceData

from mmlabelpenet.models.inference.image_evidence import image_evidence, weigh_by_evidence


def test_the_evidence_is_the_class_score_of_a_proposal_as_large_as_the_image(toy_net, toy_batch):
    inputs, samples = toy_batch
    stage, feature = toy_net.eval().stages['classification'], toy_net.extract_feat(inputs)
    found = image_evidence(stage, feature, samples)
    for index, sample in enumerate(samples):
        height, width = sample.img_shape[:2]
        whole = InstanceData(bboxes=torch.tensor([[0.0, 0, width, height]]), scores=torch.ones(1))
        (logits,) = stage.roi_head.logits(stage.extract_feat(feature[index : index + 1]), [whole.bboxes])
        expected = logits[0][0, :-1].softmax(0)
        torch.testing.assert_close(found[index], expected / expected.max())


def test_scores_are_weighed_and_the_rest_goes_along():
    masks = np.zeros((3, 2, 2), bool)
    masks[2] = True
    found = InstanceData(
        bboxes=torch.arange(12.0).view(3, 4), labels=torch.tensor([0, 1, 1]), scores=torch.tensor([0.9, 0.8, 0.6]), masks=masks
    )
    (weighed,) = weigh_by_evidence([found], torch.tensor([[0.5, 1.0]]))
    assert weighed.labels.tolist() == [1, 1, 0]
    assert weighed.bboxes[:, 0].tolist() == [4, 8, 0]
    assert weighed.masks.any((1, 2)).tolist() == [False, True, False]
    torch.testing.assert_close(weighed.scores, torch.tensor([0.8, 0.6, 0.45]))
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])  # the argument stays


def test_no_detection_stays_none():
    (weighed,) = weigh_by_evidence(
        [InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long(), scores=torch.zeros(0))], torch.ones(1, 2)
    )
    assert len(weighed) == 0 and set(weighed.keys()) == {'bboxes', 'labels', 'scores'}


def test_it_weighs_all_stages_but_the_first_where_it_is_asked_for(toy_net, toy_batch):
    inputs, samples = toy_batch
    toy_net.eval().predicted = list(toy.STAGES)
    plain = toy_net.predict(inputs, copy.deepcopy(samples))
    toy_net.image_evidence = True
    weighed = toy_net.predict(inputs, copy.deepcopy(samples))
    evidence = image_evidence(toy_net.stages['classification'], toy_net.extract_feat(inputs), samples)
    for before, after, shares in zip(plain, weighed, evidence, strict=True):
        for name in toy.STAGES:
            first, second = before.stage_predictions[name], after.stage_predictions[name]
            scores = first.scores if name == 'classification' else first.scores * shares[first.labels]
            torch.testing.assert_close(second.scores, scores.sort(descending=True).values)
    assert torch.equal(after.pred_instances.scores, after.stage_predictions['segmentation'].scores)
