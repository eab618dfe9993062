"""The data set for training and testing: a VOC devkit, or COCO, of which only the tags are read.

Metrics read ground-truth boxes and masks themselves (``mmlabelpenet.evaluation.devkit.Devkit``).
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from mmlabelpenet.datasets.image_set import open_images
from mmlabelpenet.datasets.proposals import ProposalFile
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.samplers import Draw, seed_all
from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.log import warn, warn_once
from mmlabelpenet.mmdet_steps import check_pipeline
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.schema import counted, json_hash, short


@DATASETS.register_module()
class VOCTags(BaseDataset):
    """Images with their tags, proposals and pseudo labels.

    Args:
        data_root: folder with ``JPEGImages`` and ``ImageSets`` (``.../VOCdevkit/VOC2012``), or with COCO's ``annotations``.
        split: image list, ``ImageSets/Main/<split>.txt``, or COCO's ``train2017``.
        tags: ``'lists'`` (``<class>_<split>.txt``), ``'xml'`` (names only), or a CSV or JSON file; None for test images without tags.
        use_difficult_tags: whether to use tags whose objects are all difficult (choice C15).
        proposals: proposal file of the split; None if no stage needs one.
        max_proposals: number of highest-scoring proposals per image that are used; None for all.
        min_proposal_area: minimum area of a proposal as a fraction of the image's; smaller ones are dropped, unless all are.
        pseudo_labels: path of a label store; the training loop sets it for each phase.
        keep_untagged: keep images without tags, for testing; training skips them and reports their number.
        max_bad_images: number of unreadable images that training may replace by the next image of the split, with a count in the log.
        filter_cfg: only mmdet's ``dict(filter_empty_gt=True)``, which is what training does anyway.
        **kwargs: as for mmengine's ``BaseDataset`` (``pipeline``, ``metainfo``, ``indices``, ``test_mode``).

    Raises:
        FileNotFoundError: devkit, split, proposals or store are missing.
        ValueError: a tag is not a class, proposals belong to another split, an image cannot be read or has changed since its labels or
            proposals were generated, another filter, ``ann_file`` or ``data_prefix`` is given, or the pipeline does not support tags and
            proposals.
    """

    METAINFO = dict(classes=VOC_CLASSES)

    def __init__(
        self,
        data_root: str,
        split: str,
        tags: str | None = 'lists',
        use_difficult_tags: bool = False,
        proposals: str | None = None,
        max_proposals: int | None = None,
        min_proposal_area: float = 0.0,
        pseudo_labels: str | None = None,
        keep_untagged: bool = False,
        max_bad_images: int = 0,
        filter_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        if filter_cfg and filter_cfg != dict(filter_empty_gt=True):
            raise ValueError(
                'Training skips images without tags, testing keeps all; other filters are not supported, got '
                f'filter_cfg={dict(filter_cfg)}. Remove it, and remove unwanted images from the image list.'
            )
        if kwargs.get('ann_file') or kwargs.get('data_prefix'):
            raise ValueError(
                f'VOCTags finds images and tags through data_root and split={split!r}, the name of an image list: '
                'remove ann_file and data_prefix.'
            )
        if (max_proposals is not None and max_proposals < 1) or not 0 <= min_proposal_area <= 1 or max_bad_images < 0:
            raise ValueError(
                'max_proposals must be at least 1 or None, min_proposal_area in [0, 1], and max_bad_images at least 0, got '
                f'{max_proposals}, {min_proposal_area} and {max_bad_images}.'
            )
        if wrong := [key for key in kwargs.get('metainfo') or {} if key.lower() in ('classes', 'palette') and not key.islower()]:
            raise ValueError(f'metainfo.{wrong[0]} is not supported: use metainfo.{wrong[0].lower()}.')
        self.steps = list(kwargs.get('pipeline') or ())
        check_pipeline(self.steps)
        self.max_bad_images, self.bad_images = max_bad_images, set[int]()
        self.split, self.tags, self.use_difficult_tags, self.keep_untagged = split, tags, use_difficult_tags, keep_untagged
        self.proposal_path, self.max_proposals, self.min_proposal_area = proposals, max_proposals, min_proposal_area
        super().__init__(data_root=data_root, **kwargs)
        self.use_pseudo_labels(pseudo_labels)

    def load_data_list(self) -> list[dict]:
        """One entry per image: ``img_id``, ``img_path``, ``tags`` (class indices)."""
        images = open_images(self.data_root, self.metainfo['classes'])
        tags = {} if self.tags is None else images.tags(self.split, source=self.tags, use_difficult=self.use_difficult_tags)
        image_ids = [i for i in images.image_ids(self.split) if self.keep_untagged or tags.get(i)]
        skipped = len(images.image_ids(self.split)) - len(image_ids)
        if skipped:
            warn(f'{counted(skipped, f"image of {self.split!r}", "has")} no tag and {"is" if skipped == 1 else "are"} skipped.')
        self.proposal_file = None if self.proposal_path is None else ProposalFile(self.proposal_path, self.data_root, self.split)
        if self.proposal_file is not None:
            self.proposal_file.check(image_ids)
            if not self.proposal_file.knows_images:
                warn_once(
                    f'{self.proposal_path!r} was written by an earlier version or another program and has no hashes of its image files: an '
                    'image replaced by another one of the same size is not detected.'
                )
        self._check_indices(len(image_ids))
        return [dict(img_id=i, img_path=str(images.image_path(i)), tags=sorted(tags.get(i, []))) for i in image_ids]

    def _check_indices(self, count: int) -> None:
        """Reject an empty data set, for which mmengine has no message."""
        chosen = self._indices
        if count == 0:
            raise ValueError(f'No image of split {self.split!r} {"is listed" if self.keep_untagged else "has a tag of these classes"}.')
        if chosen is None or (type(chosen) is int and chosen >= 1):
            return
        items = list(chosen) if isinstance(chosen, Sequence | np.ndarray) and not isinstance(chosen, str) else []
        if not items or not all(isinstance(item, Integral) and -count <= item < count for item in items):
            raise ValueError(
                f'indices must be a number of images, or a list of indices of the {counted(count, "image")} of {self.split!r}, got '
                f'{short(chosen)}.'
            )

    def use_pseudo_labels(self, store: PseudoLabelStore | str | None) -> None:
        """Use this label store, or the one at this path, from now on; None for tags only. Its classes must be those of the data set."""
        self.store = PseudoLabelStore.load(store) if isinstance(store, str) else store
        if self.store is not None:
            self.store.check_classes(self.metainfo['classes'])

    def get_data_info(self, idx: int) -> dict:
        """Tags, proposals (R, 4) and pseudo instances of one image, in pixels of the original image."""
        info = super().get_data_info(idx)
        if self.proposal_file is not None:
            info['proposal_image_size'] = self.proposal_file.size(info['img_id'])
        info['num_classes'] = len(self.metainfo['classes'])
        info['proposals'] = self._proposals(info['img_id'])
        info['instances'] = [] if self.store is None else self.store.instances(info['img_id'], self.metainfo['classes'])
        return info

    @property
    def image_ids(self) -> list[str]:
        """Ids of all images, in order."""
        return [super(VOCTags, self).get_data_info(index)['img_id'] for index in range(len(self))]

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of an image's tags, as required by mmengine's ``ClassBalancedDataset``."""
        return super().get_data_info(idx)['tags']

    def inputs(self) -> dict[str, Any]:
        """Inputs on which the labels of the images depend, by name; long values as a hash. Proposals are not read."""
        infos = [super(VOCTags, self).get_data_info(index) for index in range(len(self))]
        file, names = self.proposal_file, [info['img_id'] for info in infos]
        return dict(
            split=self.split,
            images=json_hash(names),
            classes=list(self.metainfo['classes']),
            tags=json_hash([info['tags'] for info in infos]),
            proposals=file and json_hash([file.digest(name) for name in names]),
            max_proposals=self.max_proposals,
            min_proposal_area=self.min_proposal_area,
            pipeline=json_hash(self.steps),
        )

    def _proposals(self, image_id: str) -> dict[str, np.ndarray]:
        """``bboxes`` (R, 4) and ``scores`` (R,) of an image, by descending score."""
        if self.proposal_file is None:
            return dict(bboxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32))
        bboxes, scores = self.proposal_file.get(image_id)
        height, width = self.proposal_file.size(image_id)
        large = (bboxes[:, 2:] - bboxes[:, :2]).prod(1) >= self.min_proposal_area * height * width
        taken = np.flatnonzero(large if large.any() else ~large)[: self.max_proposals]
        return dict(bboxes=bboxes[taken], scores=scores[taken])

    def __getitem__(self, key: int | Draw) -> dict:
        """One packed sample. A ``Draw`` seeds the augmentation, so that it does not depend on previously loaded samples."""
        key = seeded(key)
        for _ in range(len(self)):
            try:
                return super().__getitem__(key)
            except UnreadableImageError as error:
                self._pass_over(key, error)
            key = (key + 1) % len(self)
        raise ValueError('No image of the split can be read.')

    def _pass_over(self, idx: int, error: 'UnreadableImageError') -> None:
        """Count a bad image, per data-loading process."""
        if self.test_mode or len(self.bad_images | {idx}) > self.max_bad_images:
            raise error
        if idx not in self.bad_images:
            self.bad_images.add(idx)
            warn(f'{len(self.bad_images)} of at most {counted(self.max_bad_images, "unreadable image")} skipped: {error}')

    def prepare_data(self, idx: int) -> dict:
        """Run the pipeline; errors name an image that cannot be read or has changed since its labels or proposals were generated."""
        info = self.get_data_info(idx)
        try:
            if self.store is not None:
                self.store.check_image(info['img_id'], info['img_path'])
            sample = self.pipeline(info)
            if self.proposal_file is not None:  # checked late, because an image damaged in the meantime may be skipped
                self.proposal_file.check_image(info['img_id'], info['img_path'])
            return sample
        except (AssertionError, OSError, cv2.error) as error:
            if cv2.imread(info['img_path']) is not None:  # a step of the pipeline has failed
                raise
            message = f'Image {info["img_path"]} cannot be read ({error}). Replace it, remove it from the split, or set max_bad_images.'
            raise UnreadableImageError(message) from error


def seeded(key: int | Draw) -> int:
    """The index of a draw, after seeding the random generators used by the pipeline; an index is returned unchanged."""
    if not isinstance(key, Draw):
        return key
    seed_all(key.seed)
    return key.index


class UnreadableImageError(ValueError):
    """An image file is missing or damaged."""
