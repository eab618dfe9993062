"""First-stage labels from the class activation maps of a whole-image classifier.

Multiple-instance learning (Eq. 1, 2) converges to the most discriminative part of an object, and with few images proposal calibration
inherits that. The class activation map of a whole image covers more of the object (Zhou et al., CVPR 2016), and even more if it is
propagated to places with similar features (Ahn and Kwak, CVPR 2018, who learn the similarity; here it is that of the frozen layers).

Shapes: C classes, K objects, D channels, (h, w) image, (h', w') map of S = h' w' places.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmdet.models.detectors import TwoStageDetector
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.calibration.generators import AttentionGenerator
from mmlabelpenet.calibration.objects import FoundObject
from mmlabelpenet.calibration.reading import Reading
from mmlabelpenet.models.backbones.tail import Tail
from mmlabelpenet.registry import LABEL_GENERATORS
from mmlabelpenet.schema import check_range
from mmlabelpenet.workbench.variants.tag_head import TagHead


@LABEL_GENERATORS.register_module()
class ClassActivation(AttentionGenerator):
    """Class activation maps of the whole image instead of the proposals' excitation maps (Zhou et al., CVPR 2016).

    For a classification stage with a :class:`~.tag_head.TagHead`. R^c is still the best proposal of a tag; the class
    score of an object is the probability of its tag.

    Args:
        threshold: fraction of a map's maximum above which a place belongs to the object.
        zooms: factors by which the image is enlarged; the maps of these images and of the image itself are averaged. Recurrent fine-tuning
            reads only the image itself.
        spread: ``power`` and ``steps`` of :func:`spread`, using features of the last of these images; None disables it.
        core: the core of a map lies above this multiple of its Otsu threshold, which must lie between ``threshold`` + 0.01 and 0.95. Cuts
            start from the core, and may grow over the box of the object by colour; None lets them start from the whole object.
        **kwargs: as for :class:`AttentionGenerator`.

    Raises:
        ValueError: a threshold outside (0, 0.5], a factor that is not above 1, a negative ``core``, or one without ``cut``.
    """

    def __init__(
        self, threshold: float = 0.2, zooms: Sequence[float] = (), spread: dict | None = None, core: float | None = None, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        check_range(0, core=core)
        if core is not None and self.cut is None:
            raise ValueError('core is where cuts start, and there is no cut. Set cut, or core=None.')
        if not 0 < threshold <= 0.5:
            raise ValueError(f'threshold is a share of the maximum in (0, 0.5], got {threshold}.')
        if any(not 1 < zoom < float('inf') for zoom in zooms):
            raise ValueError(f'zooms are factors above 1, got {zooms}.')
        self.threshold, self.zooms, self.spread, self.core = threshold, tuple(zooms), spread, core

    def check(self, detector: TwoStageDetector, stage: str) -> None:
        """The stage needs a tag head and, for ``spread``, a tail with levels."""
        if getattr(detector.roi_head, 'tag_head', None) is None:
            raise ValueError(
                f"ClassActivation needs a tag head, and stage {stage!r} has none: set roi_head.tag_head=dict(type='TagHead', ...), or use "
                "'ProposalCalibration'."
            )
        if self.spread is not None and not isinstance(detector.backbone, Tail):
            kind = type(detector.backbone).__name__
            raise ValueError(f'spread compares the levels of a tail, but {kind} has none. Set spread=None, or derive {kind} from Tail.')

    def attention_maps(self, detector: TwoStageDetector, reading: Reading, objects: list[FoundObject]) -> tuple[Tensor, Tensor]:
        """Maps (K, h, w) in [0, 1], 0.5 at the threshold, and the probabilities (K,) of the classes."""
        classes = [found.label for found in objects]
        maps = self.class_maps(detector, reading, classes)
        return maps, detector.roi_head.tag_probs(reading.x, reading.sample)[classes]

    def class_maps(self, detector: TwoStageDetector, reading: Reading, classes: Sequence[int]) -> Tensor:
        """Maps (K, h, w) in [0, 1] of classes: 0.5 at the threshold, 1 in the core (without ``core``, from twice the threshold on).

        Does not use the proposals.
        """
        head = detector.roi_head.tag_head
        if self not in reading.memo:
            zooms = [1.0, *(self.zooms if reading.enlarged else ())]
            what = ['class maps', zooms, self.spread]
            raw = reading.keep([detector.backbone, head], what, lambda: self._raw_maps(head, detector, reading, zooms)[None])
            stride = detector.roi_head.bbox_roi_extractor.featmap_strides[-1] / zooms[-1]
            reading.memo[self] = raw[0].float(), stride, {}
        raw, stride, known = reading.memo[self]
        missing = [label for label in classes if label not in known]
        known |= zip(missing, self._extents(raw[missing], stride, reading.size))
        return torch.stack([known[label] for label in classes]) if classes else raw.new_zeros(0, *reading.size)

    def _extents(self, maps: Tensor, stride: float, size: tuple[int, int]) -> Tensor:
        """Maps (K, h, w) in [0, 1] from raw ones (K, h', w') of a stride."""
        if not len(maps):
            return maps
        height, width = size
        maps = F.interpolate(maps[None], [round(side * stride) for side in maps.shape[1:]], mode='bilinear')[0, :, :height, :width]
        maps = maps / peaks(maps)
        if self.core is None:
            return (maps / (2 * self.threshold)).clamp(max=1)
        cores = maps.new_tensor([self.core * otsu_threshold(each) for each in maps])[:, None, None]
        above = (maps - self.threshold) / (cores.clamp(self.threshold + 0.01, 0.95) - self.threshold)
        return torch.where(above < 0, maps / (2 * self.threshold), (0.5 + above / 2).clamp(max=1))

    def cores(self, masks: NDArray[np.bool_], maps: NDArray[np.float32]) -> NDArray[np.bool_]:
        """The cores of the objects, or all of an object without a core."""
        if self.core is None:
            return masks
        cores = masks & (maps >= 1)
        return np.where(cores.any((1, 2), keepdims=True), cores, masks)

    def _raw_maps(self, head: TagHead, detector: TwoStageDetector, reading: Reading, zooms: Sequence[float]) -> Tensor:
        """Maps (C, h', w') >= 0 of all classes, averaged over the image and its enlargements, at the size of the last one."""
        if not self.zooms and self.spread is None:
            return head.activation_maps(reading.x[-1][0]).clamp(min=0)
        tail = detector.backbone
        shared = [reading.shared if zoom == 1 else reading.enlarged(zoom) for zoom in zooms]
        levels = [] if self.spread is None else tail.levels(tail.entry(shared[-1]))
        maps = []
        for zoom, each in zip(zooms, shared, strict=True):
            known = levels if zoom == zooms[-1] else []
            x = reading.x if zoom == 1 else detector.extract_feat((each, known[-1]) if known else each)
            maps.append(head.activation_maps(x[-1][0]).clamp(min=0))
        size = maps[-1].shape[1:]
        mean = torch.stack([F.interpolate((each / peaks(each))[None], size, mode='bilinear')[0] for each in maps]).mean(0)
        if self.spread is not None:  # the last level distinguishes classes, not objects
            mean = spread(mean, [level[0] for level in levels[:-1]], **self.spread)
        return mean


def spread(maps: Tensor, levels: Sequence[Tensor], power: float = 4.0, steps: int = 2) -> Tensor:
    """Propagate maps to places with similar features: a random walk, v <- T v for each of ``steps``, with T_ij ~ max(0, cos_ij)^power.

    cos_ij is the mean over levels of the cosine between the features of places i and j; rows of T sum to 1.

    Args:
        maps: float (K, h', w') >= 0.
        levels: features, float (D, h', w') each.
        power, steps: a higher power restricts the propagation to more similar places, more steps reach further.

    >>> feature = torch.tensor([[[1.0, 1.0, -1.0, -1.0]]])
    >>> spread(torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), [feature], steps=1).tolist()
    [[[0.5, 0.5, 0.0, 0.0]]]
    """
    unit = torch.cat([F.normalize(level.flatten(1), dim=0) for level in levels])
    similar = (unit.T @ unit).div_(len(levels)).clamp_(min=0).pow_(power)
    total = similar.sum(1).clamp(min=1e-9)
    values = maps.flatten(1)
    for _ in range(steps):
        values = values @ similar / total  # similarity is symmetric
    return values.view(maps.shape)


def otsu_threshold(values: Tensor) -> float:
    """Otsu's threshold of a map in [0, 1] (Otsu, IEEE Trans. SMC 1979): it separates high from low values with the least variance within.

    >>> round(otsu_threshold(torch.tensor([[0.0, 0.1, 0.1, 0.9, 0.9, 1.0]])), 1)
    0.1
    """
    grey = (values * 255).byte().cpu().numpy()
    return cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0] / 255


def peaks(maps: Tensor) -> Tensor:
    """Maximum of each map (K, h, w), float (K, 1, 1), never zero."""
    return maps.flatten(1).amax(1).clamp(min=1e-9)[:, None, None]
