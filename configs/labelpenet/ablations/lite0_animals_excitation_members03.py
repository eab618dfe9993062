# C8: only proposals with an overlap of at least 0.3 with the best one belong to it, in both places where 0.3 is the paper's value.
_base_ = './lite0_animals_excitation.py'
model = dict(stages=dict(classification=dict(labels=dict(nms_thr=0.3))))
