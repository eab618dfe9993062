"""Image-level class scores weight the detections of later stages."""

import copy

import pytest
import torch
import toy
from mmengine.structures import InstanceData

from mmlabelpenet.models.inference.views import detections, merge_candidates


def test_the_evidence_is_the_class_score_of_a_proposal_as_large_as_the_image(toy_net, toy_batch):
    inputs, samples = toy_batch
    detector, feature = toy_net.eval().stages['classification'].detector, toy_net.extract_feat(inputs)
    for index, sample in enumerate(samples):
        x = detector.extract_feat(feature[index : index + 1])
        height, width = sample.img_shape[:2]
        whole = InstanceData(bboxes=torch.tensor([[0.0, 0, width, height]]), scores=torch.ones(1))
        (logits,) = detector.roi_head.logits(x, [whole.bboxes])
        expected = logits[0][0, :-1].softmax(0)
        torch.testing.assert_close(detector.roi_head.image_evidence(x, sample), expected / expected.max())


@pytest.mark.parametrize('names', [toy.STAGES, ('segmentation',)])
def test_it_weighs_all_stages_but_the_first_where_it_is_asked_for(toy_batch, names):
    inputs, samples = toy_batch
    plain, weighing = (toy.build(config).eval() for config in (toy.model_config(), with_evidence()))
    for stage in (*plain.stages.values(), *weighing.stages.values()):
        stage.detector.roi_head.test_cfg.update(max_per_img=1000, score_thr=0)
    before = plain.predict(inputs, copy.deepcopy(samples), stages=names)
    after = weighing.predict(inputs, copy.deepcopy(samples), stages=names)
    for first, second, view in zip(before, after, plain.views(inputs, samples), strict=True):
        shares = plain.stages['classification'].evidence([view])
        for name in names:
            one, two = first.stage_predictions[name], second.stage_predictions[name]
            scores = one.scores if name == 'classification' else one.scores * shares[one.labels]
            torch.testing.assert_close(two.scores, scores.sort(descending=True).values)
        assert torch.equal(second.pred_instances.scores, second.stage_predictions['segmentation'].scores)


def test_what_the_image_makes_unlikely_takes_no_place_among_the_detections(toy_net, toy_batch):
    stage, (view, _) = toy_net.eval().stages['detection'], toy_net.views(*toy_batch)
    cfg, readings, evidence = stage.detector.roi_head.test_cfg, stage.read([view]), torch.tensor([1.0, 1e-4, 1.0, 1.0])
    cfg.max_per_img, cfg.score_thr = 1000, 0.0
    every, scores = detections(stage.detector, readings), merge_candidates(readings).scores.clone()
    expected = (every.scores * evidence[every.labels]).sort(descending=True).values
    torch.testing.assert_close(detections(stage.detector, readings, evidence).scores, expected)
    cfg.max_per_img, cfg.score_thr = 5, float(expected[7])
    torch.testing.assert_close(detections(stage.detector, readings, evidence).scores, expected[:5])
    cfg.max_per_img = 1000
    torch.testing.assert_close(detections(stage.detector, readings, evidence).scores, expected[:7])
    assert torch.equal(merge_candidates(readings).scores, scores)


def with_evidence():
    config = toy.model_config()
    config['test_cfg']['image_evidence'] = True
    return config


def test_without_a_stage_that_learns_from_tags_there_is_no_evidence():
    config = with_evidence()
    config['stages']['classification'] = None
    with pytest.raises(ValueError, match='image_evidence.*learns from tags'):
        toy.build(config)
