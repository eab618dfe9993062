import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import toy
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlabelpenet.apis.inferencer import SHIPPED_WEIGHTS
from mmlabelpenet.apis.overlap import image_files, shared_images
from mmlabelpenet.datasets.voc_tags import VOCTags
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.registry import DATASETS
from mmlabelpenet.workbench.supervision.audit import Card, add_files, add_overlap, add_weights, audit, holds_boxes, kind_of

TOOL = Path(__file__).resolve().parents[3] / 'tools' / 'analysis_tools' / 'audit_supervision.py'


@DATASETS.register_module(force=True)
class PeepingTags(VOCTags):
    """Reads the boxes of the image, or its masks, on the quiet."""

    def __init__(self, *args, peep='objects', **kwargs):
        self.peep = peep
        super().__init__(*args, **kwargs)

    def get_data_info(self, idx):
        info = super().get_data_info(idx)
        getattr(VOCDevkit(self.data_root, self.metainfo['classes'], self.metainfo['classes']), self.peep)(info['img_id'])
        return info


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch):
    init_default_scope('mmlabelpenet')
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)  # asks compilers for their versions, for seconds
    lines = property(lambda config: '\n'.join(f'{key} = {value!r}' for key, value in config.to_dict().items()))
    monkeypatch.setattr('mmengine.config.Config.pretty_text', lines)


def config_of(root, test='test', **dataset):
    phases = [(name, 5) for name in (*toy.STAGES, 'recurrent')]
    config = toy.run_config(root, 'nowhere', phases, dataset=dataset)
    config.test_dataloader = dict(dataset=toy.dataset_config(root, test, train=False))
    return config


def test_training_of_all_phases_opens_images_lists_and_proposals_and_no_annotation(toy_root):
    config = config_of(toy_root)
    before = config.to_dict()
    card = audit(config, images=2)
    assert card.faults == []
    assert set(card.opened) == {'images', 'image lists and tags', 'proposals'}
    assert not [line for lines in card.opened.values() for line in lines if 'Annotations' in line or 'Segmentation' in line]
    assert card.overlap == ["'test' (test_dataloader) and 'train': 0 shared images"]
    assert config.to_dict() == before
    assert not Path('nowhere').exists()


@pytest.mark.parametrize(
    ('peep', 'kind', 'reader'), [('objects', 'boxes', 'voc.objects'), ('instance_masks', 'masks', 'voc.instance_masks')]
)
@pytest.mark.parametrize('data_only', [True, False])
def test_a_data_set_that_reads_annotations_on_the_quiet_is_found_out(toy_root, peep, kind, reader, data_only):
    card = audit(config_of(toy_root, type='PeepingTags', peep=peep), images=2, data_only=data_only)
    (fault,) = card.faults
    assert f'files with {kind}' in fault
    assert reader in fault


def test_names_in_annotations_are_tags_and_no_fault(toy_root):
    card = audit(config_of(toy_root, tags='xml'), images=2, data_only=True)
    assert card.faults == []
    assert 'names in annotations' in card.opened
    assert 'Annotations' in card.opened['names in annotations'][0]


def test_test_images_in_the_training_split_are_a_fault(toy_root):
    (fault,) = audit(config_of(toy_root, test='train'), images=2, data_only=True).faults
    assert 'share 6 images' in fault


def test_a_copy_under_another_name_in_another_folder_is_the_same_image(toy_root, tmp_path):
    train = image_files(dict(data_root=str(toy_root), split='train', metainfo=dict(classes=('lolly',))))
    other = shutil.copytree(toy_root, tmp_path / 'copy')
    path = other / 'JPEGImages' / f'renamed{train[2].suffix}'
    shutil.move(other / 'JPEGImages' / train[2].name, path)
    (other / 'ImageSets/Main/val.txt').write_text('renamed\n')
    config = config_of(toy_root)
    config.test_dataloader.dataset.update(data_root=str(other), split='val')
    card = Card()
    add_overlap(card, config)
    assert len(card.faults) == 1
    assert f'{train[2].name} = renamed' in card.faults[0]
    assert shared_images(train, [path]) == [(str(train[2]), str(path))]
    assert shared_images(train[:2], [path]) == []


