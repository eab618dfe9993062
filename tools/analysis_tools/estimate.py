"""Estimate the training time of a config from a few measured iterations: python tools/analysis_tools/estimate.py CONFIG --gpus N.

Every phase runs a few iterations on the config's training images, with synthetic labels where needed, so neither a training nor ImageNet
weights are required; every label pass runs a few batches. The estimate multiplies these times by the length of the schedule. It is for the
current machine; with --gpus N it is for N such devices, each with the config's batch size, and includes the communication of gradients.

With --images, nothing is measured and no data are needed: tables of selective search, iterations, network, memory, label passes and feature
cache for the given numbers of images are computed from known costs per image (docs/scale.md).
"""

import argparse

from mmlabelpenet.options import ConfigOptions, Parser, decimal, whole
from mmlabelpenet.terminal import run, say


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file; its images and proposals are read')
    parser.add_argument('--gpus', type=whole(1), default=1, help='number of GPUs (default: 1)')
    parser.add_argument(
        '--iters', type=whole(1), default=5, help='number of measured iterations per phase, after one warm-up iteration (default: 5)'
    )
    parser.add_argument('--bandwidth', type=decimal(0), default=10.0, help='assumed bandwidth between GPUs in GB/s (default: 10)')
    parser.add_argument('--images', type=whole(1), nargs='+', metavar='N', help='numbers of images, to compute tables instead of measuring')
    parser.add_argument('--device', help='cpu or cuda (default: cuda if available)')
    parser.add_argument('--cfg-options', action=ConfigOptions)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure and print a table."""
    args = parse_args(argv)
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    from mmlabelpenet.apis import load_config
    from mmlabelpenet.apis.image_inputs import usable_device
    from mmlabelpenet.workbench.experiments.estimate import estimate

    MMLogger.get_current_instance().setLevel('ERROR')
    init_default_scope('mmlabelpenet')
    config = load_config(args.config, args.cfg_options)
    if args.images:
        from mmlabelpenet.workbench.experiments.scale import all_tables

        say(all_tables(config, args.images))
        return
    device = usable_device(args.device)
    say(f'{"":24}{"times":>9}{"seconds each":>14}{"hours":>9}{"GB":>7}   where the time goes')
    total, peak = 0.0, 0.0
    for step in estimate(config, device, args.gpus, args.iters, args.bandwidth * 1e9):
        shares = ', '.join(f'{part} {100 * share:.0f} %' for part, share in step.shares())
        say(f'{step.name:24}{step.times:9}{step.seconds:14.3f}{step.total / 3600:9.2f}{step.memory / 1e9:7.1f}   {shares}')
        total, peak = total + step.total, max(peak, step.memory)
    say(f'{"all":24}{"":23}{total / 3600:9.2f}{peak / 1e9:7.1f}   on {args.gpus} x {device.type}, {total:.0f} s')


if __name__ == '__main__':
    run(main)
