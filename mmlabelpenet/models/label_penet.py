"""Label-PEnet: a shared backbone and a sequence of detectors, each handing over labels to the next (paper Fig. 1).

    image ─ backbone (shared) ─┬─ classification   multiple-instance learning on proposals (Eq. 1, 2)
                               ├─ detection        Faster R-CNN with instance weights (Eq. 3, 4)
                               ├─ refinement       Mask R-CNN with instance weights
                               └─ segmentation     Mask R-CNN, fully supervised by refinement

Shapes: N images, D channels, (H, W) padded network input, (h, w) image, stride s.
Boxes: float32 xyxy in pixels of the network input unless ``rescale=True``.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.model import ModuleDict
from torch import Tensor
from torch.nn import functional as F

from mmlabelpenet.calibration.cache import LabelCache
from mmlabelpenet.models.data_preprocessor import InvertibleDataPreprocessor
from mmlabelpenet.models.feature_cache import FeatureCache, MapKey
from mmlabelpenet.models.inference.image import Inference, check_names
from mmlabelpenet.models.inference.joint import JointReader
from mmlabelpenet.models.inference.views import View
from mmlabelpenet.models.log_values import check_finite
from mmlabelpenet.models.recompute import recompute_activations
from mmlabelpenet.models.recurrent import BACKWARD, FORWARD, recurrent_losses
from mmlabelpenet.models.stage import Stage, share_tails
from mmlabelpenet.models.stage_configs import check_stages
from mmlabelpenet.registry import LABEL_GENERATORS, MODELS
from mmlabelpenet.timing import timed
from mmlabelpenet.workers import Workers


@MODELS.register_module()
class LabelPENet(BaseDetector):
    """The whole network.

    The argument ``trains`` of :meth:`loss` selects what to train: the name of a stage (cascaded pre-training: the samples contain labels),
    ``'forward'`` or ``'backward'`` (recurrent fine-tuning: labels are generated during the iteration). ``trains`` and ``workers`` may be
    entries of the batch. Stages that are not trained are not in the graph of the loss.

    Args:
        num_classes: C, set in every head.
        backbone: shared layers.
        stages: config of each :class:`Stage` by name, in the order of the cascade. A stage set to None is removed.
        validation: config of the label generator of the backward direction.
        frozen_backbone: also keeps the backbone frozen in recurrent fine-tuning (choice N10).
        share_tail: stages of the same structure share conv5, fc6 and fc7, for small GPUs (choice N4).
        refresh_interval: number of visits for which the labels of an image are used in recurrent fine-tuning (choice L10).
        recompute: activations to recompute in the backward pass instead of keeping them: ``'backbone'``, ``'tail'`` (conv5 of every
            stage), ``'roi_head'`` (its fully connected layers and mask convolutions).
        consensus, map_evidence: whether heads of earlier stages and class activation maps score with a stage, see :class:`JointReader`.
        feature_cache: settings of :class:`FeatureCache`; None recomputes maps of frozen layers every time.
        test_cfg: settings of :class:`Inference`.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: dict,
        stages: dict[str, dict | None],
        validation: dict | None = None,
        frozen_backbone: bool = False,
        share_tail: bool = False,
        refresh_interval: int = 1,
        recompute: Sequence[str] | None = (),
        consensus: bool = False,
        map_evidence: bool = False,
        feature_cache: dict | None = None,
        data_preprocessor: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if not isinstance(self.data_preprocessor, InvertibleDataPreprocessor):
            kind = type(self.data_preprocessor).__name__
            raise ValueError(f"{kind} does not support tags: use data_preprocessor=dict(type='InvertibleDataPreprocessor', ...).")
        self.num_classes = num_classes
        self.backbone = MODELS.build(backbone)
        self.feature_cache = None if feature_cache is None else FeatureCache(**feature_cache)
        self.stages = ModuleDict()
        for name, stage in check_stages(stages).items():
            self.stages[name] = Stage(name, num_classes, cache=self.feature_cache, **stage)
        self.validation = LABEL_GENERATORS.build(validation or dict(type='DetectionLabels'))
        for name in self.names[1:]:
            self.validation.check(self.stages[name].detector, name)
        self.label_cache = LabelCache(refresh_interval)
        self.frozen_backbone = frozen_backbone
        if share_tail:
            share_tails(stage.detector for stage in self.stages.values())
        recompute_activations(self, recompute or ())
        self.reader = JointReader(self.stages, consensus, map_evidence)
        self.inference = Inference(self.reader, **(test_cfg or {}))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(self.stages)

    # ---------------------------------------------------------------- training

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], trains: str | None = None, workers: Workers | None = None
    ) -> dict[str, Any]:
        """Compute losses ``<stage>.loss_…``, values for the log, and, under ``'labels'``, the pseudo instances that each stage learns from.

        Args:
            batch_inputs: float (N, 3, H, W).
            batch_data_samples: with tags, proposals and, in cascaded pre-training, ``pseudo_instances``.
            trains: a stage, ``'forward'`` or ``'backward'``; may be None if the model has only one stage.
            workers: processes that generate labels in parallel in the forward direction; None uses this process.

        Raises:
            FloatingPointError: a loss is not finite; names stage and images. No weight has been updated.
            ValueError: ``trains`` is not one of these.
        """
        if trains in (FORWARD, BACKWARD):
            losses = recurrent_losses(self, batch_inputs, batch_data_samples, trains, workers or Workers())
        else:
            if trains is None and len(self.names) > 1:
                raise ValueError(
                    f'Specify what to train: {", ".join(self.names)}, forward or backward. In a config, set train_cfg='
                    f"dict(type='LabelPropagationLoop', phases=dict({self.names[0]}=dict(iters=..., lr=...), ...))."
                )
            (name,) = check_names([self.names[0] if trains is None else trains], self.names)
            with torch.no_grad():  # cascaded pre-training: the backbone is frozen (Sec. 3.3)
                feature = self.stages[name].inputs(self.views(batch_inputs, batch_data_samples))
            pseudo = None if self.stages[name].learns_from_tags else [sample.pseudo_instances for sample in batch_data_samples]
            losses = self.stages[name].loss(feature, batch_data_samples, pseudo)
        check_finite(losses, batch_data_samples)
        return losses

    def parse_losses(self, losses: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """mmengine's sum of all losses, and the values for the log, with ``'labels'`` among them."""
        loss, values = super().parse_losses({key: value for key, value in losses.items() if key != 'labels'})
        return loss, values | dict(labels=losses.get('labels', {}))

    # --------------------------------------------------------------- inference

    def forward(self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, mode: str = 'tensor', **kwargs: Any) -> Any:
        """As in mmdet; the batch may contain arguments of :meth:`loss` and :meth:`predict`."""
        if mode == 'tensor':
            return self._forward(inputs)
        return (self.loss if mode == 'loss' else self.predict)(inputs, data_samples, **kwargs)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None) -> Tensor:
        """mode='tensor': the shared map."""
        return self.extract_feat(batch_inputs)

    def extract_feat(self, batch_inputs: Tensor) -> Tensor:
        """The shared map, float (N, D, H/s, W/s), of normalised images (N, 3, H, W)."""
        with timed('backbone'):
            return self.backbone(batch_inputs)[-1]

    @torch.no_grad()
    def views(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], store: bool = True) -> list[View]:
        """One view per image of (N, 3, H, W), without the padding of its batch, so that results do not depend on the other images.

        ``store`` adds maps to the feature cache, if there is one.
        """
        views = []
        for inputs, sample in zip(batch_inputs, batch_data_samples, strict=True):
            image = inputs[None, :, : sample.pad_shape[0], : sample.pad_shape[1]]
            key, feature = self._shared_map(image, store)
            views.append(View(feature, sample, key, cache(partial(self._enlarged_map, image, store))))
        return views

    @torch.no_grad()
    def _enlarged_map(self, image: Tensor, store: bool, zoom: float) -> Tensor:
        return self._shared_map(F.interpolate(image, scale_factor=zoom, mode='bilinear'), store)[1]

    def _shared_map(self, image: Tensor, store: bool) -> tuple[MapKey | None, Tensor]:
        """The key of an image (1, 3, H, W) in the feature cache, if there is one, and its shared map, float32."""
        if self.feature_cache is None:
            return None, self.extract_feat(image).float()
        with timed('backbone'):
            key, feature = self.feature_cache.shared(self.backbone, image, store)
        return key, feature.float()

    @torch.no_grad()
    def explain(self, name: str, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> list[tuple[np.ndarray, Any]]:
        """Image and explanation of each image, from which ``stages[name].labels.label`` generates pseudo instances for the next stage."""
        images, stage = self.data_preprocessor.images(batch_inputs, batch_data_samples), self.stages[name]
        views = self.views(batch_inputs, batch_data_samples)
        return [(image, stage.explain(self.reader.read(name, [view])[0])) for image, view in zip(images, views, strict=True)]

    @torch.no_grad()
    def predict(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True, **kwargs) -> list[DetDataSample]:
        """Predict with the stages in ``test_cfg``, or with the given ones; further arguments and result as for :class:`Inference`."""
        images = self.data_preprocessor.images(batch_inputs, batch_data_samples)
        views = self.views(batch_inputs, batch_data_samples, store=False)
        return [self.inference([view], image, rescale, **kwargs) for view, image in zip(views, images, strict=True)]
