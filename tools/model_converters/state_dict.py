"""Convert a checkpoint to a plain state dict (tensors by name, nothing else), and back.

    python tools/model_converters/state_dict.py to CHECKPOINT STATE.pth
    python tools/model_converters/state_dict.py from STATE.pth CHECKPOINT --config CONFIG
    python tools/model_converters/state_dict.py upgrade OLD.pth NEW.pth      # rename the weights of version 0.1

"from" checks the tensors against the config's model, and fails if one is missing, unexpected or of another shape.
"""

from mmlabelpenet.options import Parser
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def main(argv: list[str] | None = None) -> None:
    """Convert, and report what was written."""
    parser = Parser(description=__doc__)
    parser.add_argument('direction', choices=['to', 'from', 'upgrade'])
    parser.add_argument('source', help='file to read')
    parser.add_argument('target', help='file to write')
    parser.add_argument('--config', help='config of the model, for "from"')
    args = parser.parse_args(argv)
    if (args.direction == 'from') != (args.config is not None):
        parser.error('"from" needs --config, "to" and "upgrade" take none')
    from mmlabelpenet.apis import load_config
    from mmlabelpenet.apis.published import from_state_dict, to_state_dict, upgrade

    if args.config is None:
        convert = to_state_dict if args.direction == 'to' else upgrade
        say(f'{args.target}: {counted(len(convert(args.source, args.target)), "tensor")}')
    else:
        say(f'{from_state_dict(args.source, load_config(args.config), args.target)}: a checkpoint of {args.config}')


if __name__ == '__main__':
    run(main)
