import json
import os
import resource
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import toy
import warm
from mmengine.registry import init_default_scope
from PIL import Image
from pycocotools.coco import COCO

from mmlabelpenet import predict
from mmlabelpenet.apis import LabelPENetInferencer
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore


@pytest.fixture(scope='module')
def model(toy_root, tmp_path_factory):
    init_default_scope('mmlabelpenet')
    folder = tmp_path_factory.mktemp('model')
    config = toy.run_config(toy_root, folder, [('classification', 1)])
    dataset = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, dataset=dataset)
    config.dump(folder / 'toy.py')
    torch.save({'state_dict': toy.build(toy.model_config(), seed=2).state_dict(), 'meta': {}}, folder / 'iter_1.pth')
    return ['--model', str(folder / 'toy.py'), '--checkpoint', str(folder / 'iter_1.pth'), '--device', 'cpu']


@pytest.fixture
def photos(tmp_path, toy_root):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for k, path in enumerate(sorted((toy_root / 'JPEGImages').glob('*'))[:2]):
        Image.open(path).save(folder / f'ü {k}.jpg')
    return folder


def test_every_format_tells_of_the_same_instances(model, photos, tmp_path, capsys):
    out = tmp_path / 'out'
    predict.main([str(photos), *model, '--out', str(out), '--min-score', '0.26', '--format', 'coco', 'png', 'labelme', 'drawn'])
    store = PseudoLabelStore.load(out / 'labels.json')
    count = len(COCO(out / 'labels.json').getAnnIds())
    assert count and f'{count} instances, in {out}' in capsys.readouterr().out
    assert len(store) == 2
    for k in range(2):
        instances = store.instances(f'ü {k}')
        assert all(0.26 <= instance['weight'] <= 1 for instance in instances)
        numbered = cv2.imdecode(np.fromfile(out / f'masks/ü {k}_instances.png', np.uint8), cv2.IMREAD_UNCHANGED)
        assert numbered.dtype == np.uint16 and numbered.max() <= len(instances)
        if instances:
            shapes = json.loads((out / f'labelme/ü {k}.json').read_text())['shapes']
            assert len(shapes) == len(instances)
        assert (out / f'drawn/ü {k}.jpg').is_file()


def test_no_instance_still_gives_files_and_says_what_may_help(model, photos, tmp_path, capsys):
    predict.main([str(photos), *model, '--out', str(tmp_path / 'out'), '--min-score', '1', '--format', 'coco', 'labelme'])
    assert 'none has a score of at least 1: lower --min-score' in capsys.readouterr().out
    assert PseudoLabelStore.load(tmp_path / 'out/labels.json').content['annotations'] == []


def test_images_of_one_name_in_two_folders_are_told_apart(model, photos, tmp_path):
    (tmp_path / 'other').mkdir()
    shutil.copy(photos / 'ü 0.jpg', tmp_path / 'other')
    Image.open(photos / 'ü 0.jpg').save(tmp_path / 'other/ü 0.png')
    out = tmp_path / 'out'
    predict.main(
        [str(photos), str(tmp_path / 'other'), *model, '--out', str(out), '--min-score', '0.26', '--format', 'coco', 'png', 'labelme']
    )
    images = PseudoLabelStore.load(out / 'labels.json').content['images']
    assert [(image['img_id'], image['file_name']) for image in images] == [
        ('photos/ü 0', 'photos/ü 0.jpg'), ('photos/ü 1', 'photos/ü 1.jpg'),
        ('other/ü 0.jpg', 'other/ü 0.jpg'), ('other/ü 0.png', 'other/ü 0.png'),
    ]  # fmt: skip
    assert len(list(out.rglob('*_instances.png'))) == 4


def test_results_of_the_call_before_are_replaced_but_not_what_was_corrected_by_hand(model, photos, tmp_path, capsys):
    words = [str(photos), *model, '--out', str(tmp_path / 'out'), '--min-score', '0.26', '--format', 'coco', 'labelme']
    predict.main(words)
    path = sorted((tmp_path / 'out/labelme').glob('*.json'))[0]
    path.write_text(path.read_text().replace('weight', 'corrected'))
    corrected = path.read_text()
    predict.main(words)
    assert path.read_text() == corrected and 'corrected by hand: 1 file,' in capsys.readouterr().out
    (tmp_path / 'out/labels.json').write_text('mine')
    with pytest.raises(FileExistsError, match='labels.json. has been changed since it was written'):
        predict.main(words)
    assert (tmp_path / 'out/labels.json').read_text() == 'mine'


