"""One training step of another program on an export: python training.py PROGRAM FORMAT FOLDER, in the environment of clients_env.sh."""

import json
import sys
import tempfile
from pathlib import Path

import torch


def ultralytics_yolo(folder):
    from ultralytics import YOLO

    polygons = any(len(line.split()) > 5 for path in folder.rglob('labels/*/*.txt') for line in path.read_text().splitlines())
    with tempfile.TemporaryDirectory() as out:
        model = YOLO('yolo11n-seg.yaml' if polygons else 'yolo11n.yaml')
        model.train(
            data=str(folder / 'data.yaml'), epochs=1, imgsz=96, batch=4, workers=0, plots=False, project=out, device='cpu', val=False
        )


def torchvision_coco(folder):
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
    from torchvision.transforms.v2.functional import to_dtype, to_image

    data = wrap_dataset_for_transforms_v2(CocoDetection(folder / 'images', folder / 'train.json'), target_keys=['boxes', 'labels', 'masks'])
    step([(to_dtype(to_image(data[k][0].convert('RGB')), torch.float32, scale=True), data[k][1]) for k in range(2)], masks=True)


def torchvision_voc(folder):
    from torchvision.datasets import VOCDetection
    from torchvision.transforms.v2.functional import to_dtype, to_image

    data, samples = VOCDetection(folder.parents[1], image_set='train'), []
    names = [line.split(':')[0] for line in (folder / 'labelmap.txt').read_text(encoding='utf-8').splitlines()[1:]]
    for k in range(2):
        image, target = data[k]
        objects = target['annotation']['object']
        boxes = [[float(note['bndbox'][side]) for side in ('xmin', 'ymin', 'xmax', 'ymax')] for note in objects]
        boxes = torch.tensor(boxes) - torch.tensor([1.0, 1.0, 0.0, 0.0])
        labels = torch.tensor([names.index(note['name']) for note in objects])
        samples.append((to_dtype(to_image(image), torch.float32, scale=True), dict(boxes=boxes, labels=labels)))
    step(samples, masks=False)


def step(samples, masks):
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn, maskrcnn_resnet50_fpn

    build = maskrcnn_resnet50_fpn if masks else fasterrcnn_mobilenet_v3_large_320_fpn
    model = build(weights=None, weights_backbone=None, num_classes=5, min_size=96, max_size=160)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    loss = sum(model([image for image, _ in samples], [target for _, target in samples]).values())
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)


def mmdet_coco(folder):
    names = [category['name'] for category in json.loads((folder / 'train.json').read_text(encoding='utf-8'))['categories']]
    places = dict(data_root=str(folder), ann_file='train.json', data_prefix=dict(img='images/'))
    mmdet_step(dict(type='CocoDataset', metainfo=dict(classes=names), **places), 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')


def mmdet_voc(folder):
    names = [line.split(':')[0] for line in (folder / 'labelmap.txt').read_text(encoding='utf-8').splitlines()[2:-1]]
    places = dict(ann_file=f'{folder.name}/ImageSets/Main/train.txt', data_prefix=dict(sub_data_root=f'{folder.name}/'))
    dataset = dict(type='VOCDataset', metainfo=dict(classes=names), data_root=str(folder.parent), **places)
    mmdet_step(dataset, 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')


def mmdet_step(dataset, name):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from mmdet.registry import DATASETS, MODELS
    from mmengine.config import Config
    from mmengine.dataset import pseudo_collate
    from mmengine.hub import get_config
    from mmengine.optim import OptimWrapper
    from mmengine.registry import init_default_scope

    import mmlabelpenet  # noqa: F401 - torchvision's operators where mmcv comes without compiled ones

    init_default_scope('mmdet')
    config: Config = get_config(f'mmdet::{name}')
    config.model.backbone.init_cfg = None
    masks = 'mask_head' in config.model.roi_head
    for head in ('bbox_head', 'mask_head')[: 1 + masks]:
        config.model.roi_head[head].num_classes = 4
    pipeline = [
        dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=masks),
        dict(type='Resize', scale=(96, 96), keep_ratio=True), dict(type='PackDetInputs'),
    ]  # fmt: skip
    data = DATASETS.build(dict(dataset, pipeline=pipeline, filter_cfg=dict(filter_empty_gt=True)))
    model = MODELS.build(config.model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    losses = model.train_step(pseudo_collate([data[0], data[1]]), wrapper)
    assert torch.isfinite(losses['loss'])


if __name__ == '__main__':
    globals()[f'{sys.argv[1]}_{sys.argv[2]}'](Path(sys.argv[3]))
