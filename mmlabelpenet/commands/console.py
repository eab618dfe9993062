"""The command ``mmlabelpenet``, which shows help and runs all other commands by name.

first steps:
  mmlabelpenet predict photos
  mmlabelpenet quickstart --quick-check
  mmlabelpenet own-data init data/mine --images photos --tags tags.csv
  mmlabelpenet predict photos --model data/mine/work_dir
"""

import importlib
import sys

from mmlabelpenet import __version__
from mmlabelpenet.terminal import AGAIN, run, say

COMMANDS = {  # name: (module with a main, description)
    'predict': ('mmlabelpenet.predict', 'predict boxes and masks with a trained network'),
    'own-data': ('mmlabelpenet.commands.own_data', 'train on your own images and tags: init, proposals, train, export'),
    'quickstart': ('mmlabelpenet.workbench.quickstart.__main__', 'train and test all stages on a small rendered data set'),
    'proposals': ('mmlabelpenet.commands.selective_search', 'compute the proposals of an image list'),
    'train': ('mmlabelpenet.commands.train', 'train a config'),
    'test': ('mmlabelpenet.commands.test', 'measure a checkpoint'),
    'report': ('mmlabelpenet.commands.report', 'write report.html of a finished training'),
    'browse': ('mmlabelpenet.commands.browse', 'write an HTML page to browse pseudo labels'),
    'export': ('mmlabelpenet.commands.export', 'write pseudo labels as COCO, YOLO, VOC or LabelMe files'),
}
HELP = f"""usage: mmlabelpenet COMMAND ...

mmlabelpenet {__version__}: Label-PEnet on MMDetection, instance segmentation from image tags.

commands:
{chr(10).join(f'  {name:<12}{text}' for name, (_, text) in COMMANDS.items())}

{(__doc__ or '').partition('name.')[2].strip()}

mmlabelpenet COMMAND --help lists the options of a command."""


def main() -> None:
    """Run the command named in ``sys.argv`` with the remaining arguments."""
    name, *words = sys.argv[1:] or ['--help']
    if name in ('-h', '--help'):
        say(HELP)
    elif name in ('-V', '--version'):
        say(f'mmlabelpenet {__version__}')
    elif name not in COMMANDS:
        sys.exit(f'Error: {name!r} is not a command. Choose one of {", ".join(COMMANDS)}, or use --help.')
    else:
        sys.argv = [f'mmlabelpenet {name}', *words]  # argparse shows it as the program name
        run(importlib.import_module(COMMANDS[name][0]).main, AGAIN if name in ('own-data', 'quickstart', 'proposals') else 'Interrupted.')
