"""Test-time augmentation: several views of an image, merged before NMS (choice L11).

How views are merged is described in :mod:`~mmlabelpenet.models.inference.views` and :mod:`~mmlabelpenet.models.inference.masks`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseTTAModel

from mmlabelpenet.models.inference.views import View
from mmlabelpenet.models.label_penet import LabelPENet
from mmlabelpenet.registry import MODELS


@MODELS.register_module()
class LabelPENetTTA(BaseTTAModel):
    """:class:`LabelPENet` on the views created by mmcv's ``TestTimeAug``. mmdet's ``DetTTAModel`` merges after NMS and does not support
    masks, hence our own model.
    """

    module: LabelPENet

    @torch.no_grad()
    def test_step(self, data: dict[str, list]) -> list[DetDataSample]:
        """Predict a batch, like :meth:`LabelPENet.predict`: returns the samples of the first view, which must not be flipped.

        Args:
            data: ``inputs`` and ``data_samples``, a list of views of a list of images each; may also contain arguments of
                :class:`Inference`.
        """
        asked = {key: value for key, value in data.items() if key not in ('inputs', 'data_samples')}
        if any(sample.get('flip', False) for sample in data['data_samples'][0]):
            raise ValueError('The first view is flipped. Merged boxes and masks are in its frame, so the first view must not be flipped.')
        batches = [
            self.module.data_preprocessor(dict(inputs=inputs, data_samples=samples), False)
            for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True)
        ]
        images = self.module.data_preprocessor.images(batches[0]['inputs'], batches[0]['data_samples'])
        views = [self.module.views(batch['inputs'], batch['data_samples'], store=False) for batch in batches]
        return self.merge_preds([list(image_views) for image_views in zip(*views, strict=True)], images, **asked)

    def merge_preds(self, views: Sequence[Sequence[View]], images: Sequence[np.ndarray], **asked: Any) -> list[DetDataSample]:
        """Merged predictions of all views of each image, for images RGB uint8 (h, w, 3) of the first views."""
        return [self.module.inference(*pair, **asked) for pair in zip(views, images, strict=True)]
