"""Every command line of the documentation runs, on small data in the official layouts and with reduced configs.

A line is run by the test of its page, or listed in ``ELSEWHERE`` with an equivalent test.
``python tests/documented.py`` prints each line with its test.
"""

import re
import shutil
from pathlib import Path

import pytest
from documented import LEAF, ROOT, RUN, Terminal, all_blocks, blocks_of_markdown, fill
from documented_needs import VOC12, get_ready

ANIMALS = ('configs/labelpenet/labelpenet_lite0_animals.py', 'work_dirs/labelpenet_lite0_animals')
WORDS = {  # what stands for something of the reader's, and numbers that would take hours
    **dict(CONFIG=LEAF, WORK_DIR=RUN, NAME='labelpenet_lite0_rendered', RUN='labelpenet_lite0_rendered'),
    **dict(GPUS='1', PARTITION='gpu', IMAGE='train_00000', STORE='store.json', IMAGES='data/rendered/JPEGImages', DIR='elsewhere'),
    **dict(INPUTS="'data/rendered/JPEGImages/test_0*.jpg'", MODEL=LEAF, N='2', SEED='1'),
    **dict(DEVKIT=VOC12, SPLIT='val', OUT='runs', SEED0='seed0', SEED1='seed1', SEED2='seed2', RESULTS='results'),
    **{
        '/path/to/VOCdevkit': 'data/VOCdevkit',
        '/path/to/image/lists': f'{VOC12}mini',
        'MMLABELPENET_MINI=...': f'MMLABELPENET_MINI={VOC12}mini',
    },
    **{'PREDICTIONS.json': 'results.json', 'work_dirs/X/': f'{RUN}/'},
    **{' ... ': ' ', '10.0.0.1': '127.0.0.1', '2011_001159': '2008_000007', 'work_dirs/run/': 'work_dirs/labelpenet_lite0_rendered/'},
    **{
        '--seeds 0 1 2': '--seeds 0',
        '--suite cascade mil': '--suite mil',
        '--train 320 --test 100': '--train 4 --test 2',
        'configs/labelpenet/*.py 4': 'configs/labelpenet/*.py 1',
    },
}
PAGE_WORDS = {
    'README.md': dict(GPUS='2'),
    'docs/add_a_stage.md': dict(CONFIG='configs/labelpenet/own.py', CHECKPOINT='work_dirs/own/iter_6.pth'),
    'docs/add_a_generator.md': dict(CONFIG='configs/labelpenet/own.py'),
    'docs/evaluation.md': dict(
        CONFIG=[LEAF, 'configs/labelpenet/ablations/lite0_rendered_no_crf.py'], CHECKPOINT=['seed0/iter_5.pth', 'seed1/iter_5.pth']
    )
    | {'work_dirs/RUN/pseudo_labels': 'work_dirs/voc/pseudo_labels'},
    'docs/model_card.md': {'mmlabelpenet/weights/labelpenet_lite0_voc12mini.pth': 'work_dirs/labelpenet_lite0_voc12mini/iter_3610.pth'},
    'docs/train.md': {'CONFIG 8': 'CONFIG 1'},
    'docs/records/mil.md': dict({'work_dirs/run': ANIMALS[1]}, CONFIG=ANIMALS[0], RUN='labelpenet_lite0_animals'),
    'mmlabelpenet/commands/own_data.py': dict(DIR='data/mine', IMAGES='home/photos', LABELS='data/mine/export/yolo'),
    'tools/analysis_tools/compare_generators.py': {
        **dict(ABLATION='configs/labelpenet/ablations/lite0_rendered_no_crf.py'),
        **{'SEED0.pth': 'seed0/iter_5.pth', 'SEED1.pth': 'seed1/iter_5.pth'},
    },
    'tools/analysis_tools/collect_results.py': {'work_dirs/a work_dirs/b': f'work_dirs {RUN}'},
    'mmlabelpenet/commands/export.py': dict(DIR=['data/rendered/JPEGImages', 'exported']),
    'mmlabelpenet/commands/console.py': dict(photos='home/photos'),
    'tools/model_converters/state_dict.py': {'STATE.pth CHECKPOINT': 'STATE.pth back.pth'},
    'tools/slurm_proposals.sh': {'SHARDS': '2', 'DATA_ROOT SPLIT OUT.npz': 'data/rendered train data/proposals/new.npz'},
    'tools/analysis_tools/pseudo_label_quality.py': {'work_dirs/run/': 'work_dirs/voc/'},
}
APPENDED = {  # to lines that would take hours, or need more machines
    'mmlabelpenet train mmlabelpenet::': '--cfg-options ' + ' '.join(
        f'train_cfg.phases.{name}.iters=1'
        for name in ('classification', 'detection', 'refinement', 'segmentation', 'recurrent')
    ),
    'benchmark.py': '--runs 1',
    'benchmark.py$': '--suite mil --runs 1',
    'benchmark.py --json': '--suite mil --runs 1',
    'memory.py': '--size 90 120 --proposals 20',
    'mutation.py': '--faults 2 --parts files --coverage few.coverage > few.txt',  # not in a fork of ours: it imports the package anew
    'tools/estimate.py': '--iters 1',
    'render_voc.py data/rendered$': '--train 4 --test 2',
    'model_zoo.py': '--check',  # without it, pages of this checkout are written
    '(slurm_train.sh|launch.py slurm|--slurm )(?!.*--dry-run)': '--dry-run',
}  # fmt: skip
PROGRAMS = {  # in place of those of Slurm
    'sbatch': 'echo 1',
    'srun': 'exit 0',
}
SET_UP = 'test_setup.py::test_a_second_set_up_installs_nothing_and_takes_less_than_three_seconds'
QUICKSTART = 'test_workbench/test_quickstart/test_quickstart.py::test_the_main_job_runs_through_and_leaves_what_it_promises'
QUICK_CHECK = 'test_wheel.py::test_the_quickstart_trains_and_the_other_commands_use_its_results'
SITE = 'test_project_files.py::test_the_site_builds_without_a_warning_and_has_every_page_and_module'
WEIGHTS = 'test_models/test_weights.py::test_the_converter_writes_a_file_that_a_config_can_use'
CLIENTS = 'test_clients.py::test_every_object_of_an_export_is_read'
GPU_CHECK = 'test_workbench/test_gpu_check/test_check.py::test_the_check_runs_on_the_cpu_and_every_section_finds_something'
GPU_BUNDLE = 'test_gpu_bundle.py::test_a_bundle_trains_an_iteration_of_each_phase_where_little_is_installed'
ELSEWHERE = {  # lines that set up an environment, run these tests, or read half a gigabyte: the test of what they do
    r'bash tools/(setup_env|run_tests).sh( .*)?|source .venv/bin/activate|pip install pre-commit .*': SET_UP,
    r'bash tools/quickstart.sh( --seed \w+)?|python -m mmlabelpenet.workbench.quickstart': QUICKSTART,
    r'(bash tools/quickstart.sh|mmlabelpenet quickstart) --quick-check': QUICK_CHECK,
    r'bash tools/build_docs.sh': SITE,
    r'bash tools/test_openmmlab.sh': 'test_setup.py::test_tested_releases_lie_within_the_bounds',
    r'bash tools/test_pythons.sh': 'test_setup.py::test_an_interpreter_that_does_not_exist_fails_before_anything_is_made',
    r'pip install torch torchvision': 'test_setup.py::test_installed_releases_lie_within_the_bounds',
    r'pip install "/path/to/checkout.*': 'test_wheel.py::test_the_package_comes_from_the_wheel',
    r'pip install (openmim|-U) .*': 'test_wheel.py::test_mim_finds_the_models',  # it would bring other releases of what the tests use
    r'mim search .*': 'test_wheel.py::test_mim_finds_the_models',
    r'mim (train|test) .*': 'test_wheel.py::test_mim_trains_and_tests_a_config_of_the_package_by_its_name',
    r'python tools/model_converters/imagenet_(vgg16|resnet50).py .*': WEIGHTS,
    r'python -m mmlabelpenet.predict': 'test_predict.py::test_every_format_tells_of_the_same_instances',
    r'(yolo|labelme) .*': CLIENTS,
    r'python tools/own_data.py import DIR exported/labelme': 'test_own_data_tool.py::test_the_steps_lead_from_images_and_a_csv_to_labels',
    r'bash tools/gpu_check.sh( .*)?': GPU_CHECK,
    r'bash tools/gpu_bundle.sh .*': GPU_BUNDLE,
    r'pytest .*': 'test_documented_commands.py::test_lines_of_pytest_name_files_and_markers_that_exist',
}


