"""Recompute activations in the backward pass, so that the network fits on a small GPU."""

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


class Recomputed:
    """Mixin for a module whose forward pass does not keep activations."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's forward pass, recomputed in the backward pass."""
        return checkpoint(super().forward, *args, use_reentrant=False, **kwargs)


def recompute_activations(model: nn.Module, parts: Sequence[str]) -> None:
    """Recompute the backbone, or parts of every stage, in the backward pass instead of keeping their activations.

    mmengine's ``activation_checkpointing`` would leave the tail without a gradient if the backbone is frozen. The modules get a derived
    class, as with ``torch.nn.utils.parametrize``, so parameter names do not change.
    """
    if isinstance(parts, str):
        raise ValueError(f'recompute must be a list of parts, got {parts!r}: use recompute=[{parts!r}].')
    if unknown := set(parts) - {'backbone', 'tail', 'roi_head'}:
        raise ValueError(f"recompute supports 'backbone', 'tail' and 'roi_head', got {sorted(unknown)}.")
    modules = [model.backbone] if 'backbone' in parts else []
    for detector in (stage.detector for stage in model.stages.values()):
        heads = [detector.roi_head.bbox_head, *([detector.roi_head.mask_head] if detector.with_mask else [])]
        modules += [*([detector.backbone] if 'tail' in parts else []), *(heads if 'roi_head' in parts else [])]
    for module in modules:
        if not isinstance(module, Recomputed):  # stages may share a module
            kind = type(module)
            module.__class__ = type(kind.__name__, (Recomputed, kind), {})
