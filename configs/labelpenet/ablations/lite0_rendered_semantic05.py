# L12: only instances from a score of 0.5 on enter the class map. Training is that of the base, whose checkpoint serves.
_base_ = '../labelpenet_lite0_rendered.py'
test_evaluator = dict(semantic_score_thr=0.5)
