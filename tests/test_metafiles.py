"""The metafiles of the model zoo: their format, the files they name, and the source of their results."""

import re
from pathlib import Path

import pytest
import yaml
from toy import STAGES

from mmlabelpenet.apis.config import load_config, planned_iterations
from mmlabelpenet.workbench.experiments.collected_tables import paper_tables

ROOT = Path(__file__).resolve().parents[1]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
FILES = INDEX['Import']
META = {file: yaml.safe_load((ROOT / file).read_text()) for file in FILES}
COLLECTIONS = [(file, entry) for file, meta in META.items() for entry in meta['Collections']]
MODELS = [(file, entry) for file, meta in META.items() for entry in meta['Models']]
OURS = [(entry['Name'], result) for _, entry in MODELS for result in entry['Results']]
PAPER = [(entry['Name'], result) for _, entry in MODELS for result in entry.get('Paper Results', [])]
SHARE = 'share of supervised: box AP, mask AP'  # a column of docs/results.md
KEYS = {'Name', 'In Collection', 'Config', 'Metadata', 'Results', 'Paper Results', 'Weights'}


def names(pairs):
    return [entry['Name'] for _, entry in pairs]


def test_every_folder_of_a_method_has_a_metafile_and_the_index_names_each():
    folders = {path.parent for path in ROOT.glob('configs/[!_]*/*.py')}
    assert sorted(FILES) == sorted((folder / 'metafile.yml').relative_to(ROOT).as_posix() for folder in folders)
    assert list(INDEX) == ['Import'] and all(list(meta) == ['Collections', 'Models'] for meta in META.values())


@pytest.mark.parametrize(('file', 'entry'), COLLECTIONS, ids=names(COLLECTIONS))
def test_a_collection_names_paper_architecture_and_files_that_exist(file, entry):
    assert set(entry) <= {'Name', 'Metadata', 'Paper', 'README', 'Code'} and isinstance(entry['Name'], str)
    for key in ('Training Data', 'Training Techniques', 'Architecture'):
        assert entry['Metadata'][key] and all(isinstance(value, str) for value in entry['Metadata'][key]), key
    assert entry['Paper']['URL'].startswith('https://') and isinstance(entry['Paper']['Title'], str)
    assert (ROOT / entry['README']).is_file() and (ROOT / entry.get('Code', {}).get('Path', 'README.md')).exists()


@pytest.mark.parametrize(('file', 'entry'), MODELS, ids=names(MODELS))
def test_a_model_names_its_config_data_and_collection(file, entry):
    assert set(entry) <= KEYS and {'Name', 'In Collection', 'Config', 'Metadata', 'Results'} <= set(entry)
    path = ROOT / entry['Config']
    assert path.is_file() and path.stem == entry['Name'] and path.parent == (ROOT / file).parent
    assert entry['In Collection'] in [collection['Name'] for other, collection in COLLECTIONS if other == file]
    assert isinstance(entry['Metadata']['Training Data'], str)
    if 'Iterations' in entry['Metadata']:
        assert entry['Metadata']['Iterations'] == planned_iterations(load_config(path))


def test_names_are_given_once():
    for pairs in (COLLECTIONS, MODELS):
        assert len(set(names(pairs))) == len(pairs)


@pytest.mark.parametrize(('name', 'result'), [*OURS, *PAPER])
def test_a_result_has_a_task_a_data_set_numbers_and_a_source(name, result):
    assert isinstance(result['Task'], str) and isinstance(result['Dataset'], str) and isinstance(result['Source'], dict)
    assert result['Metrics'] and all(isinstance(value, float) and 0 <= value <= 100 for value in result['Metrics'].values())
    assert set(result.get('Standard Deviation', result['Metrics'])) == set(result['Metrics'])


def test_no_number_of_the_paper_stands_among_ours():
    assert {result['Source']['Measured By'] for _, result in OURS} == {'this project'}
    assert {result['Source']['Measured By'] for _, result in PAPER} == {'the paper'}


def first_table(text):
    """Rows of cells, the heading and the line below it included."""
    table = re.search(r'(?:^\|.*\n)+', text, flags=re.MULTILINE).group()
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in table.splitlines()]


