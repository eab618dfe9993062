"""The steps of docs/own_data.md, on twelve images and a CSV."""

import importlib.util
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import toy
import warm
from PIL import Image
from pycocotools.coco import COCO

from mmlabelpenet import apis
from mmlabelpenet.apis import load_config
from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES, RenderSettings, render_dataset

ROOT = Path(__file__).resolve().parents[1]
PHASES = {name: dict(iters=1) for name in (*toy.STAGES, 'recurrent')}


def load_tool(name):
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / 'tools' / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def tool():
    return load_tool('own_data.py')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Twelve images, two of them without tags; one with EXIF orientation, one greyscale, one with an umlaut and a space in its name."""
    root = tmp_path_factory.mktemp('own')
    render_dataset(root / 'rendered', RenderSettings(**{**vars(toy.SETTINGS), 'num_train': 12, 'num_test': 1}))
    devkit = VOCDevkit(root / 'rendered', RENDERED_CLASSES)
    tags = devkit.tags('train', 'xml')
    lines = ['\ufeffImage, Tags']
    (root / 'photos').mkdir()
    for k, (name, labels) in enumerate(tags.items()):
        image = Image.open(devkit.image_path(name))
        exif = Image.Exif()
        if k == 1:
            exif[0x0112] = 6
            image = image.transpose(Image.Transpose.ROTATE_90)
        target = 'Bild ü 2.jpg' if k == 2 else f'{name}.jpg'
        (image.convert('L') if k == 3 else image).save(root / 'photos' / target, exif=exif)
        names = [RENDERED_CLASSES[label] for label in labels]
        lines.append(f'{target.upper() if k == 4 else target},{"" if k > 9 else " ; ".join(n.upper() if k % 3 else n for n in names)}')
    (root / 'tags.csv').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return root


def shorten(config, phases=PHASES, **more):
    """What a user may do: edit the config."""
    with config.open('a') as file:
        file.write(f"train_cfg = dict(type='LabelPropagationLoop', phases={phases})\n")
        file.write("train_dataloader.update(num_workers=0, batch_size=2)\nlabel_dataloader['num_workers'] = 0\n")
        file.write(''.join(f'{key} = {value!r}\n' for key, value in more.items()))


def check(folder, formats):
    data, classes = folder / 'set', load_config(folder / 'set/config.py').test_dataloader.dataset.metainfo.classes
    store = PseudoLabelStore.load(data / 'labels.json')
    assert len(store) == 12
    tags = {line.split(',')[0]: line.split(',')[1].split(';') for line in (data / 'tags.csv').read_text().splitlines()[1:]}
    for name, names in tags.items():
        found = {classes[i['bbox_label']] for i in store.instances(name)}
        assert found <= set(names) or names == ['']
    assert 'annotation' not in ' '.join(path.name.lower() for path in data.iterdir())
    if 'coco' in formats:
        coco = COCO(data / 'export/coco/train.json')
        assert coco.getAnnIds() and set(coco.getImgIds()) <= set(range(1, 13))
    if 'yolo' in formats:
        assert (data / 'export/yolo/data.yaml').is_file() and list((data / 'export/yolo/labels/train').iterdir())
    if 'voc' in formats:
        voc = VOCDevkit(data / 'export/voc', classes)
        assert len(voc.objects(voc.image_ids('train')[0]).labels)
    if 'labelme' in formats:
        assert json.loads(next((data / 'export/labelme').glob('*.json')).read_text())['shapes']


@pytest.fixture
def _quiet(monkeypatch):
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)  # asks compilers for their versions, for seconds


def test_the_steps_lead_from_images_and_a_csv_to_labels(tool, folder, capsys, monkeypatch, _quiet):
    data = str(folder / 'set')
    tool.main(['init', data, '--images', str(folder / 'photos'), '--tags', str(folder / 'tags.csv'), '--test-share', '0.2'])
    printed = capsys.readouterr().out
    assert 'images' in printed and 'Next: python tools/own_data.py proposals' in printed
    with pytest.raises(FileNotFoundError, match='First run'):
        tool.main(['train', data])
    tool.main(['proposals', data, '--workers', '1'])
    tool.main(['train', data, '--write-only'])
    config = folder / 'set/config.py'
    model = toy.model_config()
    shorten(config, model=dict(model, _delete_=True))
    before = config.read_text()
    tool.main(['train', data])
    assert config.read_text() == before
    assert (folder / 'set/work_dir/iter_5.pth').is_file()
    assert 'Training takes about' in capsys.readouterr().out
    assert (folder / 'set/work_dir/pseudo_labels/classification.html').is_file()
    formats = ('coco', 'voc', 'labelme')  # yolo needs masks, and five iterations teach none
    for name in formats:
        tool.main(['export', data, '--format', name, '--device', 'cpu', '--min-score', '0.05'])
        monkeypatch.setattr('mmlabelpenet.apis.inferencer.LabelPENetInferencer.prepare', None)  # no label is predicted twice
    assert 'browse_pseudo_labels.py' in capsys.readouterr().out
    check(folder, formats)
    tool.main(['import', data, str(folder / 'set/export/labelme')])
    assert 'of them are unchanged since the export' in capsys.readouterr().out
    store = str(folder / 'set/corrected.json')
    shorten(config, dict(segmentation=dict(iters=1, pseudo_labels=store)), work_dir=str(folder / 'corrected'))
    tool.main(['train', data])
    assert (folder / 'corrected/iter_1.pth').is_file()
    images = VOCDevkit(folder / 'set', ()).image_ids('test')
    if all((folder / f'set/Annotations/{name}.xml').is_file() for name in images):
        table = apis.test(load_config(config), folder / 'corrected/iter_1.pth')
        assert table['segmentation']['bbox_mAP'] is not None


def test_no_step_opens_an_annotation(tool, folder):
    """The data set contains images, lists and tags; its config names the files that training reads."""
    text = (ROOT / 'mmlabelpenet/commands/own_data.py').read_text() + (ROOT / 'mmlabelpenet/workbench/own_data/dataset.py').read_text()
    assert 'bndbox' not in text and 'all_boxes' not in text and '.objects(' not in text and 'instance_masks' not in text


@pytest.mark.slow
def test_the_steps_work_with_the_real_network(folder, tmp_path):
    def run(*words):
        subprocess.run([sys.executable, ROOT / 'tools/own_data.py', *map(str, words)], check=True, cwd=tmp_path)

    data = tmp_path / 'set'
    run('init', data, '--images', folder / 'photos', '--tags', folder / 'tags.csv')
    run('proposals', data)
    run('train', data, '--write-only')
    phases = {name: dict(iters=count) for name, count in zip(toy.STAGES, (30, 30, 30, 60))}
    shorten(data / 'config.py', phases)
    run('train', data)
    for name in ('coco', 'yolo', 'voc', 'labelme'):
        run('export', data, '--format', name)
    check(tmp_path, ('coco', 'yolo', 'voc', 'labelme'))


def test_images_that_do_not_fit_are_one_line(folder, tmp_path):
    (tmp_path / 'tags.csv').write_text('image,tags\nghost.jpg,cat\n')
    command = ['init', tmp_path / 'set', '--images', folder / 'photos', '--tags', tmp_path / 'tags.csv']
    done = warm.run(ROOT / 'tools/own_data.py', *command)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert "1 entry matches no image: 'ghost.jpg' (line 2); 12 images have no entry" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and len(done.stderr) <= 310
    assert not (tmp_path / 'set').exists()


def test_labels_without_a_training_are_refused_with_the_step_that_is_missing(folder, tmp_path):
    tool = ROOT / 'tools/own_data.py'
    begun = warm.run(tool, 'init', tmp_path / 'set', '--images', folder / 'photos', '--tags', folder / 'tags.csv')
    done = warm.run(tool, 'export', tmp_path / 'set', '--format', 'coco')
    assert begun.returncode == 0 and done.returncode == 1
    assert re.fullmatch(r'Error: .*/set has not been trained. First run python .*own_data.py train .*/set', done.stderr.strip())


def test_help_comes_at_once():
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, ROOT / 'tools/own_data.py', '--help'], capture_output=True, text=True, check=True)
    assert 'own_data.py proposals DIR' in done.stdout
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2  # seconds of the processor


def test_a_network_of_other_classes_labels_nothing(tool, folder, tmp_path, monkeypatch):
    words = ['init', str(tmp_path / 'set'), '--images', str(folder / 'photos'), '--tags', str(folder / 'tags.csv')]
    tool.main(words)
    classes = json.loads((tmp_path / 'set/own_data.json').read_text())['classes']
    stub = type('Inferencer', (), dict(__init__=lambda self, *args, **kwargs: None, classes=tuple(reversed(classes))))
    monkeypatch.setattr('mmlabelpenet.apis.LabelPENetInferencer', stub)
    with pytest.raises(
        ValueError, match=f'was trained with the classes {", ".join(reversed(classes))}, but .*set has {", ".join(classes)}'
    ):
        tool.main(['export', str(tmp_path / 'set'), '--format', 'coco'])
    assert not (tmp_path / 'set/labels.json').exists()
