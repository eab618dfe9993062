"""Site of the documentation, built by tools/build_docs.sh: the pages of the repository, and an API reference from the docstrings.

The source folder is the root of the repository, so that links work on the site as they do there. The package is read, not imported.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

project = 'mmlabelpenet'
author = 'The mmlabelpenet contributors'
release = re.search(r"__version__ = '(.+)'", (ROOT / 'mmlabelpenet/__init__.py').read_text())[1]
extensions = ['myst_parser', 'sphinx.ext.napoleon', 'autoapi.extension']

root_doc = 'docs/index'
include_patterns = ['*.md', 'docs/*.md', 'docs/records/*.md', 'docs/api/**', 'configs/*/README.md']
exclude_patterns = ['.*', 'data', 'demo', 'mmlabelpenet', 'requirements', 'tests', 'tools', 'work_dirs']

myst_heading_anchors = 4
myst_enable_extensions = ['html_image']
suppress_warnings = ['autoapi.python_import_resolution']  # names that a tuple assignment defines

autoapi_dirs = ['mmlabelpenet']
autoapi_ignore = ['*/.mim/*', '*/__main__.py']
autoapi_root = 'docs/api'
autoapi_options = ['members', 'show-module-summary', 'special-members']
autoapi_member_order = 'bysource'
autoapi_python_class_content = 'both'
autoapi_add_toctree_entry = False

html_theme = 'furo'
html_title = f'mmlabelpenet {release}'
templates_path = ['_templates']
html_additional_pages = {'index': 'home.html'}
linkcheck_timeout = 20
