"""Project files besides code: licence, citation, workflow, hooks, templates, the model zoo's pages and the site."""

import ast
import hashlib
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

import mmlabelpenet

ROOT = Path(__file__).resolve().parents[1]
APACHE_2 = 'cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30'  # SHA-256 of the text that apache.org publishes
CHECK = (ROOT / 'tools/run_tests.sh').read_text()


def read_yaml(name):
    return yaml.safe_load((ROOT / name).read_text())


def test_the_licence_is_the_whole_text_of_apache_2():
    assert hashlib.sha256((ROOT / 'LICENSE').read_bytes()).hexdigest() == APACHE_2
    assert 'license = Apache-2.0' in (ROOT / 'setup.cfg').read_text()


def test_the_citation_names_this_version_and_the_paper():
    citation, paper = read_yaml('CITATION.cff'), read_yaml('configs/labelpenet/metafile.yml')['Collections'][0]['Paper']
    assert citation['version'] == mmlabelpenet.__version__ and citation['license'] == 'Apache-2.0'
    assert {'cff-version', 'message', 'title', 'authors'} <= set(citation)
    assert citation['preferred-citation']['title'] == paper['Title'] and citation['preferred-citation']['url'] == paper['URL']


def test_the_workflow_runs_the_documented_check_on_every_supported_python():
    workflow = read_yaml('.github/workflows/test.yml')
    jobs = workflow['jobs']
    assert {'push', 'pull_request'} <= set(workflow[True])  # YAML reads the key "on" as a truth value
    assert [step['run'] for step in jobs['test']['steps'] if 'run' in step] == ['bash tools/run_tests.sh']
    assert [step['run'] for step in jobs['docs']['steps'] if 'run' in step] == ['bash tools/build_docs.sh']
    lowest = re.search(r'python_requires = >=(.+)', (ROOT / 'setup.cfg').read_text())[1]
    assert jobs['test']['strategy']['matrix']['python'][0] == lowest


def test_the_hooks_before_a_commit_run_commands_of_the_check():
    hooks = [hook for repo in read_yaml('.pre-commit-config.yaml')['repos'] for hook in repo['hooks']]
    for hook in hooks:
        assert hook['entry'].split(' --')[0] in CHECK and hook['language'] == 'system', hook['id']


@pytest.mark.parametrize('name', sorted(path.name for path in (ROOT / '.github/ISSUE_TEMPLATE').glob('[!c]*.yml')))
def test_issue_templates_are_complete_and_name_files_that_exist(name):
    form = read_yaml(f'.github/ISSUE_TEMPLATE/{name}')
    assert form['name'] and form['description']
    fields = [field for field in form['body'] if field['type'] != 'markdown']
    assert len({field['id'] for field in fields}) == len(fields) and all(field['attributes']['label'] for field in fields)
    for file in re.findall(r'(?:tools|docs)/[\w/.]+\w', (ROOT / '.github/ISSUE_TEMPLATE' / name).read_text()):
        assert (ROOT / file).exists(), file


def test_the_tables_of_the_model_zoo_are_those_of_the_metafiles():
    subprocess.run([sys.executable, ROOT / 'tools/analysis_tools/model_zoo.py', '--check'], check=True)


@pytest.mark.parametrize('folder', sorted(path.parent.name for path in ROOT.glob('configs/*/metafile.yml')))
def test_every_method_has_a_page_with_its_paper_and_commands(folder):
    text = (ROOT / 'configs' / folder / 'README.md').read_text()
    for collection in read_yaml(f'configs/{folder}/metafile.yml')['Collections']:
        assert collection['Paper']['URL'] in text and collection['README'] == f'configs/{folder}/README.md'
    assert f'tools/train.py configs/{folder}/' in text and f'tools/test.py configs/{folder}/' in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')
def test_the_site_builds_without_a_warning_and_has_every_page_and_module(tmp_path):
    subprocess.run(['bash', ROOT / 'tools/build_docs.sh', tmp_path / 'site'], check=True)
    pages = [
        path.relative_to(ROOT)
        for path in [*ROOT.glob('docs/*.md'), *ROOT.glob('docs/records/*.md'), *ROOT.glob('configs/*/README.md'), ROOT / 'README.md']
    ]
    for page in pages:
        assert (tmp_path / 'site' / page.with_suffix('.html')).is_file(), page
    api = (tmp_path / 'site/docs/api/mmlabelpenet/calibration/attention/index.html').read_text()
    assert 'paste_attention' in api and 'Add every proposal' in api
    assert 'docs/index.html' in (tmp_path / 'site/index.html').read_text()


def test_the_page_on_security_names_every_command_that_opens_a_config_of_the_user():
    opens = re.compile(r'\b(load_config|last_config|find_run|write_report|LabelPENetInferencer|TrainingJob|make_runs)\b')
    own = {'benchmark.py', 'model_zoo.py', 'console.py'}  # open those of the package
    names = {'browse.py': 'browse_pseudo_labels.py', 'predict.py': 'mmlabelpenet.predict'}
    files = [
        *ROOT.glob('tools/*.py'),
        *ROOT.glob('tools/*/*.py'),
        *ROOT.glob('mmlabelpenet/commands/*.py'),
        ROOT / 'mmlabelpenet/predict.py',
    ]
    found = {names.get(file.name, file.name) for file in files if opens.search(file.read_text()) and file.name not in own}
    page = (ROOT / 'SECURITY.md').read_text()
    assert len(found) > 15 and [name for name in sorted(found) if name not in page] == []


def imported_from_the_package(path):
    """Modules of the package and names that a script or a notebook imports from them, also lazily."""
    text = path.read_text()
    if path.suffix == '.ipynb':
        text = '\n'.join(cell.source for cell in nbformat.reads(text, as_version=4).cells if cell.cell_type == 'code')
        text = re.sub('(?m)^[!%].*', '', text)  # commands
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or '').split('.')[0] == 'mmlabelpenet':
            yield from ((node.module, alias.name) for alias in node.names)


def test_what_scripts_import_from_the_package_exists():
    paths = [
        path
        for folder in ('demo', 'docs', 'mmlabelpenet', 'tools')
        for path in (ROOT / folder).rglob('*')
        if path.suffix in ('.py', '.ipynb')
    ]
    named = {found for path in paths for found in imported_from_the_package(path)}
    assert len(named) > 500
    for module, name in sorted(named):
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f'{module}.{name}')  # a module of a package


def opens_text(node):
    """Whether a call reads or writes text with the locale's encoding."""
    if not isinstance(node, ast.Call) or any(keyword.arg == 'encoding' for keyword in node.keywords):
        return False
    own, name = isinstance(node.func, ast.Name), getattr(node.func, 'attr', getattr(node.func, 'id', ''))
    modes = node.args[1:] if own else node.args
    text = all(isinstance(mode, ast.Constant) and re.fullmatch('[rwax][+]?', str(mode.value)) for mode in modes)
    return name in ('read_text', 'write_text') and not own or name == 'open' and text and (own or bool(modes))


@pytest.mark.parametrize('folder', ['mmlabelpenet', 'tools'])
def test_texts_are_utf_8_whatever_the_locale(folder):
    calls = [
        f'{path}:{node.lineno}: {ast.unparse(node)}'
        for path in (ROOT / folder).rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if opens_text(node)
    ]
    assert calls == []
