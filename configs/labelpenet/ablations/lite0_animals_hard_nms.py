# L11: detections that a higher-scoring one overlaps by more than 0.3 are removed, instead of keeping them with a lower score.
_base_ = '../labelpenet_lite0_animals.py'
__detector = dict(detector=dict(test_cfg=dict(rcnn=dict(nms=dict(_delete_=True, type='nms', iou_threshold=0.3)))))
model = dict(stages=dict(detection=__detector, refinement=__detector, segmentation=__detector))
