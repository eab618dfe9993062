"""Show the content of a checkpoint: python tools/model_converters/inspect_checkpoint.py CHECKPOINT [--config] [--json].

No code in the file is executed.
"""

import json
from typing import Any

from mmlabelpenet.options import Parser
from mmlabelpenet.schema import counted
from mmlabelpenet.terminal import run, say


def main(argv: list[str] | None = None) -> None:
    """Print."""
    parser = Parser(description=__doc__)
    parser.add_argument('checkpoint')
    parser.add_argument('--config', action='store_true', help='print the config of the training')
    parser.add_argument('--json', action='store_true', help='print everything as JSON')
    args = parser.parse_args(argv)
    from mmlabelpenet.apis.published import describe

    found = describe(args.checkpoint)
    if args.json:
        say(json.dumps(found, indent=1))
    elif args.config:
        say(found['config'] or '# this checkpoint contains no config')
    else:
        say(text(found))


def text(found: dict[str, Any]) -> str:
    """A human-readable summary."""
    lines = [f'{found["file"]}: {found["bytes"] / 2**20:.1f} MiB, sha256 {found["sha256"]}']
    for name, part in found['parts'].items():
        size = f'{part["parameters"]:>13,} numbers  {part["bytes"] / 2**20:8.1f} MiB'
        lines.append(f'  {name:<16} {part["tensors"]:>5} tensors  {size}')
    lines += [f'  {name:<16} {"to resume":>13}  {"":>21}  {size / 2**20:8.1f} MiB' for name, size in found['other_bytes'].items()]
    phase = f', phase {found["phase"]}' if found['phase'] else ''
    lines.append(f'iteration: {found["iteration"] if found["iteration"] is not None else "unknown"}{phase}')
    classes = found['classes']
    lines.append(f'classes: {len(classes)} ({", ".join(classes)})' if classes else 'classes: not known')
    lines.append(f'experiment: {found["experiment"] or "unknown"}, seed {found["seed"]}')
    lines.append(f'config: {counted(len(found["config"].splitlines()), "line")}, shown by --config' if found['config'] else 'config: none')
    receipt = found['receipt']
    if receipt:
        versions = ', '.join(f'{name} {version}' for name, version in receipt.get('versions', {}).items())
        lines.append(f'published at commit {receipt.get("commit")} with {versions}from a checkpoint with sha256 {receipt["source_sha256"]}')
    return '\n'.join(lines)


if __name__ == '__main__':
    run(main)
