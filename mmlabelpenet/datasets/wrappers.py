"""mmengine's wrappers around data sets with tags: they pass pseudo labels on, and a draw seeds the augmentation of what it leads to."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import dataset_wrapper as mmengine_wrappers

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.datasets.samplers import Draw
from mmlabelpenet.datasets.voc_tags import VOCTags, seeded
from mmlabelpenet.registry import DATASETS


class _Wrapper:
    """What all wrappers share; mmengine's class comes after it."""

    @property
    def parts(self) -> Sequence[VOCTags]:
        """The data sets inside."""
        return getattr(self, 'datasets', None) or [self.dataset]  # type: ignore[attr-defined]

    @property
    def image_ids(self) -> list[str]:
        """Ids of the images of all parts, each once."""
        return [image_id for part in self.parts for image_id in part.image_ids]

    @property
    def split(self) -> str:
        """Lists of all parts."""
        return '+'.join(part.split for part in self.parts)

    @property
    def max_bad_images(self) -> int:
        """How many images of all parts may be unreadable."""
        return sum(part.max_bad_images for part in self.parts)

    def inputs(self) -> dict[str, Any]:
        """As :meth:`VOCTags.inputs`, with a list of all parts' values for each name."""
        found = [part.inputs() for part in self.parts]
        return {name: [each[name] for each in found] for name in found[0]}

    def use_pseudo_labels(self, store: PseudoLabelStore | str | None) -> None:
        """As :meth:`VOCTags.use_pseudo_labels`, for each part."""
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
    """Several data sets with tags as one. Their image ids must differ: pseudo labels go by them."""


@DATASETS.register_module()
class RepeatDataset(_Wrapper, mmengine_wrappers.RepeatDataset):
    """A data set with tags several times over, for training; label passes take the data set itself."""


@DATASETS.register_module()
class ClassBalancedDataset(_Wrapper, mmengine_wrappers.ClassBalancedDataset):
    """Images with rare tags more often, for training; label passes take the data set itself."""
