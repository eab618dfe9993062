"""Tables for data sets of any size."""

import copy
from pathlib import Path

import pytest

from mmlabelpenet.apis import load_config
from mmlabelpenet.workbench.experiments import scale

ROOT = Path(__file__).resolve().parents[3]
IMAGES = (5_011, 118_287, 1_000_000, 100_000_000)


def config(name):
    return load_config(ROOT / f'configs/labelpenet/labelpenet_{name}.py')


@pytest.fixture(scope='module')
def coco():
    return config('vgg16_coco17')


def test_a_schedule_shows_every_image_once_at_least(coco):
    assert scale.iterations(coco, 118_287) == (400_000, [1_120_000, 140_000, 17_500])
    seen, (alone, *_) = scale.iterations(coco, 1_000_000)
    assert seen == 1_000_000 and alone == 2_800_000


def test_a_schedule_may_have_recurrent_fine_tuning_only(coco):
    alone = copy.deepcopy(coco)
    alone.train_cfg.phases = dict(recurrent=dict(iters=100))
    assert scale.iterations(alone, 10) == (100 * coco.train_dataloader.batch_size, [100, 12, 2])


def test_the_page_has_the_tables_that_the_tool_prints(coco):
    page = (ROOT / 'docs/scale.md').read_text()
    tables = [
        scale.searching(IMAGES),
        scale.training([(config('vgg16_voc07'), IMAGES[0]), *((coco, n) for n in IMAGES[1:])]),
        scale.sending(coco),
        scale.memory(IMAGES),
        scale.labelling(IMAGES, scale.label_passes(coco)),
        scale.caching(
            ['EfficientNet-Lite0 for natural images', 'ResNet-50 for natural images'],
            [config('lite0_animals'), config('r50_animals')],
            IMAGES,
        ),
    ]
    for table in tables:
        assert table in page, f'docs/scale.md needs\n{table}'
    everything = scale.all_tables(coco, IMAGES)
    assert all(table in everything for table in (tables[0], *tables[2:5])) and 'cache' not in everything
    assert 'Feature cache' in scale.all_tables(config('lite0_animals'), IMAGES[:1])
