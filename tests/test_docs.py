"""Everything named in the documentation exists, and the stated defaults are those of the code."""

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

from mmlabelpenet.apis import load_config
from mmlabelpenet.commands.console import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmlabelpenet'
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob('*.md'), *ROOT.glob('docs/*.md'), *ROOT.glob('docs/records/*.md'), *ROOT.glob('configs/*/*.md')]
)
YOURS = {'configs/photos.py'}  # files that a reader is to write
WRAPPED = {  # take the options of these
    'tools/quickstart.sh': 'mmlabelpenet/workbench/quickstart/__main__.py',
    **dict.fromkeys(('tools/dist_train.sh', 'tools/dist_test.sh', 'tools/slurm_train.sh'), 'mmlabelpenet/commands/launch.py'),
    'tools/gpu_check.sh': 'mmlabelpenet/workbench/gpu_check/check.py',
    'tools/run_ablations.sh': 'tools/analysis_tools/ablate.py',
    'tools/train.py': 'mmlabelpenet/commands/train.py',
    'tools/test.py': 'mmlabelpenet/commands/test.py',
    'tools/own_data.py': 'mmlabelpenet/commands/own_data.py',
    'tools/export_pseudo_labels.py': 'mmlabelpenet/commands/export.py',
    'tools/analysis_tools/report.py': 'mmlabelpenet/commands/report.py',
    'tools/analysis_tools/browse_pseudo_labels.py': 'mmlabelpenet/commands/browse.py',
    'tools/dataset_converters/selective_search.py': 'mmlabelpenet/commands/selective_search.py',
}
PAPER_TO_CODE = 'docs/paper_to_code.md'
CHOICES = 'docs/choices.md'
PAPER_CONFIG = 'configs/labelpenet/labelpenet_vgg16_voc07.py'


def read(page):
    return (ROOT / page).read_text(encoding='utf-8')


def without_code(text):
    return re.sub(r'```.*?```|`[^`\n]*`', '', text, flags=re.DOTALL)


def code_spans(text):
    """What stands between backticks in a page's tables."""
    rows = [line for line in text.splitlines() if line.startswith('|')]
    return sorted({span for row in rows for span in re.findall(r'`([^`]+)`', row)})


def headings(page):
    """Anchors of a page, as GitHub makes them."""
    titles = re.findall(r'^#+ (.+)$', re.sub(r'```.*?```', '', read(page), flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.replace('`', '').lower()).replace(' ', '-') for title in titles}


