"""Draw the labels that stages learn from, for visual inspection."""

from pathlib import Path

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor

from mmlabelpenet.files import atomic_write
from mmlabelpenet.registry import HOOKS
from mmlabelpenet.schema import check_range
from mmlabelpenet.workbench.report.tiles import Painter


@HOOKS.register_module()
class LabelSamplesHook(Hook):
    """Every ``interval`` iterations, draw the labels of each stage to ``<work dir>/label_samples/iter_<n>/<stage>_<image>.jpg``.

    In recurrent fine-tuning, the direction precedes the stage. The classification stage learns from tags except in the backward direction.

    Args:
        max_images: number of images drawn from the rank's last mini-batch.
        folder: output folder in the work dir.
    """

    def __init__(self, interval: int = 1000, max_images: int = 1, folder: str = 'label_samples') -> None:
        check_range(1, interval=interval, max_images=max_images)
        self.interval, self.max_images, self.folder = interval, max_images, folder

    @master_only
    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None) -> None:
        """Draw at the interval."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        folder = Path(runner.work_dir) / self.folder / f'iter_{runner.iter + 1}'
        classes = runner.train_dataloader.dataset.metainfo['classes']
        for receiver, pseudo in data_batch['labels'].items():
            images = zip(data_batch['inputs'], data_batch['data_samples'], pseudo, strict=True)
            for image, sample, labels in list(images)[: self.max_images]:
                write(folder / f'{receiver.replace(".", "_")}_{Path(sample.img_id).name}.jpg', image, sample, labels, classes)


def write(path: Path, image: Tensor, sample: DetDataSample, labels: InstanceData, classes: tuple[str, ...]) -> None:
    """Draw one image: tags in the corner, boxes, masks, and class and weight at each box.

    Args:
        image: BGR uint8 (3, h, w), the network input.
        labels: pseudo instances in pixels of the image.
    """
    rgb = np.ascontiguousarray(image.numpy()[::-1].transpose(1, 2, 0))
    boxes, kinds, masks = labels.bboxes.cpu().numpy(), labels.labels.cpu().numpy(), labels.masks.masks.astype(bool)
    drawn = Painter(rgb, classes).labels('', boxes, kinds, labels.weights.tolist(), masks).image
    tags = ', '.join(classes[k] for k in sample.gt_image_labels.onehot.nonzero().flatten().tolist())
    drawn = cv2.putText(np.ascontiguousarray(drawn[..., ::-1]), tags, (4, drawn.shape[0] - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3)
    with atomic_write(path, 'wb') as file:
        file.write(cv2.imencode('.jpg', drawn)[1].tobytes())
