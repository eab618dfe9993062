"""Equations 1 and 2, and the labels of backward validation."""

import math

import pytest
import torch

from mmlabelpenet.models.mil_losses import MILSoftmaxLoss, proposal_scores, single_labels


def slow_scores(cls_logits, weight_logits):
    """Eq. 1, proposal by proposal."""
    rows, columns = cls_logits.shape
    result = torch.zeros(rows, columns, dtype=torch.float64)
    for c in range(columns):
        total = sum(math.exp(weight_logits[r, c]) for r in range(rows))
        for r in range(rows):
            result[r, c] = float(cls_logits[r, c]) * math.exp(weight_logits[r, c]) / total
    return result


def slow_loss(cls_logits, weight_logits, onehot):
    """Eq. 2, class by class."""
    image = [sum(slow_scores(cls_logits, weight_logits)[:, c].tolist()) for c in range(len(onehot))]
    total = sum(math.exp(s) for s in image)
    return -sum(float(y) * math.log(math.exp(s) / total) for y, s in zip(onehot, image, strict=True))


def test_equation_1_by_hand():
    cls_logits, weight_logits = torch.tensor([[2.0, -1.0], [4.0, 3.0]]), torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]])
    torch.testing.assert_close(proposal_scores(cls_logits, weight_logits), torch.tensor([[0.5, -0.75], [3.0, 0.75]]))


def test_equation_2_by_hand():
    cls_logits, weight_logits = torch.tensor([[2.0, -1.0], [4.0, 3.0]]), torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]])
    loss = MILSoftmaxLoss()(cls_logits, weight_logits, torch.tensor([0.0, 1.0]))  # image scores 3.5 and 0
    assert loss.item() == pytest.approx(math.log(1 + math.exp(3.5)))


@pytest.mark.parametrize('seed', range(5))
def test_equations_1_and_2_equal_a_slow_loop(seed):
    torch.manual_seed(seed)
    cls_logits, weight_logits = 3 * torch.randn(7, 4), 3 * torch.randn(7, 4)
    onehot = (torch.rand(4) < 0.5).float()
    scores = proposal_scores(cls_logits, weight_logits).double()
    torch.testing.assert_close(scores, slow_scores(cls_logits, weight_logits), atol=1e-5, rtol=0)
    expected = slow_loss(cls_logits, weight_logits, onehot)
    assert MILSoftmaxLoss(0.5)(cls_logits, weight_logits, onehot).item() == pytest.approx(0.5 * expected, abs=1e-4)


@pytest.mark.parametrize('tags', [1, 2, 3])
def test_the_floor_of_equation_2_is_k_ln_k_for_k_tags(tags):
    onehot = torch.tensor([1.0] * tags + [0.0] * (4 - tags))
    best = MILSoftmaxLoss()((onehot * 100)[None], torch.zeros(1, 4), onehot)
    assert best.item() == pytest.approx(tags * math.log(tags), abs=1e-4)
    torch.manual_seed(0)
    for _ in range(50):
        assert MILSoftmaxLoss()(30 * torch.randn(3, 4), torch.randn(3, 4), onehot) >= best - 1e-4


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r'\(3, 2\) and \(3, 4\)'):
        proposal_scores(torch.zeros(3, 2), torch.zeros(3, 4))


def test_single_labels_take_the_object_of_the_largest_overlap_above_beta():
    bboxes, labels = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8]]), torch.tensor([2, 0])
    proposals = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 7], [0, 0, 10, 5], [0, 0, 10, 4.9], [20, 20, 30, 30]])
    assert single_labels(proposals, bboxes, labels, num_classes=3).tolist() == [2, 0, 0, 0, 3]
    assert single_labels(proposals, bboxes[:1], labels[:1], num_classes=3).tolist() == [2, 2, 3, 3, 3]  # 0.5 is not more than β
    assert single_labels(proposals, bboxes[:1], labels[:1], num_classes=3, beta=0.8).tolist() == [2, 3, 3, 3, 3]
    assert single_labels(proposals, bboxes[:0], labels[:0], num_classes=3).tolist() == [3] * 5


@pytest.mark.parametrize('seed', range(5))
def test_the_ranking_rises_with_the_class_score_and_with_the_share_of_a_proposal(seed):
    generator = torch.Generator().manual_seed(seed)
    cls_logits, weight_logits = 3 * torch.randn(6, 2, generator=generator), torch.randn(6, 2, generator=generator)
    loss = MILSoftmaxLoss()
    found, printed = loss.ranking(cls_logits, weight_logits), loss.scores(cls_logits, weight_logits)
    assert torch.equal(found[cls_logits >= 0], printed[cls_logits >= 0])
    for each in range(2):
        same = torch.full_like(cls_logits, cls_logits[0, each])
        assert torch.equal(loss.ranking(same, weight_logits)[:, each].argsort(), weight_logits[:, each].argsort())
        assert torch.equal(loss.ranking(cls_logits, torch.zeros(6, 2))[:, each].argsort(), cls_logits[:, each].argsort())


def test_a_share_that_underflows_does_not_put_a_negative_score_first():
    found = MILSoftmaxLoss().ranking(torch.tensor([[-1.0], [-1.0]]), torch.tensor([[-200.0], [0.0]]))
    assert found[0] < found[1]
