"""Losses beside Eq. 2."""

import math

import pytest
import torch

from mmlabelpenet.models.mil_losses import proposal_scores
from mmlabelpenet.workbench.variants.mil_losses import MILSigmoidLoss, WSDDNLoss


def test_the_sigmoid_loss_asks_each_class_alone():
    cls_logits, weight_logits = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(2))
    onehot = torch.tensor([1.0, 0.0, 1.0])
    image_scores = (cls_logits * weight_logits.softmax(0)).sum(0).sigmoid()
    expected = -(image_scores[0].log() + (1 - image_scores[1]).log() + image_scores[2].log())
    torch.testing.assert_close(MILSigmoidLoss()(cls_logits, weight_logits, onehot), expected)
    torch.testing.assert_close(MILSigmoidLoss(loss_weight=0.5)(cls_logits, weight_logits, onehot), expected / 2)
    torch.testing.assert_close(MILSigmoidLoss().scores(cls_logits, weight_logits), proposal_scores(cls_logits, weight_logits))


@pytest.mark.parametrize('seed', range(3))
def test_wsddn_equals_a_reference_from_its_paper(seed):
    torch.manual_seed(seed)
    cls_logits, weight_logits, onehot = torch.randn(6, 3), torch.randn(6, 3), torch.tensor([1.0, 0.0, 1.0])
    expected = 0.0
    for c in range(3):
        share = [math.exp(v) / sum(math.exp(u) for u in weight_logits[:, c].tolist()) for v in weight_logits[:, c].tolist()]
        cls = [math.exp(row[c]) / sum(math.exp(v) for v in row) for row in cls_logits.tolist()]
        y = 2 * onehot[c].item() - 1
        score = sum(a * b for a, b in zip(share, cls, strict=True))
        expected -= math.log(y * (score - 0.5) + 0.5)  # Bilen and Vedaldi, Eq. 5
    assert WSDDNLoss(2.0)(cls_logits, weight_logits, onehot).item() == pytest.approx(2 * expected, rel=1e-5)


def test_wsddn_stays_finite_where_a_score_saturates():
    loss = WSDDNLoss()(torch.tensor([[200.0, -200.0]]), torch.zeros(1, 2), torch.tensor([0.0, 1.0]))
    assert torch.isfinite(loss) and loss > 20
