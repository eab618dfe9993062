"""First labels from what a classifier of the whole image looks at.

Multiple-instance learning (Eq. 1, 2) settles on the part of an object that tells its class best, and on few images proposal calibration
inherits that. The class activation map of a whole image covers more of the object (Zhou et al., CVPR 2016).

Shapes: C classes, K objects, (h, w) image.
"""

from mmdet.models.detectors import TwoStageDetector
from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.calibration.generators import AttentionGenerator
from mmlabelpenet.calibration.objects import FoundObject
from mmlabelpenet.calibration.reading import Reading
from mmlabelpenet.registry import LABEL_GENERATORS


@LABEL_GENERATORS.register_module()
class ClassActivation(AttentionGenerator):
    """Class activation maps of the whole image in the place of the proposals' excitation maps (Zhou et al., CVPR 2016).

    For a classification stage with a :class:`~.tag_head.TagHead`. R^c still is the best proposal of a tag; the class
    score of an object is the probability of its tag.

    Args:
        threshold: share of a map's maximum from which on a place belongs to the object.
        **kwargs: of :class:`AttentionGenerator`.

    Raises:
        ValueError: a threshold outside (0, 0.5].
    """

    def __init__(self, threshold: float = 0.2, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 0 < threshold <= 0.5:
            raise ValueError(f'threshold is a share of the maximum in (0, 0.5], got {threshold}.')
        self.threshold = threshold

    def attention_maps(self, detector: TwoStageDetector, reading: Reading, objects: list[FoundObject]) -> tuple[Tensor, Tensor]:
        """Maps (K, h, w) in [0, 1], 0.5 at the threshold, and the probabilities (K,) of the classes.

        Raises:
            TypeError: the stage has no tag head.
        """
        head = getattr(detector.roi_head, 'tag_head', None)
        if head is None:
            raise TypeError("ClassActivation needs a stage with a tag head: roi_head=dict(tag_head=dict(type='TagHead', ...)).")
        if not objects:
            return super().attention_maps(detector, reading, objects)
        height, width = reading.size
        stride = detector.roi_head.bbox_roi_extractor.featmap_strides[-1]
        classes = [found.label for found in objects]
        maps = head.activation_maps(reading.x[-1][0])[classes].clamp(min=0)
        size = [side * stride for side in maps.shape[1:]]
        maps = F.interpolate(maps[None], size, mode='bilinear')[0, :, :height, :width]
        peaks = maps.flatten(1).amax(1).clamp(min=1e-9)[:, None, None]
        scores = detector.roi_head.tag_probs(reading.x, reading.sample)
        return (maps / (2 * self.threshold * peaks)).clamp(max=1), scores[classes]
