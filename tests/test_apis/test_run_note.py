"""The record of runs in a work dir."""

import pytest

from mmlabelpenet.apis.checkpoint import noted_checkpoint
from mmlabelpenet.apis.inferencer import find_run
from mmlabelpenet.apis.run_note import RUN_FILE, RunNote, read_note, run_files, write_note
from mmlabelpenet.workbench.quickstart.__main__ import collect_log
from mmlabelpenet.workbench.report.curves import read_scalars
from mmlabelpenet.workbench.report.run import last_config

OLD, FIRST, SECOND = '20260101_000000', '20261025_025900', '20261025_020500'  # the second began after summer time had ended


@pytest.fixture
def work_dir(tmp_path):
    for number, name in enumerate((OLD, FIRST, SECOND)):
        folder = tmp_path / name / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'config.py').write_text(f'seed = {number}')
        (folder / 'scalars.json').write_text(f'{{"step": 1, "loss": {number}}}')
        (tmp_path / name / f'{name}.log').write_text(str(number))
    (tmp_path / 'last_checkpoint').write_text('iter_4.pth')
    write_note(tmp_path, RunNote('a.py', runs=[FIRST, SECOND]))
    return tmp_path


def test_the_last_training_is_the_one_that_began_last_whatever_the_clock_said(work_dir):
    assert [path.parents[1].name for path in run_files(work_dir)] == [OLD, FIRST, SECOND]
    assert last_config(work_dir).seed == find_run(work_dir)[0].seed == 2
    assert read_scalars(work_dir) == [dict(step=1, loss=2)]
    collect_log(work_dir)
    assert (work_dir / 'train.log').read_text() == '012'


def test_without_a_note_the_names_of_the_folders_decide(work_dir):
    (work_dir / RUN_FILE).unlink()
    assert read_note(work_dir) == RunNote() and last_config(work_dir).seed == 1


@pytest.mark.parametrize('content', ['', '[]', '{"runs": 3}', '{"earlier": {}, "earlier": {}}'])
def test_a_malformed_note_is_named(work_dir, content):
    (work_dir / RUN_FILE).write_text(content)
    with pytest.raises(ValueError, match="run.json' is not the note of a training .*Remove it"):
        last_config(work_dir)


@pytest.mark.parametrize(
    ('content', 'name'),
    [(b'/elsewhere/iter_4.pth', 'iter_4.pth'), (b'../../a.pth\nb', 'a.pth'), (b'\xff', '\ufffd'), (b'', None), (b'\n..', None)],
)
def test_the_note_of_the_last_checkpoint_names_a_file_of_the_folder_or_none(work_dir, content, name):
    (work_dir / 'last_checkpoint').write_bytes(content)
    assert noted_checkpoint(work_dir) == (name and work_dir / name)
    if name is None:
        with pytest.raises(FileNotFoundError, match='contains no finished training'):
            find_run(work_dir)
    else:
        assert find_run(work_dir)[1] == work_dir / name