def elsewhere(line):
    """The test of what a line does that is not run here; None for others."""
    return next((test for pattern, test in ELSEWHERE.items() if re.fullmatch(pattern, line)), None)


def runner_of(page, line):
    """The test that runs a line."""
    return elsewhere(line) or f'test_documented_commands.py::test_the_commands_of_a_page_run[{page}]'


def as_typed(page, line):
    """A line with a reader's words, and with what makes it short."""
    line = fill(fill(line, PAGE_WORDS.get(page, {})), WORDS)
    config = re.search(r'configs/\S+\.py', line)
    line = fill(line, dict(CHECKPOINT=f'work_dirs/{Path(config[0]).stem}/iter_5.pth' if config else f'{RUN}/iter_5.pth'))
    more = [words for pattern, words in APPENDED.items() if re.search(pattern, line)]
    return ' '.join([line, *more[-1:]])


BLOCKS = [block for block in all_blocks() if not all(map(elsewhere, block.lines))]


@pytest.mark.slow
@pytest.mark.parametrize('page', dict.fromkeys(block.page for block in BLOCKS))
def test_the_commands_of_a_page_run(terminal, page):
    for name, content in PROGRAMS.items():
        terminal.program(name, content)
    for block in BLOCKS:
        state, lines = [], [as_typed(page, line) for line in block.lines if block.page == page and not elsewhere(line)]
        while lines:
            line = lines.pop(0)
            if 'NODE_RANK=0' in line:  # it waits for the other machines
                line = f'{line} & first=$!; {lines.pop(0)}; wait $first'
            get_ready(terminal, page, line)
            if line.startswith(('cd ', 'export ')):
                state.append(line)
            else:
                terminal.run(line, state)


