"""Test-time augmentation: several views of an image, merged before suppression (row L11).

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
    """:class:`LabelPENet` on the views that mmcv's ``TestTimeAug`` makes of each image.

    mmdet's ``DetTTAModel`` merges what is left after suppression and takes no masks; hence a model of our own.
    """

    module: LabelPENet

    @torch.no_grad()
    def test_step(self, data: dict[str, list]) -> list[DetDataSample]:
        """Predict a batch, as :meth:`LabelPENet.predict`: the samples of the first view, which must not be mirrored.

        Args:
            data: ``inputs`` and ``data_samples``, a list of views of a list of images each; arguments of :class:`Inference` may travel
                with them.
        """
        asked = {key: value for key, value in data.items() if key not in ('inputs', 'data_samples')}
        if any(sample.get('flip', False) for sample in data['data_samples'][0]):
            raise ValueError('The first view is mirrored. Merged boxes and masks are in its frame: put an upright one first.')
        batches = [
            self.module.data_preprocessor(dict(inputs=inputs, data_samples=samples), False)
            for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True)
        ]
        images = self.module.data_preprocessor.images(batches[0]['inputs'], batches[0]['data_samples'])
        explained = self.module.inference.explained(**asked)
        views = [self.module.views(batch['inputs'], batch['data_samples'], store=False, explained=explained) for batch in batches]
        return self.merge_preds([list(image_views) for image_views in zip(*views, strict=True)], images, **asked)

    def merge_preds(self, views: Sequence[Sequence[View]], images: Sequence[np.ndarray], **asked: Any) -> list[DetDataSample]:
        """Predictions of all views of each image as one, for images RGB uint8 (h, w, 3) of the first views."""
        return [self.module.inference(*pair, **asked) for pair in zip(views, images, strict=True)]
