# L12: only instances with a score of at least 0.5 are in the semantic map; uses the base's checkpoint.
_base_ = '../labelpenet_lite0_rendered.py'
test_evaluator = dict(semantic_score_thr=0.5)