def test_lines_import_the_package_of_this_checkout_also_after_the_first_workspace_is_gone(tmp_path, monkeypatch):
    for name in 'ab':
        terminal = Terminal(tmp_path / name)
        monkeypatch.chdir(terminal.folder)
        (terminal.folder / 'where.py').write_text('import mmlabelpenet\nprint(mmlabelpenet.__path__)')
        assert terminal.run('python where.py').strip() == str([str(ROOT / 'mmlabelpenet')])
        monkeypatch.chdir(ROOT)
        shutil.rmtree(terminal.folder)


def test_all_pages_are_read():
    found = {block.page: block.lines for block in all_blocks()}
    assert {
        'README.md',
        'docs/train.md',
        'docs/records/benchmark.md',
        'configs/retrain/README.md',
        'mmlabelpenet/predict.py',
    } <= found.keys()
    assert {'tools/slurm_train.sh', 'tools/dataset_converters/render_voc.py'} <= found.keys()
    assert sum(len(block.lines) for block in all_blocks()) > 240


def test_lines_that_run_elsewhere_are_documented_and_their_tests_exist():
    lines = {line for block in all_blocks() for line in block.lines}
    for pattern, name in ELSEWHERE.items():
        path, _, test = name.partition('::')
        assert f'def {test}' in (ROOT / 'tests' / path).read_text(), name
        assert any(re.fullmatch(pattern, line) for line in lines), pattern


def test_lines_of_pytest_name_files_and_markers_that_exist():
    known = re.search(r'markers =\n((?: +.*\n)+)', (ROOT / 'setup.cfg').read_text())[1]
    for line in (line for block in all_blocks() for line in block.lines if re.match(r'pytest |bash tools/run_tests.sh ', line)):
        for word in line.split()[1:]:
            assert word == '-m' or f'    {word}:' in known or (ROOT / word).exists(), line


def test_words_that_stand_for_others_are_all_filled_in():
    for block in all_blocks():
        for line in block.lines:
            left = re.findall(r'(?<![\w./$-])[A-Z][A-Z0-9_]{2,}(?![\w/=.])', as_typed(block.page, line))
            assert elsewhere(line) or not left, f'{block.page}: {line}: {left} stand for nothing; add them to WORDS'


@pytest.mark.parametrize(
    ('text', 'lines'),
    [
        ('```bash\npython a.py \\\n    --b 1   # remark\n# alone\n```\n', [('python a.py --b 1',)]),
        ('```\npython a.py\nits output\n```\n', [('python a.py',)]),
        ('```python\npython = 1\n```\nType `python -m a b` or `bash`.\n', [('python -m a b',)]),
        ('Text:\n\n    export A=1\n    cd b\n', [('export A=1', 'cd b')]),
    ],
)
def test_commands_are_found_in_blocks_and_in_lines(text, lines):
    assert list(blocks_of_markdown(text)) == lines
