"""Predict boxes and masks for files, arrays, Pillow images, folders or glob patterns.

Shapes: n instances, R proposals, (h, w) image. Images: RGB uint8 (h, w, 3).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from mmlabelpenet.apis.checkpoint import check_classes, load_strictly, named_classes, noted_checkpoint, read_checkpoint
from mmlabelpenet.apis.config import config_classes, load_config
from mmlabelpenet.apis.config_files import SUFFIXES
from mmlabelpenet.apis.image_inputs import ImageInput, checked_array, expand, input_names, usable_device
from mmlabelpenet.apis.published import keep_stages
from mmlabelpenet.apis.results import Prediction, worth_showing
from mmlabelpenet.apis.run_note import run_files
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.files import given_path, shipped
from mmlabelpenet.formats.images import read_rgb
from mmlabelpenet.formats.rle import EncodedMasks, enlarged_code
from mmlabelpenet.log import warn
from mmlabelpenet.models.inference.image import check_names
from mmlabelpenet.models.inference.masks import rescale_result
from mmlabelpenet.ops.selective_search import SelectiveSearchSettings, shrunk_search
from mmlabelpenet.registry import MODELS
from mmlabelpenet.schema import check_whole

SHIPPED = 'labelpenet_lite0_voc12mini'  # config and weights included in the package: docs/model_card.md
SHIPPED_WEIGHTS = Path(__file__).parents[1] / f'weights/{SHIPPED}.pth'
_LOADERS = ('LoadImageFromFile', 'LoadAnnotations')


class LabelPENetInferencer:
    """A trained network for prediction.

    Args:
        config_or_dir: a config with its checkpoint, or the work dir of a training, which has both; None is the network included in the
            package. With a published checkpoint, the network has only the stages in it.
        checkpoint: None takes the last one of the work dir.
        device: ``'cpu'``, ``'cuda:0'``, ...; None uses a GPU if there is one.
        search: method of computing proposals, for the stage that needs them.
        search_side: images are downscaled to this size for selective search, 0 for none; boxes refer to the original image.

    Attributes:
        classes: names in label order, those of the checkpoint if it names them.
        stages: names of the network's stages.

    Raises:
        FileNotFoundError: no such config, work dir or checkpoint.
        ValueError: the checkpoint belongs to another model, or ``search_side`` is below 0.
        TypeError: ``search`` is not a :class:`~mmlabelpenet.ops.selective_search.SelectiveSearchSettings`.
    """

    def __init__(
        self,
        config_or_dir: str | Path | None = None,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        search: SelectiveSearchSettings | None = None,
        search_side: int = 500,
    ) -> None:
        check_whole(0, search_side=search_side)
        if search is not None and not isinstance(search, SelectiveSearchSettings):
            raise TypeError(f"search must be SelectiveSearchSettings, for example SelectiveSearchSettings(mode='fast'), got {search!r}.")
        config, self.checkpoint = find_run(config_or_dir, checkpoint)
        content = read_checkpoint(self.checkpoint)
        self.config = keep_stages(config, content['meta'].get('stages'))
        self.device = usable_device(device)
        init_default_scope(self.config.get('default_scope', 'mmlabelpenet'))
        self.model = MODELS.build(self.config.model)
        meta = load_strictly(self.model, content)
        self.model.to(self.device).eval()
        dataset = self.config.test_dataloader.dataset
        configured = config_classes(dataset) or VOC_CLASSES
        self.classes = named_classes(meta) or configured
        if len(self.classes) != len(configured):
            check_classes(self.checkpoint, meta, configured)
        if self.classes != configured:
            warn(f'Class names are taken from {self.checkpoint}; the config has {", ".join(configured)}.')
        self.stages = self.model.names
        self.pipeline = Compose([step for step in dataset.pipeline if step['type'].split('.')[-1] not in _LOADERS])
        self.search, self.search_side = search or SelectiveSearchSettings(), search_side

    @property
    def settings(self) -> list[Any]:
        """Everything besides the weights that predictions depend on, for :func:`~mmlabelpenet.schema.json_hash`."""
        pipeline = self.config.test_dataloader.dataset.pipeline
        return [self.config.model.to_dict(), [dict(step) for step in pipeline], self.search, self.search_side]

    def __call__(self, inputs: ImageInput | Iterable[ImageInput], **kwargs: Any) -> list[Prediction]:
        """Predict all images and return a list; arguments as for :meth:`stream`."""
        return list(self.stream(inputs, **kwargs))

    def stream(
        self,
        inputs: ImageInput | Iterable[ImageInput],
        stage: str | None = None,
        min_score: float = 0.3,
        max_instances: int = 50,
        with_masks: bool = True,
        batch_size: int = 1,
        pass_over: Callable[[ImageInput, Exception], None] | None = None,
    ) -> Iterator[Prediction]:
        """Predict batch by batch, so that a folder of any size fits in memory.

        Args:
            inputs: a file, an RGB array, a Pillow image, a folder, a glob pattern such as ``'photos/*.jpg'``, or several of these.
            stage: the stage that predicts; None is the last one.
            min_score: minimum score of a detection; for a stage that learns from tags, as a fraction of the best score in the image.
            max_instances: maximum number per image, at least 0.
            with_masks: False predicts only boxes, as detected, which is faster.
            batch_size: images per batch.
            pass_over: called with each unreadable image and the reason; None raises the error.

        Yields:
            one prediction for each readable image, in order.

        Raises:
            FileNotFoundError: no such file or folder, or nothing matches the pattern.
            ValueError: an image cannot be read, the network has no such stage, or an option is out of its range.
            TypeError: an input of another type.
        """
        (stage,) = check_names([self.stages[-1] if stage is None else stage], self.stages)
        check_whole(1, batch_size=batch_size)
        check_whole(0, max_instances=max_instances)
        if not isinstance(min_score, Real) or not 0 <= min_score <= 1:
            raise ValueError(f'Scores are numbers in [0, 1], got min_score={min_score!r}.')
        sources = expand(inputs)
        named = list(zip(sources, input_names(sources), strict=True))
        for start in range(0, len(named), batch_size):
            batch = []
            for source, name in named[start : start + batch_size]:
                try:
                    batch.append(self.prepare(source, name, stage))
                except (ValueError, FileNotFoundError) as error:
                    if pass_over is None:
                        raise
                    pass_over(source, error)
            if batch:
                yield from self._predict(batch, stage, min_score, max_instances, with_masks)

    def prepare(self, source: ImageInput, name: str | None = None, stage: str | None = None, tags: Sequence[int] = ()) -> dict:
        """One packed sample, as a data set of the config would return it.

        Args:
            source: file, RGB array or Pillow image.
            name: of the image; None takes the file name without extension.
            stage: the stage that will predict; None for all. Proposals are computed only if they are needed.
            tags: labels, if the image is to be labelled.
        """
        image = read_rgb(source) if isinstance(source, str | Path) else checked_array(source)
        image = np.ascontiguousarray(image[..., ::-1])  # BGR from here on; avoids a second copy of a large image
        path = Path(source) if isinstance(source, str | Path) else None
        h, w = image.shape[:2]
        bboxes = np.array([[0, 0, w, h]], np.float32)
        if any(self.model.stages[name].needs_proposals for name in (self.stages if stage is None else [stage])):
            bboxes = shrunk_search(image, self.search, self.search_side)
        return self.pipeline(
            dict(
                img=image,
                img_shape=(h, w),
                ori_shape=(h, w),
                img_id=name or input_names([source])[0],
                img_path=str(path) if path else None,
                tags=list(tags),
                num_classes=len(self.classes),
                proposals=dict(bboxes=bboxes, scores=np.ones(len(bboxes), np.float32)),
                instances=[],
            )
        )

    def _predict(self, batch: list[dict], stage: str, min_score: float, max_instances: int, with_masks: bool) -> Iterator[Prediction]:
        data, ranks = self.model.data_preprocessor(pseudo_collate(batch), False), self.model.stages[stage].learns_from_tags

        def choose(scores: NDArray) -> NDArray[np.int64]:
            return worth_showing(scores, min_score, ranks)[:max_instances]

        asked = dict(rescale=False, stages=[stage], with_masks=with_masks, choose=choose)
        for sample in self.model.predict(data['inputs'], data['data_samples'], **asked):
            yield self._prediction(sample.pred_instances, sample, stage)

    def _prediction(self, found: InstanceData, sample: Any, stage: str) -> Prediction:
        size, masks = tuple(sample.ori_shape[:2]), found.pop('masks', None)
        found = rescale_result(found, sample)
        return Prediction(
            image_id=sample.img_id,
            path=Path(sample.img_path) if sample.img_path else None,
            size=size,
            stage=stage,
            classes=self.classes,
            bboxes=found.bboxes.cpu().numpy(),
            scores=found.scores.cpu().numpy(),
            labels=found.labels.cpu().numpy(),
            masks=None if masks is None else EncodedMasks([enlarged_code(mask, size) for mask in masks.numpy()], size),
        )


def find_run(config_or_dir: str | Path | None = None, checkpoint: str | Path | None = None) -> tuple[Config, Path]:
    """Find config and checkpoint of a training.

    Args:
        config_or_dir: a config file, or a work dir; None is the training whose weights are included in the package.
        checkpoint: None takes the last one of the work dir.

    Raises:
        FileNotFoundError: no such config, work dir or checkpoint.
        ValueError: a config without checkpoint, or an empty text.
    """
    if config_or_dir is None:
        if checkpoint is not None:
            raise ValueError(f'{str(checkpoint)!r} needs the config that it was trained with: pass that too.')
        return load_config(shipped(f'configs/labelpenet/{SHIPPED}.py')), SHIPPED_WEIGHTS
    path, checkpoint = given_path(config_or_dir), None if checkpoint is None else given_path(checkpoint)
    if not path.exists() and '::' not in str(path) and path.suffix not in SUFFIXES:
        raise FileNotFoundError(f'{str(path)!r} does not exist. Expected the work dir of a training, or a config.')
    if not path.is_dir():
        config = load_config(path)
        if checkpoint is None:
            raise ValueError(f'{str(path)!r} is a config: pass the checkpoint too, or the work dir of a training, which has both.')
        return config, checkpoint
    configs, last = run_files(path), noted_checkpoint(path)
    found = checkpoint or last
    if not configs or found is None:
        raise FileNotFoundError(f'{str(path)!r} contains no finished training (no last_checkpoint, no */vis_data/config.py). Train first.')
    return load_config(configs[-1]), found
