"""Command-line options have the same form in every tool, and switches may precede the config."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from mmengine.config import DictAction

from mmlabelpenet import predict
from mmlabelpenet.apis import load_config
from mmlabelpenet.options import parse_options, parse_value
from mmlabelpenet.workbench.experiments.ablation import make_runs

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {  # what each tool needs beside its options
    'train.py': ['config.py'],
    'test.py': ['config.py', 'iter_1.pth'],
    'own_data.py': ['train', 'data/mine'],
    'analysis_tools/audit_supervision.py': ['config.py'],
    'analysis_tools/browse_dataset.py': ['config.py'],
    'analysis_tools/compare_generators.py': ['config.py', '--checkpoints', 'iter_1.pth'],
    'analysis_tools/confusion_matrix.py': ['config.py', 'results.json'],
    'analysis_tools/estimate.py': ['config.py'],
    'analysis_tools/get_flops.py': ['config.py'],
    'analysis_tools/memory.py': ['config.py'],
    'analysis_tools/mil_mass.py': ['config.py', 'iter_1.pth'],
    'analysis_tools/trivial_baselines.py': ['config.py'],
}
WORDS = {
    'a.off=false': False,
    'a.on=TRUE': True,
    'a.nothing=null': None,
    'a.none=None': None,
    'a.number=1e-3': 0.001,
    'a.list=a,b': ['a', 'b'],
    'a.brackets=[a,2,false]': ['a', 2, False],
    'a.tuple=(320,240)': (320, 240),
    "a.parts=[dict(type='IdleStagesHook', names=[x, y])]": [dict(type='IdleStagesHook', names=['x', 'y'])],
    'a.0.b=3': 3,
    'a.empty=': '',
}
TYPED = {word.partition('=')[0]: value for word, value in WORDS.items()}


@pytest.mark.parametrize('tool', TOOLS)
def test_every_tool_types_its_options(load_tool, monkeypatch, tool):
    first, *others = WORDS
    monkeypatch.setattr('sys.argv', [tool, *TOOLS[tool], '--cfg-options', first, '--cfg-options', *others])
    assert load_tool(tool).parse_args().cfg_options == TYPED


def test_ablations_type_their_options(load_tool, tmp_path):
    (tmp_path / 'leaf.py').write_text('a = [dict(b=1)]\n')
    args = load_tool('analysis_tools/ablate.py').parse_args(
        [str(tmp_path / 'leaf.py'), '--cfg-options', 'b=false', '--cfg-options', 'a.0.b=3']
    )
    (run,) = make_runs(args.configs, [0], tmp_path, args.cfg_options)
    assert run.config.b is False and run.config.a == [dict(b=3)]
    with pytest.raises(ValueError, match='KEY=VALUE'):
        make_runs(args.configs, [0], tmp_path, ['b'])


def test_every_number_of_a_command_has_a_range():
    """``type=int`` would accept a batch size of -1, ``type=float`` a score of nan; ranks come from launchers, and choices are a range."""
    root = Path(__file__).parents[1]
    calls = [
        ast.unparse(node)
        for folder in ('mmlabelpenet', 'tools')
        for path in (root / folder).rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument'
    ]
    numbers = [call for call in calls if re.search(r'type=(int|float)\b', call) and 'choices=' not in call and 'local_rank' not in call]
    assert len(calls) > 150 and [call for call in numbers if '--minutes' not in call] == []


@pytest.mark.parametrize(
    'words', ['--min-score nan', '--min-score 2', '--min-score -0.1', '--batch-size 0', '--batch-size 1.5', '--batch-size -1']
)
def test_a_number_out_of_its_range_is_refused_before_anything_is_read(capsys, words):
    with pytest.raises(SystemExit):
        predict.parse_args(['photos', *words.split()])
    option, value = words.split()
    assert f'error: argument {option}: expected a ' in (line := capsys.readouterr().err.splitlines()[-1]) and f'got {value!r}' in line


def test_no_tool_reads_options_in_another_way():
    files = [*(ROOT / 'tools').rglob('*.py'), *(ROOT / 'mmlabelpenet/commands').rglob('*.py')]
    reading = {path.name: path.read_text() for path in files if "'--cfg-options'" in path.read_text()}
    assert reading.keys() == {Path(name).name for name in (*TOOLS, 'analysis_tools/ablate.py')}
    assert all('action=ConfigOptions' in reading[Path(name).name] for name in TOOLS)


@pytest.mark.parametrize(
    'text',
    ['1', '-2.5', 'true', 'False', 'None', 'a,b', '[a,b]', '(1)', '(1,2)', '[1,]', '1,', '[]', '()', '[[1,2],(3,x)]', 'a/b.py', '007', ''],
)
def test_values_are_those_of_mmengine(text):
    assert repr(parse_value(text)) == repr(DictAction._parse_iterable(text))


@pytest.mark.parametrize('value', [dict(a=[1, (2.5, None)], b={'c d': "it's, [new]"}), (1,), ['x', True], "'quoted'", 'a\\nb'])
def test_a_value_as_python_writes_it_is_read_as_it_was(value):
    assert parse_value(repr(value)) == value


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('a  b', 'a  b'),
        ("'none'", 'none'),
        ('"1,2"', '1,2'),
        ("don't", "don't"),
        ('(1,2),(3,4)', [(1, 2), (3, 4)]),
        ('{a: {b: null}}', {'a': {'b': None}}),
    ],
)
def test_spaces_are_kept_and_quotes_keep_a_text(text, value):
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ('word', 'error'),
    [
        ('seed', "KEY=VALUE, such as randomness.seed=1, got 'seed'"),
        ('=1', "got '=1'"),
        ('a..b=1', "got 'a..b=1'"),
        ('a=[1,2', r'a=\[1,2 cannot be read: \] is missing'),
        ("a='x", "' is missing"),
        ("a=[dict('Hook')]", 'expected KEY=VALUE in a dict'),
        ('a=[1,-1e400]', '-1e400 is too large for a number'),
    ],
)
def test_what_is_not_an_option_is_one_line(load_tool, capsys, word, error):
    with pytest.raises(ValueError, match=error) as raised:
        parse_options([word])
    assert '\n' not in str(raised.value)
    with pytest.raises(SystemExit):
        load_tool('train.py').parse_args(['config.py', '--cfg-options', word])
    assert str(raised.value) in capsys.readouterr().err


def test_false_and_an_unquoted_hook_reach_the_config():
    leaf = ROOT / 'configs/labelpenet/labelpenet_lite0_rendered.py'
    words = [
        'model.share_tail=false',
        "custom_hooks=[dict(type='IdleStagesHook')]",
        'train_cfg.phases.classification.iters=7',
        'param_scheduler=null',
    ]
    config = load_config(leaf, parse_options(words))
    assert config.model.share_tail is False and config.param_scheduler is None
    assert config.custom_hooks[0].type == 'IdleStagesHook' and config.train_cfg.phases.classification.iters == 7


@pytest.mark.parametrize(
    ('words', 'amp', 'resume'),
    [
        (['--amp', 'a.py'], 'bf16', None),
        (['--resume', 'a.py'], None, 'auto'),
        (['--amp', '--resume', 'a.py'], 'bf16', 'auto'),
        (['--amp', 'fp16', 'a.py', '--resume'], 'fp16', 'auto'),
        (['--amp=fp16', '--resume', 'iter_1.pth', 'a.py'], 'fp16', 'iter_1.pth'),
        (['a.py', '--resume', 'auto', '--amp'], 'bf16', 'auto'),
    ],
)
def test_switches_may_stand_before_the_config(load_tool, words, amp, resume):
    args = load_tool('train.py').parse_args(words)
    assert (args.config, args.amp, args.resume) == ('a.py', amp, resume)


def test_a_precision_that_does_not_exist_is_refused(load_tool, capsys):
    with pytest.raises(SystemExit):
        load_tool('train.py').parse_args(['a.py', '--amp', 'fp32'])
    assert "invalid choice: 'fp32'" in capsys.readouterr().err


def test_options_are_read_without_a_framework():
    code = f'import runpy, sys; runpy.run_path({str(ROOT / "tools/train.py")!r})["parse_args"](["a.py", "--cfg-options", "a=[b]"])'
    code += "; sys.exit(bool({'torch', 'mmengine', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


@pytest.mark.parametrize('tool', ['estimate.py', 'memory.py'])
def test_a_config_that_does_not_exist_is_one_line(tool):
    result = warm.run(ROOT / 'tools/analysis_tools' / tool, 'none.py')
    assert result.returncode == 1 and result.stderr.splitlines()[-1].startswith('Error: Config none.py does not exist.')
    assert 'Traceback' not in result.stderr


COMMANDS = {  # each with an output option, and what is given beside it
    **{f'analysis_tools/{name}': '--out' for name in ('ablate.py', 'analyze_logs.py', 'collect_results.py', 'compare_generators.py')},
    **{f'analysis_tools/{name}': '--out' for name in ('confusion_matrix.py', 'eval_predictions.py', 'mil_mass.py', 'trace.py')},
    'analysis_tools/browse_dataset.py': '--output-dir',
    'export_pseudo_labels.py': '--out',
    'model_converters/publish.py': '--out',
    'test.py': '--dump',
    'train.py': '--work-dir',
}


@pytest.mark.parametrize('tool', COMMANDS)
def test_an_empty_text_is_refused_by_every_command_in_one_line(load_tool, tmp_path, monkeypatch, capsys, tool):
    monkeypatch.chdir(tmp_path)
    module = load_tool(tool)
    for words in ([COMMANDS[tool], ''], [f'{COMMANDS[tool]}='], [COMMANDS[tool], ' ']):
        monkeypatch.setattr('sys.argv', [tool, 'a', 'b', *words])
        with pytest.raises(SystemExit, match='2'):
            module.main()
        assert capsys.readouterr().err.splitlines()[-1].endswith(f'error: argument {COMMANDS[tool]}: expected a value, got an empty text')
    assert os.listdir() == []


def test_all_commands_share_one_parser():
    files = [file for folder in ('mmlabelpenet', 'tools', 'demo') for file in (ROOT / folder).rglob('*.py')]
    assert [file.name for file in files if re.search(r'= argparse\.ArgumentParser\(', file.read_text())] == []
