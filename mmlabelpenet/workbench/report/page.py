"""Pages that need no other file: templates filled with data. Text from data is never markup.

Templates escape whatever they are given. Pages load nothing from elsewhere and run no script but their own; a policy in each page says so.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from mmlabelpenet.files import atomic_write
from mmlabelpenet.visualization.drawing import class_colours, webp

TEMPLATES = Environment(
    loader=PackageLoader('mmlabelpenet.workbench.report'), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def write_page(path: str | Path, template: str, **content: Any) -> Path:
    """Fill a template; the page appears whole or not at all.

    Args:
        template: a file in ``templates/``.
    """
    text = TEMPLATES.get_template(template).render(content)
    with atomic_write(path, 'wb') as file:
        file.write(text.encode('utf-8', 'backslashreplace'))  # file names may hold bytes that are not text
    return Path(path)


def number(value: float | None) -> str:
    """A percentage, or a dash where nothing was measured.

    >>> number(61.25), number(None)
    ('61.2', '–')
    """
    return '–' if value is None else f'{value:.1f}'


def hex_colours(count: int) -> list[str]:
    """The colour of each class as CSS writes it.

    >>> hex_colours(1)
    ['#e69f00']
    """
    return ['#' + bytes(colour).hex() for colour in class_colours(count).tolist()]


def asset(name: str) -> Markup:
    """A style sheet or script of ours from ``templates/``, to be put into a page as it is."""
    return Markup((Path(__file__).parent / 'templates' / name).read_text(encoding='utf-8'))


def script_hash(name: str) -> str:
    """SHA-256 of a script, as a content security policy names it."""
    return 'sha256-' + base64.b64encode(hashlib.sha256(asset(name).encode()).digest()).decode()


def webp_base64(image: NDArray[np.uint8], quality: int = 80) -> str:
    """An RGB image as a WebP file in base64, for the ``data:`` addresses of pages."""
    return base64.b64encode(webp(image, quality)).decode()


TEMPLATES.policies['json.dumps_kwargs'] = dict(separators=(',', ':'))
TEMPLATES.filters.update(number=number, webp_base64=webp_base64)
TEMPLATES.globals.update(asset=asset, script_hash=script_hash, hex_colours=hex_colours)
