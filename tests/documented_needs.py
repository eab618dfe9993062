"""Prepare what documented lines need in a workspace: small configs, checkpoints, and a reader's files."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import scipy.io
import small
import standin
from documented import CHECKPOINT, LEAF, ROOT, RUN
from PIL import Image

from mmlabelpenet.apis import load_config
from mmlabelpenet.apis.config import last_checkpoint
from mmlabelpenet.evaluation.devkit import open_devkit
from mmlabelpenet.workbench.short_lists.build import names_of

RENDERED = ('data/rendered', ('lolly', 'cone', 'tree', 'kite'))
VOC12 = 'data/VOCdevkit/VOC2012'


def get_ready(terminal, page, line):
    """Write the configs and checkpoints named in a line, and anything else it needs."""
    for place, pattern, prepare in NEEDS:
        if re.match(place, page) and re.search(pattern, line):
            prepare(terminal)
    configs = re.findall(r'configs/[\w/.-]+\.py', line)
    for path in configs:
        write_config(path)
    starts = [load_config(path).get('load_from') for path in configs if (ROOT / path).exists()]
    for path in map(Path, [*re.findall(CHECKPOINT, line), *filter(None, starts)]):
        if not path.exists():
            named = [found for found in (f'configs/labelpenet/{path.parent.name}.py', *configs, LEAF) if (ROOT / found).exists()]
            checkpoint = checkpoint_of(terminal, path.parent, named[0])
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.resolve() != checkpoint.resolve():
                path.symlink_to(checkpoint.resolve())


def write_config(path):
    """Write the small version of a project config to the same path, with proposals, unless it exists."""
    if Path(path).exists() or not (ROOT / path).exists():
        return
    config = small.small_config(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    config.dump(path)
    for loader in (config[key] for key in config if key.endswith('_dataloader') and config[key] is not None):
        if loader.dataset.get('proposals'):
            standin.write_random_proposals(loader.dataset)


def checkpoint_of(terminal, folder, config):
    """The last checkpoint of a folder, else that of a small config, with the seed that the folder names; trained unless it is there."""
    if beside := sorted(folder.glob('*_*.pth'), key=lambda found: found.stat().st_mtime):
        return beside[-1]
    write_config(config)
    work_dir, options = Path('work_dirs', Path(config).stem), ''
    if seed := re.fullmatch(r'seed(\d+)', folder.name):
        work_dir, options = folder, f'--work-dir {folder} --cfg-options randomness.seed={seed[1]}'
    checkpoint = last_checkpoint(load_config(config, dict(work_dir=str(work_dir))))
    if not checkpoint.exists():
        terminal.run(f'python tools/train.py {config} {options}')
    return checkpoint


def configs(*names):
    """Small configs of ``configs/labelpenet``."""
    return lambda terminal: [write_config(f'configs/labelpenet/{name}.py') for name in names]


def trained(folder, config=LEAF):
    """A finished training in a folder."""

    def train(terminal):
        write_config(config)
        if not Path(folder, 'run.json').exists():
            terminal.run(f'python tools/train.py {config} --work-dir {folder}')

    return train


def tested(terminal):
    """Results of a test in the folder of all runs."""
    if not list(Path('work_dirs').rglob('metrics.json')):
        terminal.run(f'python tools/test.py {LEAF} {checkpoint_of(terminal, Path(RUN), LEAF)} --out {RUN}/metrics.json')


def dumped(terminal):
    """Predictions of a stage."""
    checkpoint = checkpoint_of(terminal, Path(RUN), LEAF)
    terminal.run(f'python tools/test.py {LEAF} {checkpoint} --stage detection --dump results.json')


def compared(terminal):
    """Results of the base of ablations."""
    write_config(LEAF)
    terminal.run(f'python tools/analysis_tools/ablate.py {LEAF} --seeds 0 --out runs')


def store(path, devkit, split):
    """Annotated objects as a store of pseudo labels."""

    def write(terminal):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(standin.store_of(open_devkit(*devkit), split).content))

    return write


def results(path, *splits):
    """An entry with box and mask for each image of VOC 2012 that all lists have."""

    def write(terminal):
        devkit, entries = open_devkit(VOC12), []
        for image_id in sorted(set.intersection(*(set(devkit.image_ids(split)) for split in splits))):
            h, w = devkit.image_size(image_id)
            code = dict(size=[h, w], counts=[0, h * w])
            entries.append(dict(image_id=image_id, category_id=8, bbox=[0, 0, w, h], score=0.5, segmentation=code))
        Path(path).write_text(json.dumps(entries))

    return write


def photographs(terminal):
    """A reader's images of cats and dogs, two of them without tags, and two new ones."""
    for folder, numbers in (('home/photos', range(1, 13)), ('home/more_photos', range(21, 23))):
        Path(folder).mkdir(exist_ok=True)
        for number in numbers:
            Image.fromarray(standin.draw(number, (('dog', 'cat')[number % 2],)).image).save(f'{folder}/photo_{number}.jpg')
    tags = [f'photo_{number}.jpg,{("dog", "cat")[number % 2] if number <= 10 else ""}' for number in range(1, 13)]
    Path('tags.csv').write_text('\n'.join(['image,tags', *tags]) + '\n')