@cache
def definitions(path):
    """Names of the functions and classes at the top of a file."""
    return {node.name for node in ast.parse(read(path)).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


@cache
def class_named(name):
    """A class of the package by its bare name."""
    for path in sorted(PACKAGE.rglob('*.py')):
        module = path.relative_to(ROOT).with_suffix('').as_posix()
        if name in definitions(f'{module}.py'):
            return getattr(importlib.import_module(module.replace('/', '.')), name)
    raise LookupError(f'There is no class {name} in the package.')


def locate(dotted):
    """An attribute of the package by its dotted name, relative to the package."""
    names = ['mmlabelpenet', *dotted.split('.')]
    path, depth = ROOT, 0
    while depth < len(names) and ((path / names[depth]).is_dir() or (path / f'{names[depth]}.py').is_file()):
        path, depth = path / names[depth], depth + 1
    found = importlib.import_module('.'.join(names[:depth]))
    for name in names[depth:]:
        found = getattr(found, name)
    return found


def default_of(owner, argument):
    """Default of a constructor's argument, looked for in the bases too."""
    for base in inspect.getmro(owner):
        if made := base if hasattr(base, '__struct_fields__') else vars(base).get('__init__'):
            parameter = inspect.signature(made).parameters.get(argument)
            if parameter is not None and parameter.default is not inspect.Parameter.empty:
                return parameter.default
    raise LookupError(f'{owner.__name__} has no argument {argument} with a default.')


def config_value(dotted):
    """Value of the paper's config."""
    value = load_config(ROOT / PAPER_CONFIG)
    for name in dotted.split('.'):
        value = value[int(name)] if name.isdigit() else value[name]
    return value


def plain(value):
    """Tuples and lists alike."""
    return list(value) if isinstance(value, (tuple, list)) else value


def stated_defaults():
    """``(name, value)`` of each "`name` = `value`" in the choices."""
    if not (ROOT / CHOICES).exists():
        return []
    return re.findall(r'`([\w.]+)` = `([^`]+)`', read(CHOICES))


@pytest.mark.parametrize('page', ['docs/results.md', 'docs/findings.md'])
def test_every_figure_of_the_short_pages_stands_in_the_record_of_runs(page):
    record = read('docs/records/benchmark.md') + read('docs/records/mil.md')
    figures = re.findall(r'\d+\.\d+(?: ± \d+\.\d+)?', read(page))
    assert figures and not [figure for figure in figures if not re.search(rf'(?<![\d.]){re.escape(figure)}(?!\d)', record)]


def test_there_are_pages():
    assert {'README.md', PAPER_TO_CODE, CHOICES} <= set(PAGES)


@pytest.mark.parametrize('page', PAGES)
def test_every_local_link_leads_somewhere(page):
    for target in re.findall(r'\]\(([^)\s]+)\)', without_code(read(page))):
        if target.startswith(('http://', 'https://', 'mailto:')):
            continue
        name, _, anchor = target.partition('#')
        path = (ROOT / page).parent / name if name else ROOT / page
        relative = path.resolve().relative_to(ROOT).as_posix()
        assert path.exists(), f'{page}: {target} is not there'
        if anchor:
            assert anchor in headings(relative), f'{page}: {target} has no such heading'


@pytest.mark.parametrize('page', [page for page in PAGES if not str(page).startswith('docs/records/')])  # these name files of their commits
def test_every_named_file_of_the_project_exists(page):
    for name in re.findall(r'(?<![\w./])(?:tools|configs|mmlabelpenet|tests)/[\w./-]*\w', read(page)):
        assert (ROOT / name).exists() or name in YOURS, f'{page}: {name} is not there'


@pytest.mark.parametrize('span', code_spans(read(PAPER_TO_CODE)))
def test_what_the_map_of_the_paper_names_exists(span):
    if '::' in span:
        file, name = span.split('::')
        assert name in definitions(f'tests/{file}')
    elif '/' in span:
        assert (ROOT / span).exists()
    elif '.' in span:
        locate(span)
    else:
        assert span in {'weights'}, f'{span} is neither a file, nor a test, nor a dotted name'


def test_every_row_of_the_map_has_a_test():
    rows = [line for line in read(PAPER_TO_CODE).splitlines() if line.startswith('|')]
    rows = [row for row in rows if not row.startswith(('| ---', '| paper'))]
    assert rows and not [row for row in rows if '::' not in row.split('|')[3]]


@pytest.mark.parametrize(('name', 'value'), stated_defaults())
def test_the_choices_state_the_defaults_of_the_code(name, value):
    first, _, rest = name.partition('.')
    actual = default_of(class_named(first), rest) if first[0].isupper() else config_value(name)
    assert plain(actual) == plain(ast.literal_eval(value)), f'{name} is {actual!r}, not {value}'


def test_every_decision_has_its_row():
    rows = re.findall(r'^\| ([A-Z]\d+) \|', read(CHOICES), flags=re.MULTILINE)
    assert rows == [f'{group}{number}' for group, count in dict(N=10, C=15, L=12, T=5).items() for number in range(1, count + 1)]


def blocks(language):
    """``(page, text)`` of each block of code in a language."""
    return [
        (page, text) for page in PAGES for text in re.findall(rf'^```{language}\n(.*?)^```', read(page), flags=re.DOTALL | re.MULTILINE)
    ]


def docstrings():
    """``(file, docstring)`` of each command."""
    others = ('__init__.py', 'render_voc.py')  # the options of the latter are the fields of RenderSettings
    files = [path for path in (*ROOT.glob('tools/**/*.py'), *PACKAGE.glob('commands/*.py')) if path.name not in others]
    return [(path.relative_to(ROOT).as_posix(), ast.get_docstring(ast.parse(read(path)))) for path in files]


@pytest.mark.parametrize(('page', 'text'), blocks('bash') + docstrings())
def test_every_option_of_a_command_is_one_of_the_tool(page, text):
    for line in text.splitlines():
        command, named = re.search(r'\b(?:python|bash) (tools/[\w/]+\.\w+)', line), re.match(r' *mmlabelpenet ([a-z][\w-]*)', line)
        if named:
            source = inspect.getsource(importlib.import_module(COMMANDS[named[1]][0]))
        elif command:
            source = read(command[1]) + (read(WRAPPED[command[1]]) if command[1] in WRAPPED else '')
        start = (named or command).start() if named or command else len(line)  # what stands before are options of another program
        for option in re.findall(r'[ [](--[\w-]+)', line[start:].split('#')[0]):
            assert f"'{option}'" in source, f'{page}: {line} has no option {option}'


@pytest.mark.parametrize(('page', 'text'), blocks('python'))
def test_examples_are_python_and_import_what_exists(page, text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f'{page}: {node.module} has no {alias.name}'


def test_the_config_of_get_started_reaches_every_loader(tmp_path):
    (text,) = [text for page, text in blocks('python') if page == 'docs/get_started.md' and '_base_' in text]
    path = tmp_path / 'photos.py'
    path.write_text(text.replace("'./labelpenet/", f"'{ROOT}/configs/labelpenet/"))
    config = load_config(path)
    for loader, split in dict(train='train', label='train', test='new').items():
        dataset = config[f'{loader}_dataloader'].dataset
        assert dataset.data_root == 'data/photos' and dataset.split == split and dataset.tags.endswith('tags.csv')
        assert len(dataset.metainfo.classes) == config.model.num_classes
    assert not [key for key in config if key.startswith('__')]


def test_the_choices_tell_the_numbers_of_the_cpu_size_models():
    section = read(CHOICES).split('## CPU-size models')[1]
    config = load_config(ROOT / 'configs/labelpenet/labelpenet_lite0_rendered.py')
    model, stage, told = config.model, config.model.stages.segmentation.detector, config.model.stages.detection.labels
    anchors, train, test = stage.rpn_head.anchor_generator, stage.train_cfg, stage.test_cfg
    roi_head, phases = stage.roi_head, config.train_cfg.phases
    grid = model.stages.classification.detector.roi_head.bbox_roi_extractor.roi_layer
    for fact in (
        f'{", ".join(str(scale * anchors.strides[0]) for scale in anchors.scales)} pixels',
        f'{train.rcnn.sampler.num} of {train.rpn_proposal.max_per_img} in training, '
        f'{test.rpn.max_per_img} to {test.rcnn.max_per_img} at test time',
        f'two layers of {roi_head.bbox_head.fc_out_channels}, two mask convolutions of {roi_head.mask_head.conv_out_channels}',
        f'{grid.type}, {grid.output_size}×{grid.output_size}, with',
        f'a score of at least {model.test_cfg.min_score}',
        f'from {told.min_score} on, one class per object (`max_overlap={told.max_overlap}`)',
        f'divided by its {told.peak} quantile',
        f'{config.optim_wrapper.optimizer.type}; {phases.classification.lr} in the classification stage, '
        f'{phases.detection.lr} in the others',
        f'norm {config.optim_wrapper.clip_grad.max_norm} ',
        f'preset `{model.test_cfg.crf}`',
    ):
        assert fact in section, f'{CHOICES} does not say: {fact}'


def test_the_torchvision_example_learns_from_an_export(tmp_path, monkeypatch):
    (text,) = [text for page, text in blocks('python') if page == 'docs/retrain.md' and 'torchvision' in text]
    import json

    import numpy as np
    import torch
    from PIL import Image
    from torch import nn

    (tmp_path / 'exported/coco/images').mkdir(parents=True)
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / 'exported/coco/images/a.jpg')
    note = dict(id=1, image_id=1, category_id=1, bbox=[5, 5, 20, 20], area=400, iscrowd=0, segmentation=[[5, 5, 25, 5, 25, 25, 5, 25]])
    alone = dict(note, id=2, segmentation=dict(size=[40, 50], counts=[2000]))
    images, categories = [dict(id=1, file_name='a.jpg', height=40, width=50)], [dict(id=1, name='cat')]
    content = dict(info={}, images=images, annotations=[note, alone], categories=categories)
    (tmp_path / 'exported/coco/train.json').write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    seen = []

    class Network(nn.Module):
        """In place of the large one."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, batch, targets):
            seen.append((batch[0].shape, targets[0]['boxes'].tolist(), targets[0]['labels'].tolist(), int(targets[0]['masks'].sum())))
            return dict(loss=self.weight * targets[0]['boxes'].mean())

    monkeypatch.setattr('torchvision.models.detection.maskrcnn_resnet50_fpn', lambda **options: Network())
    exec(compile(text, 'docs/retrain.md', 'exec'), {'__name__': 'example'})
    assert seen == [((3, 40, 50), [[5.0, 5.0, 25.0, 25.0]], [1], 400)]
