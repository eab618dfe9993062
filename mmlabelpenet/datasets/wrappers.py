"""mmengine's wrappers for data sets with tags: they pass on pseudo labels, and a draw seeds the augmentation of its sample."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import dataset_wrapper as mmengine_wrappers

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.samplers import Draw
from mmlabelpenet.datasets.voc_tags import VOCTags, seeded
from mmlabelpenet.registry import DATASETS


class _Wrapper:
    """Mixin for all wrappers, used before mmengine's class."""

    @property
    def parts(self) -> Sequence[VOCTags]:
        """The wrapped data sets."""
        return getattr(self, 'datasets', None) or [self.dataset]  # type: ignore[attr-defined]

    @property
    def image_ids(self) -> list[str]:
        """Ids of the images of all parts, each once."""
        return [image_id for part in self.parts for image_id in part.image_ids]

    @property
    def split(self) -> str:
        """Image lists of all parts."""
        return '+'.join(part.split for part in self.parts)

    @property
    def max_bad_images(self) -> int:
        """Total number of unreadable images allowed in all parts."""
        return sum(part.max_bad_images for part in self.parts)

    def inputs(self) -> dict[str, Any]:
        """Like :meth:`VOCTags.inputs`, with a list of the values of all parts for each name."""
        found = [part.inputs() for part in self.parts]
        return {name: [each[name] for each in found] for name in found[0]}

    def use_pseudo_labels(self, store: PseudoLabelStore | str | None) -> None:
        """Like :meth:`VOCTags.use_pseudo_labels`, for each part."""
        for part in self.parts:
            part.use_pseudo_labels(store)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of an image's tags."""
        return self.get_data_info(idx)['tags']  # type: ignore[attr-defined]

    def __getitem__(self, key: int | Draw) -> Any:
        """One packed sample."""
        return super().__getitem__(seeded(key))  # type: ignore[misc]


@DATASETS.register_module()
class ConcatDataset(_Wrapper, mmengine_wrappers.ConcatDataset):
    """Concatenation of data sets with tags. Image ids must be unique, because pseudo labels are stored by image id."""


@DATASETS.register_module()
class RepeatDataset(_Wrapper, mmengine_wrappers.RepeatDataset):
    """A repeated data set with tags, for training; label passes use the data set itself."""


@DATASETS.register_module()
class ClassBalancedDataset(_Wrapper, mmengine_wrappers.ClassBalancedDataset):
    """Repeats images with rare tags, for training; label passes use the data set itself."""