def test_without_the_test_images_there_is_nothing_to_judge(toy_root):
    with pytest.raises(FileNotFoundError, match="No split 'nothing'"):
        audit(config_of(toy_root, test='nothing'), images=2, data_only=True)


def test_weights_are_listed_with_what_they_were_trained_on():
    imagenet = dict(type='ImageNetWeights', arch='vgg16', preset='caffe', part='tail', checkpoint='vgg.pth')
    stages = [dict(init_cfg=imagenet), dict(init_cfg=imagenet), dict(init_cfg=dict(type='Pretrained', checkpoint='mine.pth'))]
    card = Card()
    phases = dict(detection=dict(warm_start=str(SHIPPED_WEIGHTS)), refinement=dict(warm_start=True), segmentation=None)
    add_weights(card, Config(dict(model=dict(stages=stages), load_from='start.pth', train_cfg=dict(phases=phases))))
    assert card.weights == [
        'vgg16 (caffe) from vgg.pth: image labels of ImageNet, read 2 times',
        'mine.pth: unknown; ask their author',
        'start.pth: supervision of the training that wrote it; audit its config too',
        f'{SHIPPED_WEIGHTS}, included in the package: image tags of VOC 2012 (docs/model_card.md)',
    ]


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ({'annotations': [{'bbox': [0, 0, 1, 1]}]}, True),
        ([{'segmentation': {}}], True),
        ({'annotations': [{'bbox': [0, 0, 1, 1]}], 'info': {'stage': 'detection', 'weights': 'abc'}}, False),
        ({'photo_1': ['cat']}, False),
        ([{'image': 'photo_1', 'tags': ['cat']}], False),
    ],
)
def test_a_json_file_with_boxes_or_masks_is_told_from_tags_and_from_pseudo_labels(tmp_path, content, expected):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    assert holds_boxes(str(path)) is expected
    assert (kind_of(str(path), [()]) == 'boxes') is expected


def test_unknown_files_are_listed_as_such():
    assert kind_of('/data/extra.pkl', [()]) == 'other files'
    assert kind_of('/data/tags.csv', [()], {'/data/tags.csv'}) == 'image lists and tags'


def load_tool():
    spec = importlib.util.spec_from_file_location('audit_supervision', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(('test', 'status'), [('test', 0), ('train', 1), ('nothing', 2)])
def test_the_exit_status_tells_clean_faulty_and_unknown_apart(toy_root, tmp_path, capsys, test, status):
    config_of(toy_root, test=test).dump(tmp_path / 'config.py')
    out = tmp_path / 'card.md'
    assert load_tool().main([str(tmp_path / 'config.py'), '--data-only', '--images', '2', '--out', str(out)]) == status
    printed = capsys.readouterr()
    assert out.exists() == (status != 2)
    assert printed.out.strip() == (out.read_text().strip() if out.exists() else '')
    assert {0: 'Image tags only', 1: 'share 6 images', 2: ''}[status] in printed.out
    assert ('error: ' in printed.err) == (status == 2)


def test_tags_of_own_images_say_what_they_were_made_of(tmp_path):
    record = dict(classes=['cat'], splits={}, sources={}, converted={}, tags_from='Names alone.')
    (tmp_path / 'own_data.json').write_text(json.dumps(record))
    (tmp_path / 'tags.csv').write_text('image,tags\n')
    card, path = Card(), str(tmp_path / 'tags.csv')
    add_files(card, {path: [()]}, Config(dict(train_dataloader=dict(dataset=dict(tags=path)))))
    assert card.opened['image lists and tags'] == [path, f'{path} was created from: Names alone.']