def own_config(terminal):
    """The config for a reader's images, reduced in size."""
    terminal.run('python tools/own_data.py train data/mine --write-only')
    small.small_config(Path('data/mine/config.py').resolve()).dump('data/mine/config.py')


def own_training(terminal):
    """A training on a reader's images."""
    if not Path('data/mine/work_dir/run.json').exists():
        terminal.run('python tools/own_data.py proposals data/mine')
        own_config(terminal)
        terminal.run('python tools/own_data.py train data/mine')


def numbered_photographs(terminal):
    """Images and tags of docs/get_started.md, its config, and the config below it."""
    for folder in ('JPEGImages', 'ImageSets/Main'):
        Path('data/photos', folder).mkdir(parents=True, exist_ok=True)
    lines = ['image,tags']
    for number, name in enumerate([*(f'photo_{k:03d}' for k in range(6)), 'new_000', 'new_001']):
        tag = ('cat', 'dog')[number % 2]
        Image.fromarray(standin.draw(number, (tag,)).image).save(f'data/photos/JPEGImages/{name}.{("jpg", "png")[number % 2]}')
        lines.append(f'{name},{tag if name.startswith("photo") else ""}')
    Path('data/photos/tags.csv').write_text('\n'.join(lines) + '\n')
    write_config('configs/labelpenet/labelpenet_lite0_voc12mini.py')
    Path('configs/photos.py').write_text(code_of('docs/get_started.md', '_base_'))


def annotated_photographs(terminal):
    """Boxes of all of them, and the config that measures with them."""
    root = Path('data/photos')
    (root / 'Annotations').mkdir()
    for number, path in enumerate(sorted((root / 'JPEGImages').iterdir(), key=lambda path: (path.stem.startswith('new'), path.stem))):
        figures = standin.draw(number, (('cat', 'dog')[number % 2],))
        (root / f'Annotations/{path.stem}.xml').write_text(standin.voc_xml(path.stem, figures))
    with Path('configs/photos.py').open('a') as file:
        file.write(code_of('docs/get_started.md', 'test_evaluator ='))


def code_of(page, word):
    """The block of Python of a page that holds a word."""
    found = re.findall(r'^```python\n(.*?)^```', (ROOT / page).read_text(encoding='utf-8'), flags=re.DOTALL | re.MULTILINE)
    return next(text for text in found if word in text)


def worked_example(page):
    """The module and the config of a page, with an iteration of each phase."""

    def write(terminal):
        write_config(LEAF)
        config = code_of(page, '_base_')
        (name,) = re.findall(r"imports=\['mmlabelpenet', '(\w+)'\]", config)
        Path(f'{name}.py').write_text(code_of(page, '@'))
        Path('configs/labelpenet/own.py').write_text(re.sub(r'iters=\d+', 'iters=1', config))

    return write


def published_proposals(terminal):
    """Selective search as it was published for VOC 2007."""
    devkit = open_devkit('data/VOCdevkit/VOC2007')
    names, boxes = np.empty((5, 1), object), np.empty((1, 5), object)
    for number, image_id in enumerate(devkit.image_ids('trainval')):
        names[number, 0], boxes[0, number] = image_id, np.array([[1, 1, *devkit.image_size(image_id)], [5, 6, 40, 50]], float)
    scipy.io.savemat('SelectiveSearchVOC2007trainval.mat', dict(images=names, boxes=boxes))


def official_voc12(terminal):
    """A VOC 2012 with all images of the short lists, each of them the same, and no short lists yet."""
    root = Path(VOC12)
    shutil.rmtree(f'{root}mini')
    Image.fromarray(standin.draw(0, ('cat',)).image).save(root / 'one.jpg')  # of the size of the annotations
    sources = [root / 'one.jpg', *(min((root / folder).iterdir()) for folder in ('Annotations', 'SegmentationClass'))]
    for folder, source in zip(('JPEGImages', 'Annotations', 'SegmentationClass'), sources):
        for name in {*names_of('mini_train'), *names_of('mini_test'), *names_of('animals_train')}:
            if not (path := root / folder / f'{name}{source.suffix}').exists():
                path.symlink_to(source.resolve())


