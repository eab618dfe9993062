"""Self-contained HTML pages from templates.

Templates escape all data, so text is never interpreted as markup. Pages load no external files and run only their own scripts, enforced by
a content security policy.
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
    """Render a template and write the page atomically.

    Args:
        template: a file in ``templates/``.
    """
    text = TEMPLATES.get_template(template).render(content)
    with atomic_write(path, 'wb') as file:
        file.write(text.encode('utf-8', 'backslashreplace'))  # file names may contain bytes that are not valid text
    return Path(path)


def number(value: float | None) -> str:
    """A percentage, or a dash if not measured.

    >>> number(61.25), number(None)
    ('61.2', '–')
    """
    return '–' if value is None else f'{value:.1f}'


def hex_colours(count: int) -> list[str]:
    """The CSS colour of each class.

    >>> hex_colours(1)
    ['#e69f00']
    """
    return ['#' + bytes(colour).hex() for colour in class_colours(count).tolist()]


def asset(name: str) -> Markup:
    """A style sheet or script from ``templates/``, inserted into a page without escaping."""
    return Markup((Path(__file__).parent / 'templates' / name).read_text(encoding='utf-8'))


def script_hash(name: str) -> str:
    """SHA-256 of a script in the format of a content security policy."""
    return 'sha256-' + base64.b64encode(hashlib.sha256(asset(name).encode()).digest()).decode()


def webp_base64(image: NDArray[np.uint8], quality: int = 80) -> str:
    """An RGB image as base64 WebP, for ``data:`` URLs in pages."""
    return base64.b64encode(webp(image, quality)).decode()


TEMPLATES.policies['json.dumps_kwargs'] = dict(separators=(',', ':'))
TEMPLATES.filters.update(number=number, webp_base64=webp_base64)
TEMPLATES.globals.update(asset=asset, script_hash=script_hash, hex_colours=hex_colours)
