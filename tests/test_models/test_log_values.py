"""Non-finite losses, and logged statistics of multiple-instance learning."""

import pytest
import torch
from mmengine.structures import InstanceData

from mmlabelpenet.models.log_values import check_finite, label_statistics, summarise_tags, tag_statistics, weight_entropy
from mmlabelpenet.structures import hand_over


def test_the_entropy_is_one_for_equal_weights_and_zero_for_a_single_one():
    logits = torch.tensor([[0.0, 100.0], [0.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(weight_entropy(logits), torch.tensor([1.0, 0.0]))
    assert weight_entropy(torch.zeros(1, 2)).tolist() == [1, 1]
    p = torch.tensor([0.5, 0.25, 0.25])
    torch.testing.assert_close(weight_entropy(p.log()[:, None]), -(p * p.log()).sum()[None] / torch.tensor(3.0).log())


def test_the_area_is_that_of_the_box_which_ranks_best_for_the_tag():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 5, 4], [5, 5, 10, 10]])
    scores = torch.tensor([[0.1, 0.9, 0.0], [0.8, 0.0, 0.0], [0.1, 0.1, 0.9]])
    found = tag_statistics(boxes, scores, torch.zeros(3, 3), torch.tensor([1.0, 0.0, 1.0]), (10, 20))
    torch.testing.assert_close(found[:, 0], torch.tensor([20 / 200, 25 / 200]))


def test_a_batch_without_tags_says_zero():
    assert {key: float(value) for key, value in summarise_tags([], torch.ones(1)).items()} == dict(chosen_area=0, entropy=0)


def test_they_are_logged_are_no_losses_and_change_no_gradient(toy_net, toy_batch, monkeypatch):
    stage, samples = toy_net.stages['classification'].detector, hand_over(toy_batch[1], keep=('proposals', 'gt_image_labels'))

    def step():
        toy_net.zero_grad()
        losses = stage.loss(toy_net.extract_feat(toy_batch[0]), samples)
        toy_net.parse_losses(losses)[0].backward()
        return losses, [p.grad.clone() for p in stage.parameters() if p.grad is not None]

    losses, gradients = step()
    assert not [key for key in ('chosen_area', 'entropy') if 'loss' in key or losses[key].requires_grad]
    assert 0 < losses['chosen_area'] <= 1 and 0 < losses['entropy'] <= 1
    monkeypatch.setattr('mmlabelpenet.models.mil_head.tag_statistics', lambda *args: torch.zeros(1, 2))
    assert all(torch.equal(one, other) for one, other in zip(gradients, step()[1], strict=True))


@pytest.mark.parametrize('seed', range(2))
def test_the_median_and_the_mean_are_over_all_tags_of_the_batch(seed):
    torch.manual_seed(seed)
    values = [torch.rand(2, 2), torch.rand(3, 2)]
    found, together = summarise_tags(values, values[0]), torch.cat(values)
    assert found['chosen_area'] == together[:, 0].sort().values[2]
    torch.testing.assert_close(found['entropy'], together[:, 1].mean())


def test_lists_of_losses_are_checked_too():
    check_finite({'a.loss': [torch.zeros(1), torch.ones(1)]}, [])
    with pytest.raises(FloatingPointError, match='a.loss'):
        check_finite({'a.loss': [torch.zeros(1), torch.tensor([float('nan')])]}, [])


def test_labels_are_counted_per_image_and_weights_averaged_over_labels():
    found = label_statistics([InstanceData(weights=torch.tensor(weights)) for weights in ([0.5, 1.0, 0.6], [], [0.3], [])])
    assert {key: round(float(value), 4) for key, value in found.items()} == dict(labels_per_image=1.0, label_weight=0.6)