def few_images(terminal):
    """Short lists of three images each."""
    for path in Path(f'{VOC12}mini/ImageSets').rglob('*.txt'):
        path.write_text(''.join(path.read_text().splitlines(keepends=True)[:3]))


def nothing_exported(year, data, split):
    """Labels of a year of VOC, not exported yet."""

    def prepare(terminal):
        shutil.rmtree(f'data/retrain/voc{year}', ignore_errors=True)
        store(f'work_dirs/labelpenet_vgg16_{data}/pseudo_labels/refinement.json', (f'data/VOCdevkit/VOC20{year}',), split)(terminal)

    return prepare


def lines_of_a_few_tests(terminal):
    """What some tests of one file execute, for the mutation test: all tests take minutes."""
    command = 'python -m pytest -q --no-header -p no:cacheprovider --cov=mmlabelpenet --cov-context=test --cov-report= tests/test_files.py'
    terminal.run(f'cd {ROOT} && COVERAGE_FILE={terminal.folder}/few.coverage {command}')


def weights_of_version_0_1(terminal):
    """A checkpoint whose weights have their old names."""
    import torch

    checkpoint = torch.load(checkpoint_of(terminal, Path(RUN), LEAF), weights_only=False)
    state = {name.replace('.detector.', '.'): value for name, value in checkpoint['state_dict'].items()}
    torch.save(dict(state_dict=state, meta={}), 'OLD.pth')


NEEDS = (  # page, line, what makes it ready
    ('', r'configs/labelpenet/\*\.py', configs('labelpenet_lite0_rendered', 'labelpenet_lite0_animals')),
    ('', 'run_ablations|lite0_rendered_no_', configs('labelpenet_lite0_rendered', 'ablations/lite0_rendered_no_crf')),
    ('', 'BASE=vgg16_voc07', configs('labelpenet_vgg16_voc07', 'ablations/vgg16_voc07_one_scale')),
    ('', 'collect_results.py work_dirs', tested),
    ('docs/records', '--collect', compared),
    ('', 'own(_data.py|-data) init|predict (~|home)/', photographs),
    ('', 'predict .*--model data/mine', own_training),
    ('', 'own_data.py train', own_config),
    ('', '--model work_dirs/quickstart', trained('work_dirs/quickstart')),
    ('', f'{RUN}(/pseudo_labels)?$', trained(RUN)),
    ('', rf'analyze_logs.py \w+ {RUN}', trained(RUN)),
    ('', 'quickstart/pseudo_labels$', trained('work_dirs/quickstart')),
    ('', 'labelpenet_vgg16_voc07/pseudo_labels', nothing_exported('07', 'voc07', 'trainval')),
    ('', 'labelpenet_vgg16_voc12masks/pseudo_labels', nothing_exported('12', 'voc12masks', 'trainaug')),
    ('', r'store\.json', store('store.json', RENDERED, 'train')),
    ('docs/retrain', 'quickstart/pseudo_labels', store('work_dirs/quickstart/pseudo_labels/refinement.json', RENDERED, 'train')),
    ('', 'pseudo_label_quality', store('work_dirs/voc/pseudo_labels/detection.json', (VOC12,), 'train')),
    ('', r'voc_submission.py write .* results.json', results('results.json', 'test', 'Segmentation/test')),
    ('', f'eval_predictions.py {VOC12}', results('results.json', 'val')),
    ('docs/get_started', '^ls .*photo_', numbered_photographs),
    ('docs/get_started', 'test.py', annotated_photographs),
    ('', 'confusion_matrix', dumped),
    ('', 'import_proposals', published_proposals),
    ('', 'mutation.py', lines_of_a_few_tests),
    ('docs/add_a_stage', 'train.py', worked_example('docs/add_a_stage.md')),
    ('docs/add_a_generator', 'train.py', worked_example('docs/add_a_generator.md')),
    ('', 'voc12_short_lists', official_voc12),
    ('docs/configs', 'VOC2012mini mini_train', few_images),
    ('docs/install', ' train ', configs('labelpenet_lite0_rendered')),
    ('docs/records', 'analyze_logs', lambda terminal: [trained(f'work_dirs/seed{seed}')(terminal) for seed in (1, 2)]),
    ('', 'join_voc', lambda terminal: shutil.rmtree('data/VOCdevkit/VOC0712')),
    ('', 'render_voc', lambda terminal: shutil.rmtree('data/rendered')),
    ('', 'state_dict.py upgrade', weights_of_version_0_1),
)
