# C8: only proposals that overlap the best one by 0.3 or more belong to it, in both places where 0.3 is the paper's.
_base_ = './lite0_animals_excitation.py'
model = dict(stages=dict(classification=dict(labels=dict(nms_thr=0.3))))
