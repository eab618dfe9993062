"""Predictions in the format of mmdet's tools."""

import pytest
import torch

from mmlabelpenet.evaluation.pickled import LEFT_OUT, DumpPredictions


def test_predictions_and_what_is_known_of_the_image_are_stored_and_nothing_else(tmp_path):
    fields = dict(pred_instances=dict(bboxes=torch.ones(1, 4), scores=torch.ones(1)), img_id='a', ori_shape=(4, 5))
    sample, metric = fields | dict.fromkeys(LEFT_OUT, 0), DumpPredictions(out_file_path=str(tmp_path / 'a.pkl'))
    metric.process({}, [sample])
    (stored,) = metric.results
    assert stored.keys() == fields.keys() and stored['img_id'] == 'a'
    assert sample.keys() == fields.keys() | set(LEFT_OUT) and stored['pred_instances'] is not sample['pred_instances']
    with pytest.raises(ValueError, match='pkl'):
        DumpPredictions(out_file_path='a.json')
