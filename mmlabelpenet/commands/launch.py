"""Train or test one or more configs on several GPUs; called by bash tools/dist_train.sh, dist_test.sh and slurm_train.sh.

    python tools/launch.py train CONFIG... GPUS [arguments of tools/train.py]
    python tools/launch.py test CONFIG [CHECKPOINT]... GPUS [arguments of tools/test.py]
    python tools/launch.py slurm PARTITION CONFIG... GPUS [arguments of tools/train.py]

A single config is started immediately. Several configs are checked before the first one starts, and those with missing files are skipped.
The others run one after another, or all at once under Slurm; finished ones are skipped, interrupted ones are resumed, and a failure does
not stop the others. A table shows the status of each. The exit code is 1 if any failed or was skipped because of missing files.

More options: --dry-run prints what would be started, --no-check skips the check of data and weights. With several configs, --work-dir DIR
is the parent of their work dirs; a config without a checkpoint after it is tested with the last one of its run, and --out (metrics.json)
and --dump name files in the work dir of each.
"""

import argparse
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from mmlabelpenet.commands import test, train
from mmlabelpenet.options import Parser
from mmlabelpenet.processes import become
from mmlabelpenet.terminal import say

USAGE = {
    'train': 'bash tools/dist_train.sh CONFIG... GPUS [arguments of tools/train.py]',
    'test': 'bash tools/dist_test.sh CONFIG [CHECKPOINT]... GPUS [arguments of tools/test.py]',
    'slurm': 'bash tools/slurm_train.sh PARTITION CONFIG... GPUS [arguments of tools/train.py]',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 if a config failed or could not be started, 2 without arguments."""
    kind, *words = (sys.argv[1:] if argv is None else argv) or ['--help']
    asked = {'-h', '--help'} & {kind, *words[:1]}
    if asked or kind not in USAGE:
        (sys.stdout if asked else sys.stderr).write(f'{__doc__}\n')
        return 0 if asked else 2
    if not words:
        sys.stderr.write(f'Usage: {USAGE[kind]}\n')
        return 2
    partition = words.pop(0) if kind == 'slurm' else None
    inputs, gpus, options = split_words(words, USAGE[kind])
    own, options = take_options(options, flags=('--dry-run', '--no-check'))
    tool = 'test.py' if kind == 'test' else 'train.py'

    from mmlabelpenet.workbench.experiments.batch import dry_run
    from mmlabelpenet.workbench.experiments.launch import Launch

    launch = Launch(gpus, partition, torchrun=True)
    command = launch.command(tool, inputs, options)
    if not own.dry_run:
        check_machine(gpus, partition)
    if len(inputs) == 1 if kind != 'test' else len(inputs) == 2 and not inputs[1].endswith('.py'):
        check_single(tool, inputs, options, look=not own.no_check)
        if not own.dry_run:
            become(command)
        say(shlex.join(command))
        return 0
    jobs = make_tests(inputs, options) if kind == 'test' else make_trainings(inputs, options)
    if not own.dry_run:
        return carry_out(jobs, launch, check=not own.no_check)
    for line in dry_run(jobs, launch, check=not own.no_check):
        say(line)
    return 0


def split_words(words: Sequence[str], usage: str) -> tuple[list[str], int, list[str]]:
    """Split the arguments into those before the number of GPUs, the number, and those after it.

    Raises:
        ValueError: there is no number, no config before it, or an option before it.

    >>> split_words(['a.py', 'b.py', '4', '--amp'], 'usage')
    (['a.py', 'b.py'], 4, ['--amp'])
    """
    position = next((index for index, word in enumerate(words) if word.isdecimal()), None)
    before = [*words[:position]]
    if option := next((word for word in before if word.startswith('-')), None):
        raise ValueError(f'{option} precedes the number of GPUs; options must follow it. Usage: {usage}')
    if position is None or not before:
        raise ValueError(f'{"The number of GPUs" if position is None else "The config"} is missing. Usage: {usage}')
    if int(words[position]) < 1:
        raise ValueError(f'At least one GPU is needed, got {words[position]}. Usage: {usage}')
    if not before[0].endswith('.py'):
        raise ValueError(f'{before[0]!r} is not a config (a .py file). Usage: {usage}')
    return before, int(words[position]), [*words[position + 1 :]]


def take_options(words: Sequence[str], flags: Sequence[str] = (), values: Sequence[str] = ()) -> tuple[argparse.Namespace, list[str]]:
    """Extract some options from a list: ``flags``, and options with ``values``.

    >>> take_options(['--a', '--out', 'x', '--b'], ['--b'], ['--out'])
    (Namespace(b=True, out='x'), ['--a'])
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    for name in flags:
        parser.add_argument(name, action='store_true')
    for name in values:
        parser.add_argument(name)
    return parser.parse_known_args([*words])


def check_machine(gpus: int, partition: str | None) -> None:
    """Check that Slurm is installed if it is requested, and that a machine with GPUs has one per process. Without GPUs, processes run on
    the CPU.
    """
    if partition is not None:
        if shutil.which('srun') is None:
            raise FileNotFoundError('Slurm is not installed: the command srun was not found.')
        return
    import torch

    if torch.cuda.is_available() and gpus > torch.cuda.device_count():
        raise ValueError(f'{gpus} GPUs were requested, but this machine has {torch.cuda.device_count()}.')


def check_single(tool: str, inputs: Sequence[str], options: Sequence[str], look: bool) -> None:
    """Check a single config here, so that an error is printed once instead of by each process."""
    from mmlabelpenet.workbench.experiments.jobs import EvaluationJob, TrainingJob

    if tool == 'test.py':
        args = test.parse_args([*inputs, *options])
        if look:
            EvaluationJob(Path(args.config), overrides=args.cfg_options, given=Path(args.checkpoint), corloc=args.corloc).check()
    else:
        args = train.parse_args([*inputs, *options])
        if look:
            TrainingJob(Path(args.config), (), args.cfg_options, args.work_dir and Path(args.work_dir)).check(resume=args.resume)


def make_trainings(paths: Sequence[str], options: Sequence[str]) -> list:
    """A job for each config, in ``<--work-dir>/<config name>`` or the config's own folder."""
    from mmlabelpenet.workbench.experiments.jobs import TrainingJob

    own, rest = take_options(options, values=['--work-dir'])
    args = train.parse_args([paths[0], *rest])
    if args.work_dir or args.resume not in (None, 'auto'):
        raise ValueError(
            'Several configs cannot resume from one checkpoint; use --work-dir (not abbreviated) for the parent of their work dirs.'
        )
    words = tuple(word for word in rest if word not in ('--resume', '--resume=auto'))  # all are resumed
    return [TrainingJob(path, words, args.cfg_options, folder(own.work_dir, path)) for path in once(paths)]


def make_tests(words: Sequence[str], options: Sequence[str]) -> list:
    """A job for each config, with the checkpoint given after it or the last one of its run."""
    from mmlabelpenet.workbench.experiments.jobs import EvaluationJob

    own, rest = take_options(options, values=['--work-dir', '--out', '--dump'])
    args = test.parse_args([words[0], 'iter_<n>.pth', *rest])
    for option, name in (('--out', own.out), ('--dump', own.dump)):
        if name and Path(name).is_absolute():
            raise ValueError(f'With several configs, {option} must be a file name, used in the work dir of each config, got {name!r}.')
    given = {Path(word): Path(after) for word, after in zip(words, words[1:]) if word.endswith('.py') and not after.endswith('.py')}
    if strangers := [word for word in words if not word.endswith('.py') and Path(word) not in given.values()]:
        raise ValueError(f'{strangers[0]!r} is neither a config nor the checkpoint of the preceding config.')
    same = dict(stage=args.stage, corloc=args.corloc, tta=args.tta, out=own.out or 'metrics.json', dump=own.dump)
    return [
        EvaluationJob(path, tuple(rest), args.cfg_options, folder(own.work_dir, path), given.get(path), **same)
        for path in once([word for word in words if word.endswith('.py')])
    ]


def folder(parent: str | None, path: Path) -> Path | None:
    """The work dir of one of several runs."""
    return Path(parent, path.stem) if parent else None


def once(paths: Sequence[str]) -> list[Path]:
    """Each config once, with a message for duplicates."""
    for path in dict.fromkeys(path for path in paths if paths.count(path) > 1):
        sys.stderr.write(f'{path} is given twice; the duplicate is ignored.\n')
    return list(dict.fromkeys(map(Path, paths)))


def carry_out(jobs: list, launch, check: bool) -> int:
    """Run all jobs, report their results, and show the table."""
    from mmlabelpenet.workbench.experiments.batch import carry_out_all, outcome_table

    def note(text: str) -> None:
        say(f'[{datetime.now():%Y-%m-%d %H:%M:%S}] {text}')

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also terminates started processes
    outcomes = []
    for outcome in carry_out_all(jobs, launch, check, begin=lambda job: note(f'{job}: started, output in {job.log}')):
        note(outcome.after(outcomes))
        outcomes.append(outcome)
    outcomes.sort(key=lambda outcome: jobs.index(outcome.job))
    say(f'\n{outcome_table(outcomes)}')
    lacking = [outcome for outcome in outcomes if outcome.status in ('failed', 'left out')]
    if lacking:
        say(f'\nNot finished: {len(lacking)} of {len(jobs)}. Run the same command again to complete them.')
    return 1 if lacking else 0
