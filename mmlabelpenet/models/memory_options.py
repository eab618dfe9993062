"""What makes the network fit a small GPU: stages that share their tails, activations that are computed twice."""

from collections.abc import Iterable, Sequence
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def share_tails(stages: Iterable[nn.Module]) -> None:
    """Let all stages use the first tail, and the first fc6 and fc7, of their structure.

    Idle stages then move with the stage that trains.
    """
    seen: dict[str, nn.Module] = {}
    for stage in stages:
        stage.backbone = seen.setdefault(repr(stage.backbone), stage.backbone)
        head = stage.roi_head.bbox_head
        head.shared_fcs = seen.setdefault(repr(head.shared_fcs), head.shared_fcs)


def recompute_activations(backbone: nn.Module, stages: Iterable[nn.Module], parts: Sequence[str]) -> None:
    """Compute the backbone, or parts of every stage, again in the backward pass instead of keeping their activations.

    mmengine's ``activation_checkpointing`` would leave the tail without a gradient where the backbone is frozen.

    Raises:
        ValueError: a part is none of ``'backbone'``, ``'tail'`` and ``'roi_head'``.
    """
    if unknown := set(parts) - {'backbone', 'tail', 'roi_head'}:
        raise ValueError(f"recompute takes 'backbone', 'tail' and 'roi_head', got {sorted(unknown)}.")
    modules = [backbone] if 'backbone' in parts else []
    for stage in stages:
        heads = [stage.roi_head.bbox_head, *([stage.roi_head.mask_head] if stage.roi_head.with_mask else [])]
        modules += [*([stage.backbone] if 'tail' in parts else []), *(heads if 'roi_head' in parts else [])]
    for module in modules:
        if 'forward' not in vars(module):  # a shared one is wrapped once
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)
