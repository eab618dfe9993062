"""Tails: the layers of a single stage, between the shared map and its heads."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlabelpenet.models.aspp import LabelPEASPP


class Tail(BaseModule):
    """The last layers of a network, optionally with ASPP.

    All outputs except the input map end with a ReLU. A subclass builds its layers in its constructor, calls :meth:`complete` at the end of
    it, and runs the layers in :meth:`fixed`.
    """

    own_init = ('aspp.',)  # layers without ImageNet weights

    def complete(self, in_channels: int, channels: int, aspp: dict | None, with_input: bool, frozen: bool = False) -> None:
        """Add ASPP, after freezing the other layers if requested.

        Args:
            in_channels: channels of the input map.
            channels: channels of the last layer.
            aspp: arguments of :class:`LabelPEASPP` on the last map (``{}`` for the paper's), or None for none.
            with_input: also return the input map, as the first output.
            frozen: freeze the layers with ImageNet weights; only ``aspp`` is trained.
        """
        self.with_input, self.frozen = with_input, frozen
        if frozen:
            self.requires_grad_(False)
        self.aspp = None if aspp is None else LabelPEASPP(channels, **aspp)
        last = channels if self.aspp is None else self.aspp.out_channels
        self.out_channels = (in_channels, last) if with_input else (last,)

    def forward(self, feats: tuple[Tensor, ...] | Tensor) -> tuple[Tensor, ...]:
        """Compute ``(map,)`` or ``(input, map)`` from a map (N, in_channels, h, w), given alone or in a tuple.

        A second map in the tuple is the result of :meth:`fixed` for the first.
        """
        feat, *known = (feats,) if isinstance(feats, Tensor) else feats
        feat = self.entry(feat)
        x = known[0] if known else self.fixed(feat)
        x = x if self.aspp is None else self.aspp(x)
        return (feat, x) if self.with_input else (x,)

    def entry(self, x: Tensor) -> Tensor:
        """The map that the layers read and that is returned with ``with_input``."""
        return x

    @property
    def fixed_layers(self) -> list[nn.Module]:
        """The layers with ImageNet weights, frozen by ``frozen``: all except ASPP."""
        return [layer for name, layer in self.named_children() if name != 'aspp']

    def fixed(self, x: Tensor) -> Tensor:
        """Run :attr:`fixed_layers`, without ASPP, on a map."""
        return self.levels(x)[-1]

    def levels(self, x: Tensor) -> list[Tensor]:
        """The map and the outputs of the blocks of :attr:`fixed_layers`, in order, float (N, D, h, w) each."""
        raise NotImplementedError