def test_one_unreadable_image_is_listed_all_others_are_labelled_and_a_second_call_does_what_is_missing(
    model, photos, tmp_path, monkeypatch
):
    good = (photos / 'ü 0.jpg').read_bytes()
    (photos / 'cut.jpg').write_bytes(good[: len(good) // 2])
    words = [str(photos), *model, '--out', str(tmp_path / 'out'), '--min-score', '0.26', '--format', 'coco', 'png', 'drawn']
    with pytest.raises(ValueError, match="1 image cannot be read; 2 other images are labelled.*cut.jpg' is not readable"):
        predict.main(words)
    files = {path: path.read_bytes() for path in (tmp_path / 'out').rglob('*') if path.is_file()}
    assert PseudoLabelStore.load(tmp_path / 'out/labels.json').image_ids == ['ü 0', 'ü 1'] and len(files) == 8  # with the receipt
    seen = []
    prepare = LabelPENetInferencer.prepare
    monkeypatch.setattr(LabelPENetInferencer, 'prepare', lambda self, path, *rest: (seen.append(path.name), prepare(self, path, *rest))[1])
    (photos / 'cut.jpg').write_bytes(good)
    predict.main(words)
    assert seen == ['cut.jpg'] and PseudoLabelStore.load(tmp_path / 'out/labels.json').image_ids == ['cut', 'ü 0', 'ü 1']
    assert all(path.read_bytes() == content for path, content in files.items() if path.suffix in ('.png', '.jpg'))
    predict.main(words)
    assert seen == ['cut.jpg'] and not [path for path in (tmp_path / 'out').iterdir() if path.name.startswith('.')]


def test_images_that_are_not_named_like_one_are_counted(model, photos, tmp_path, capsys):
    (photos / 'ü 0.jpg').rename(photos / 'ü 0.jpg_large')
    (photos / 'notes').write_text('not an image')
    predict.main([str(photos), *model, '--out', str(tmp_path / 'out')])
    assert f'of an unknown file extension: 1 image, the first is {photos / "ü 0.jpg_large"}' in capsys.readouterr().out


def test_what_is_not_an_image_but_named_like_one_is_passed_over_in_every_call(model, photos, tmp_path):
    (photos / 'loop.jpg').symlink_to('loop.jpg')
    os.mkfifo(photos / 'pipe.jpg')
    (photos / 'bytes\udcff.jpg').write_bytes((photos / 'ü 0.jpg').read_bytes())
    (photos / 'esc\x1b[31m.jpg').write_bytes((photos / 'ü 0.jpg').read_bytes())
    for _ in range(2):
        with pytest.raises(ValueError, match='4 images cannot be read; 2 other images are labelled'):
            predict.main([str(photos), *model, '--out', str(tmp_path / 'out')])
    assert PseudoLabelStore.load(tmp_path / 'out/labels.json').image_ids == ['ü 0', 'ü 1']


@pytest.mark.parametrize('out', ['.', 'predictions'])
def test_results_below_the_folder_of_images_are_not_taken_for_images(model, photos, monkeypatch, out):
    monkeypatch.chdir(photos)
    for _ in range(2):
        predict.main(['.', *model, '--out', out, '--min-score', '0', '--format', 'coco', 'png', 'drawn'])
        assert PseudoLabelStore.load(photos / out / 'labels.json').image_ids == ['ü 0', 'ü 1']
    with pytest.raises(FileNotFoundError, match='are results of an earlier call'):
        predict.main([f'{out}/masks', *model, '--out', out])
    predict.main(['.', *model, '--out', '../elsewhere'])
    assert PseudoLabelStore.load(photos.parent / 'elsewhere/labels.json').image_ids == ['ü 0', 'ü 1']


def test_labels_changed_by_hand_are_refused_before_any_image_is_predicted(model, photos, tmp_path, monkeypatch):
    words = [str(photos), *model, '--out', str(tmp_path / 'out')]
    predict.main(words)
    text = (tmp_path / 'out/labels.json').read_text() + ' '
    (tmp_path / 'out/labels.json').write_text(text)
    monkeypatch.setattr(LabelPENetInferencer, 'prepare', lambda *_: pytest.fail('hours of work'))
    with pytest.raises(FileExistsError, match="labels.json' has been changed since it was written"):
        predict.main(words)
    assert (tmp_path / 'out/labels.json').read_text() == text


def test_where_no_image_can_be_read_nothing_is_written(model, tmp_path):
    (tmp_path / 'a.png').write_bytes(b'text')
    with pytest.raises(ValueError, match='1 image cannot be read; no images were labelled.*a.png'):
        predict.main([str(tmp_path / 'a.png'), *model, '--out', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists() or not list((tmp_path / 'out').iterdir())


def test_an_empty_folder_and_a_missing_model_are_one_line(tmp_path):
    (tmp_path / 'empty').mkdir()
    done = warm.run('-m', 'mmlabelpenet.predict', tmp_path / 'empty', '--model', tmp_path)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith('Error: ') and 'Traceback' not in done.stderr


def test_help_comes_at_once():
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run([sys.executable, '-m', 'mmlabelpenet.predict', '--help'], capture_output=True, check=True)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2  # seconds of the processor


@pytest.mark.parametrize('length', [214, 241, 251])
def test_the_longest_names_of_images_work_in_every_format(model, photos, tmp_path, capsys, length):
    path = photos / f'{"n" * length}.jpg'
    (photos / 'ü 0.jpg').rename(path)
    words = [str(path), *model, '--out', str(tmp_path / 'out'), '--format', *predict.FORMATS, '--min-score', '0']
    for _ in range(2):
        predict.main(words)
    store = PseudoLabelStore.load(tmp_path / 'out/labels.json')
    assert store.image_ids == ['n' * length] and store.num_instances
    names = [file.name for file in (tmp_path / 'out').rglob('*.*') if 'nnn' in file.name]
    assert sorted(name.rsplit('.')[-1] for name in names) == ['jpg', 'jpg', 'json', 'png', 'png']


def test_a_stage_that_the_network_lacks_leaves_nothing_behind(model, photos, tmp_path):
    with pytest.raises(ValueError, match='Unknown stage refining: the model has classification'):
        predict.main([str(photos), *model, '--stage', 'refining', '--out', str(tmp_path / 'out')])
    assert not list((tmp_path / 'out').glob('.labels*'))
