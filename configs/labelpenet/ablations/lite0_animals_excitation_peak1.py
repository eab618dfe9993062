# C11: attention divided by its maximum.
_base_ = './lite0_animals_excitation.py'
model = dict(stages=dict(classification=dict(labels=dict(peak=1.0))))
