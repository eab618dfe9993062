# docs/findings.md: proposals of any size, also below a hundredth of the image.
_base_ = './lite0_animals_excitation.py'
train_dataloader = dict(dataset=dict(min_proposal_area=0.0))
label_dataloader = dict(dataset=dict(min_proposal_area=0.0))
test_dataloader = dict(dataset=dict(min_proposal_area=0.0))
corloc_dataloader = dict(dataset=dict(min_proposal_area=0.0))