def sections_of(page):
    """title -> text of each section of a page."""
    parts = re.split(r'^## (.+)$', (ROOT / page).read_text(encoding='utf-8'), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def stage_rows(text):
    """stage -> metric -> cell of the first table of a section."""
    cells = first_table(text)
    return {row[0]: dict(zip(cells[0][1:], row[1:])) for row in cells[2:] if row[0] in STAGES}


def rows_of(section):
    """Text and stage rows of a section of the record of runs."""
    sections = sections_of('docs/records/benchmark.md')
    assert section in sections, f'docs/records/benchmark.md has no section {section!r}; it has {list(sections)}'
    return sections[section], stage_rows(sections[section])


@pytest.mark.parametrize(('name', 'result'), OURS, ids=[f'{name}-{result["Stage"]}' for name, result in OURS])
def test_our_numbers_are_those_of_the_page_of_measurements_with_all_that_made_them(name, result):
    source = result['Source']
    assert all(isinstance(source[key], str) for key in ('Page', 'Commits', 'Command', 'Log', 'Machine'))
    assert source['Seeds'] and all(isinstance(seed, int) for seed in source['Seeds'])
    text, rows = rows_of(source['Section'])
    assert f'{name}.py' in text, f'{source["Section"]} is about another config'
    for metric, mean in result['Metrics'].items():
        deviation = result.get('Standard Deviation', {}).get(metric)
        written = f'{mean:.1f}' if deviation is None else f'{mean:.1f} ± {deviation:.1f}'
        assert rows[result['Stage']][metric] == written, f'{metric} of {result["Stage"]}: write the number of docs/records/benchmark.md'
    assert ('Standard Deviation' in result) == (len(source['Seeds']) > 1)


def test_the_page_of_results_shows_the_stages_as_the_record_of_runs_does():
    """Each section names its config, which the metafile leads to a section of the record."""
    sections = {name: result['Source']['Section'] for name, result in OURS}
    shown = {}
    for text in sections_of('docs/results.md').values():
        named = re.match(r'\s*Config `(\w+)\.py`', text)
        if named:
            shown[named[1]] = stage_rows(text)
    assert shown.keys() == sections.keys()
    for name, stages in shown.items():
        record = rows_of(sections[name])[1]
        for row in stages.values():
            row.pop(SHARE, None)
        assert stages == {stage: {metric: record[stage][metric] for metric in stages[stage]} for stage in record}


@pytest.mark.parametrize(('section', 'data'), [('Twenty classes of VOC 2012', 'mini'), ('Five animal classes of VOC 2012', 'animals')])
def test_the_share_of_supervised_follows_from_what_perfect_labels_reach(section, data):
    cells = first_table(sections_of('docs/records/benchmark.md')['What perfect labels are worth'])
    perfect = {row[1]: dict(zip(cells[0], row)) for row in cells[2:] if row[0] == data}
    reached = stage_rows(sections_of('docs/results.md')[section])
    shares = {stage: row[SHARE] for stage, row in reached.items()}
    for stage, supervised in perfect.items():
        parts = [
            f'{100 * float(reached[stage][metric].split()[0]) / float(supervised[metric]):.0f} %'
            for metric in ('bbox_mAP_50_area', 'segm_mAP_50_area')
        ]
        assert shares.pop(stage) == ', '.join(parts)
    assert set(shares.values()) == {'-'}


@pytest.mark.parametrize(('name', 'result'), PAPER, ids=[f'{name}-table{result["Source"]["Table"]}' for name, result in PAPER])
def test_the_papers_numbers_are_those_it_prints(name, result):
    source = result['Source']
    table = next(table for table in paper_tables()['tables'] if table['number'] == source['Table'])
    method, _, phase = source['Row'].partition(', ')
    rows = [row for row in table['rows'] if row['method'] == method and phase in ('', row['phase'])]
    assert [{metric: row['values'][metric] for metric in result['Metrics']} for row in rows] == [result['Metrics']]


def test_the_readme_shows_the_last_stage_of_each_model_that_was_measured():
    text = (ROOT / 'README.md').read_text()
    (_, _, *metrics), _, *rows = first_table(text[text.index('## Results') :])
    last = {name: result for name, result in OURS if result['Stage'] == STAGES[-1]}
    assert {config for config, *_ in rows} == {f'`{name}.py`' for name in last}
    for config, _, *values in rows:
        _, measured = rows_of(last[config.strip('`').removesuffix('.py')]['Source']['Section'])
        assert values == [measured[STAGES[-1]][metric] for metric in metrics]
