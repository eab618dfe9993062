"""Reuse an image's labels for a while in recurrent fine-tuning (row L10): the CRF is the slow part of making them."""

from collections.abc import Callable, Sequence

from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmlabelpenet.structures import from_original, to_original


class LabelCache:
    """Labels by stage and image, in pixels of the original image.

    It lives in memory only: a resumed run makes all labels anew, so with an interval above 1 it is not bit-identical with the
    uninterrupted one.

    Args:
        refresh_interval: labels of an image serve this many of its visits; 1 makes them every time.

    Raises:
        ValueError: the interval is below 1.
    """

    def __init__(self, refresh_interval: int = 1) -> None:
        if refresh_interval < 1:
            raise ValueError(f'refresh_interval must be at least 1, got {refresh_interval}.')
        self.refresh_interval = refresh_interval
        self._labels: dict[tuple[str, str], tuple[InstanceData, int]] = {}

    def __call__(self, stage: str, samples: Sequence[DetDataSample], make: Callable[[], list[InstanceData]]) -> list[InstanceData]:
        """Labels of a batch in the frame of its network input; ``make`` is called unless all of them can be reused."""
        if self.refresh_interval == 1:
            return make()
        keys = [(stage, sample.img_id) for sample in samples]
        if all(self._labels.get(key, (None, 0))[1] > 0 for key in keys):
            pseudo = [from_original(self._labels[key][0], sample.metainfo) for key, sample in zip(keys, samples, strict=True)]
            self._labels.update({key: (self._labels[key][0], self._labels[key][1] - 1) for key in keys})
            return pseudo
        pseudo = make()
        for key, sample, made in zip(keys, samples, pseudo, strict=True):
            self._labels[key] = (to_original(made, sample.metainfo), self.refresh_interval - 1)
        return pseudo
