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
    detector, feature = toy_net.eval().stages['classification'].detector, toy_net.extract_feat(inputs)
    for index, sample in enumerate(samples):
        x = detector.extract_feat(feature[index : index + 1])
        height, width = sample.img_shape[:2]
        whole = InstanceData(bboxes=torch.tensor([[0.0, 0, width, height]]), scores=torch.ones(1))
        (logits,) = detector.roi_head.logits(x, [whole.bboxes])
        expected = logits[0][0, :-1].softmax(0)
        torch.testing.assert_close(image_evidence(detector, x, sample), expected / expected.max())


def test_scores_are_weighed_and_the_rest_goes_along():
    masks = np.zeros((3, 2, 2), bool)
    masks[2] = True
    found = InstanceData(
        bboxes=torch.arange(12.0).view(3, 4), labels=torch.tensor([0, 1, 1]), scores=torch.tensor([0.9, 0.8, 0.6]), masks=masks
    )
    weighed = weigh_by_evidence(found, torch.tensor([0.5, 1.0]))
    assert weighed.labels.tolist() == [1, 1, 0]
    assert weighed.bboxes[:, 0].tolist() == [4, 8, 0]
    assert weighed.masks.any((1, 2)).tolist() == [False, True, False]
    torch.testing.assert_close(weighed.scores, torch.tensor([0.8, 0.6, 0.45]))
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.6])  # the argument stays


def test_no_detection_stays_none():
    found = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long(), scores=torch.zeros(0))
    weighed = weigh_by_evidence(found, torch.ones(2))
    assert len(weighed) == 0 and set(weighed.keys()) == {'bboxes', 'labels', 'scores'}


@pytest.mark.parametrize('names', [toy.STAGES, ('segmentation',)])
def test_it_weighs_all_stages_but_the_first_where_it_is_asked_for(toy_batch, names):
    inputs, samples = toy_batch
    plain, weighing = (toy.build(config).eval() for config in (toy.model_config(), with_evidence()))
    before = plain.predict(inputs, copy.deepcopy(samples), stages=names)
    after = weighing.predict(inputs, copy.deepcopy(samples), stages=names)
    for first, second, view in zip(before, after, plain.views(inputs, samples), strict=True):
        shares = plain.stages['classification'].evidence([view])
        for name in names:
            one, two = first.stage_predictions[name], second.stage_predictions[name]
            scores = one.scores if name == 'classification' else one.scores * shares[one.labels]
            torch.testing.assert_close(two.scores, scores.sort(descending=True).values)
        assert torch.equal(second.pred_instances.scores, second.stage_predictions['segmentation'].scores)


def with_evidence():
    config = toy.model_config()
    config['test_cfg']['image_evidence'] = True
    return config


def test_without_a_stage_that_learns_from_tags_there_is_no_evidence():
    config = with_evidence()
    config['stages']['classification'] = None
    with pytest.raises(ValueError, match='image_evidence.*learns from tags'):
        toy.build(config)
