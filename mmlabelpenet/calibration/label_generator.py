"""What a label generator is: from a stage's state on an image to pseudo instances for its neighbour (paper Fig. 1a, Sec. 3.3).

Shapes: N images, D channels, (h', w') shared map, (h, w) image.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.calibration.workers import Workers


class LabelGenerator:
    """From a stage's belief to pseudo instances, in two steps: ask the network, then finish without it, maybe in another process."""

    def __call__(
        self, stage: TwoStageDetector, feature: Tensor, samples: Sequence[DetDataSample], images: Sequence[np.ndarray]
    ) -> list[InstanceData]:
        """Pseudo instances per image.

        Args:
            stage: whose belief is read.
            feature: shared map, float (N, D, h', w').
            samples: with ``gt_image_labels``, and ``proposals`` for the classification stage.
            images: RGB uint8 (h, w, 3) of the network input, for the CRF.
        """
        return self.begin(stage, feature, samples, images, Workers())()

    def begin(
        self, stage: TwoStageDetector, feature: Tensor, samples: Sequence[DetDataSample], images: Sequence[np.ndarray], workers: Workers
    ) -> Callable[[], list[InstanceData]]:
        """Ask now, finish in other processes beside what follows; arguments as for a call.

        Returns:
            a function that waits for the pseudo instances per image.
        """
        wait = workers.begin(self.finish, self.ask(stage, feature, samples, images))
        return lambda: [pseudo.to(feature.device) for pseudo in wait()]

    def ask(self, stage: TwoStageDetector, feature: Tensor, samples: Sequence[DetDataSample], images: Sequence[np.ndarray]) -> list[Any]:
        """What :meth:`finish` needs, per image, picklable; arguments as for a call."""
        raise NotImplementedError

    def finish(self, job: Any) -> InstanceData:
        """Pseudo instances of one image, on the CPU."""
        raise NotImplementedError
