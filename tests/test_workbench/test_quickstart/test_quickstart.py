"""A complete quickstart with a few images, and its parts."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import warm

from mmlabelpenet.ops.selective_search import SelectiveSearchSettings
from mmlabelpenet.workbench.quickstart import __main__ as quickstart
from mmlabelpenet.workbench.quickstart.__main__ import Plan, check_unchanged, collect_log, is_stale, parse_args, words
from mmlabelpenet.workbench.quickstart.steps import Steps, fingerprint

ROOT = Path(__file__).resolve().parents[3]


def run_quickstart(folder, *more):
    words = ('--quick-check', '--work-dir', folder / 'work', '--data', folder / 'data/rendered')
    return warm.run('-m', 'mmlabelpenet.workbench.quickstart', *words, *more)


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    """The whole job, once, with a few images and iterations."""
    folder = tmp_path_factory.mktemp('quickstart')
    return folder, run_quickstart(folder)


def test_the_main_job_runs_through_and_leaves_what_it_promises(done):
    folder, result = done
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ('metrics.json', 'train.log', 'report.html', 'pseudo_labels/refinement.json', 'iter_10.pth'):
        assert (folder / 'work' / name).stat().st_size > 0, name
    titles = re.findall(r'\[\d/6\] ([a-z ]+): done in ([\d.]+)', result.stdout)
    assert [name for name, _ in titles] == ['render', 'proposals train', 'proposals test', 'train', 'test', 'report']
    assert [line.split()[0] for line in result.stdout.splitlines()[-6:-2]] == ['classification', 'detection', 'refinement', 'segmentation']


def test_the_main_job_measures_every_stage_and_counts_no_missing_value_as_nought(done):
    folder, _ = done
    table = json.loads((folder / 'work/metrics.json').read_text())
    assert list(table) == ['classification', 'detection', 'refinement', 'segmentation', 'meta']
    for stage in list(table)[:4]:
        for key in ('bbox_mAP_50_11point', 'CorLoc_50', 'segm_mAP_50_area', 'ABO_class', 'mIoU'):
            assert table[stage][key] is None or 0 <= table[stage][key] <= 100
            values = list(table[stage]['per_class'].get(key, {}).values())
            assert (table[stage][key] is None) == all(value is None for value in values)
    assert table['meta']['seed'] == 0
    assert (table['meta']['test']['images'], table['meta']['corloc']['images']) == (2, 4)


def test_the_training_log_holds_all_phases(done):
    text = (done[0] / 'work/train.log').read_text()
    for phase in ('classification', 'detection', 'refinement', 'segmentation', 'recurrent'):
        assert f'Phase {phase}:' in text
    assert 'Iter(train) [10/10]' in text
    assert 'Iter(test)' not in text


def test_the_report_of_the_main_job_needs_no_network_and_gives_the_commands(done):
    text = (done[0] / 'work/report.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)', text)
    for name in ('render_voc.py', 'selective_search.py', 'tools/train.py', 'tools/test.py'):
        assert name in text
    assert text.count('<svg') == 5


def test_a_second_run_does_nothing_again_and_another_seed_is_refused(done):
    folder, _ = done
    files = {path: path.stat().st_mtime_ns for path in folder.rglob('*') if path.is_file() and path.suffix != '.log'}
    again = run_quickstart(folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count('done before') == 6
    other = run_quickstart(folder, '--seed', '1')
    assert other.returncode == 1
    assert 'other settings' in other.stderr
    assert 'Traceback' not in other.stderr
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_training_of_other_settings_is_not_touched(tmp_path):
    steps = Steps(tmp_path, 3)
    steps.done['train'] = dict(settings=fingerprint({'seed': 0}))
    check_unchanged(steps, 'train', {'seed': 1}, tmp_path)  # nothing was trained yet
    (tmp_path / 'last_checkpoint').write_text('iter_1.pth')
    check_unchanged(steps, 'train', {'seed': 0}, tmp_path)
    with pytest.raises(ValueError, match='other settings'):
        check_unchanged(steps, 'train', {'seed': 1}, tmp_path)
    with pytest.raises(ValueError, match='other settings'):
        check_unchanged(Steps(tmp_path, 1), 'train', {'seed': 0}, tmp_path)


def test_proposals_of_other_images_are_stale(tmp_path):
    from mmlabelpenet.datasets.proposals import ProposalRecord
    from mmlabelpenet.ops.selective_search import selective_search
    from mmlabelpenet.workbench.proposal_writer import write_proposals
    from mmlabelpenet.workbench.quickstart.rendered import RenderSettings, render_dataset

    plan = Plan(tmp_path / 'work', 0, tmp_path / 'data', True)
    render_dataset(plan.data, RenderSettings(num_train=2, num_test=1, height=96, width=128, min_size=30, max_size=70))
    assert not is_stale(plan, 'train', SelectiveSearchSettings())  # nothing is there
    images = {name: cv2.imread(str(plan.data / f'JPEGImages/{name}.jpg')) for name in ('train_00000', 'train_00001')}

    def write(found):
        records = [ProposalRecord(name, (96, 128), boxes, np.ones(len(boxes), np.float32)) for name, boxes in found.items()]
        write_proposals(plan.proposals('train'), records, {})

    found = {name: selective_search(image) for name, image in images.items()}
    write(found)
    assert not is_stale(plan, 'train', SelectiveSearchSettings())
    write({'train_00000': found['train_00000']})
    assert is_stale(plan, 'train', SelectiveSearchSettings())
    write(dict(zip(found, reversed(found.values()))))
    assert is_stale(plan, 'train', SelectiveSearchSettings())
    plan.proposals('train').write_bytes(b'damaged')
    assert is_stale(plan, 'train', SelectiveSearchSettings())


def test_the_training_log_joins_resumed_runs_in_their_order(tmp_path):
    for name in ('20260102_000000', '20260101_000000'):
        (tmp_path / name).mkdir()
        (tmp_path / name / f'{name}.log').write_text(f'{name}\n')
    (tmp_path / 'steps').mkdir()
    (tmp_path / 'steps/train.log').write_text('not this one')
    collect_log(tmp_path)
    assert (tmp_path / 'train.log').read_text() == '20260101_000000\n20260102_000000\n'


def test_the_defaults_are_those_of_the_readme():
    assert parse_args([]) == Plan(Path('work_dirs/quickstart'), 0, Path('data/rendered'), False)
    assert parse_args(['--quick-check']).data != parse_args([]).data
    assert parse_args([]).data_options == {}
    assert parse_args([]).proposals('train') == Path('data/proposals/rendered_train.npz')


def test_every_option_of_the_plan_is_a_key_of_the_config():
    from mmlabelpenet.apis.config import load_config

    plan = Plan(Path('work'), 3, Path('elsewhere/set'), True)
    plain, changed = load_config(ROOT / quickstart.CONFIG), load_config(ROOT / quickstart.CONFIG, plan.train_options)

    def keys(config, before=''):
        for key, value in config.items():
            yield f'{before}{key}'
            if isinstance(value, dict):
                yield from keys(value, f'{before}{key}.')

    assert set(keys(plain)) == set(keys(changed))
    changed.pop('data_sources')  # names the command for the config's own place
    assert 'data/rendered' not in repr(changed.to_dict())
    assert plain.test_dataloader.dataset.proposals == str(Plan(Path('w'), 0, Path('data/rendered'), False).proposals('test'))


def test_options_reach_a_tool_as_it_reads_them():
    from mmlabelpenet.options import parse_options

    options = Plan(Path('work'), 3, Path('elsewhere/a,b [set]'), True).train_options
    assert parse_options(words(options)[1:]) == options
