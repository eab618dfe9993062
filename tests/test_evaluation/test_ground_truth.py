import pytest
import torch

from mmlabelpenet.registry import METRICS

BOX, LABEL = torch.tensor([[2.0, 2, 12, 12]]), torch.tensor([1])
FOUND = dict(bboxes=BOX, scores=torch.tensor([0.9]), labels=LABEL)
NONE = dict(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
INSTANCE = dict(bbox=BOX[0].tolist(), bbox_label=1, ignore_flag=0)
TRUTH = {
    'VOCMetric': dict(gt_instances=dict(bboxes=BOX, labels=LABEL), ignored_instances=NONE),
    'CocoMetric': dict(instances=[INSTANCE]),
}


@pytest.mark.parametrize(('kind', 'key'), [('VOCMetric', 'pascal_voc/mAP'), ('CocoMetric', 'coco/bbox_mAP')])
def test_samples_with_ground_truth_are_scored_as_mmdet_does_and_others_are_refused(kind, key):
    metric = METRICS.build(dict(type=kind))
    metric.dataset_meta = dict(classes=('cat', 'dog'), dataset_type='VOC2007')
    sample = dict(img_id=1, ori_shape=(20, 30), pred_instances=FOUND)
    with pytest.raises(ValueError, match=f'{kind} reads ground truth from samples, which a data set with tags does not have'):
        metric.process({}, [sample])
    metric.process({}, [sample | TRUTH[kind]])
    assert metric.evaluate(1)[key] == pytest.approx(1)
