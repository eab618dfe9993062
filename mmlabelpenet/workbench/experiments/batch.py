"""Run jobs one after another, or all at once under Slurm: all are checked first, finished ones are skipped, and a failure does not stop the
others.
"""

import datetime
import json
import os
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import Literal

from torch.distributed import TCPStore

from mmlabelpenet.workbench.experiments.jobs import Job
from mmlabelpenet.workbench.experiments.launch import TOOLS, Launch, execute, last_error

Status = Literal['done', 'skipped', 'left out', 'failed']
_FAULTS = (ValueError, OSError, KeyError, TypeError, AttributeError)
_PATIENCE = datetime.timedelta(minutes=30)  # timeout of nodes that wait for the others to start


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Attributes:
        status: ``'skipped'`` if it was finished before, ``'left out'`` if it was not started because something is missing.
        message: the reason if it was not started or failed.
    """

    job: Job
    status: Status
    message: str = ''

    def __str__(self) -> str:
        return f'{self.job}: {self.status}{_appended(self.message)}'

    def after(self, others: Iterable['Outcome']) -> str:
        """A copy in which a reason given before is replaced by a reference.

        >>> first, second = Outcome('a.py', 'left out', 'no data'), Outcome('b.py', 'left out', 'no data')
        >>> first.after([]), second.after([first])
        ('a.py: left out, no data', 'b.py: left out, same as a.py')
        """
        same = next((other for other in others if (other.status, other.message) == (self.status, self.message)), None)
        return f'{self.job}: {self.status}, same as {same.job}' if same and self.status == 'left out' else str(self)


def _appended(message: str) -> str:
    if '\n' in message:
        return '\n' + indent(message, '    ')
    return f', {message}' if message else ''


def carry_out_all(
    jobs: Sequence[Job], launch: Launch, check: bool = True, begin: Callable[[Job], None] = lambda job: None
) -> Iterator[Outcome]:
    """Check all jobs, then run them: one after another, or all at once under Slurm, which queues them.

    On several nodes, call this on each; a job is started only if all nodes can start it.

    Args:
        check: first check the inputs of all jobs, and do not start those that lack something.
        begin: called before each started job.

    Yields:
        outcomes: first those of jobs that are not started, then the others in order.
    """
    verdicts = judge(jobs, launch, check)
    if launch.partition is None:
        node, nodes = (int(os.environ.get(name, default)) for name, default in (('NODE_RANK', 0), ('NNODES', 1)))
        verdicts = agree(verdicts, jobs, launch.port, node, nodes)
    yield from filter(None, verdicts)

    def carry_out(job: Job, launch: Launch) -> Outcome:
        if verdict := _verdict(job, launch, check):
            return verdict
        begin(job)
        return _carry_out(job, launch)

    ready = [job for job, verdict in zip(jobs, verdicts) if verdict is None]
    if launch.partition is None:
        yield from (carry_out(job, launch) for job in ready)
    elif ready:
        with ThreadPoolExecutor(len(ready)) as pool:
            yield from pool.map(carry_out, ready, _launches(launch, len(ready)))


def dry_run(jobs: Sequence[Job], launch: Launch, check: bool = True) -> Iterator[str]:
    """The commands of all jobs, preceded by a line starting with ``#`` for each job; arguments as for :func:`carry_out_all`."""
    verdicts = judge(jobs, launch, check)
    launches = iter(_launches(launch, len(jobs)))
    for index, (job, verdict) in enumerate(zip(jobs, verdicts)):
        text = verdict.after(filter(None, verdicts[:index])) if verdict else str(job)
        yield '# ' + text.replace('\n', '\n# ')
        if verdict is None:
            yield from map(shlex.join, job.commands(next(launches)))


def judge(jobs: Sequence[Job], launch: Launch, check: bool = True) -> list[Outcome | None]:
    """Outcomes of jobs that are finished or cannot be started; None for those that can.

    A job may read files that an earlier one will write, and no two may share a folder.
    """
    verdicts: list[Outcome | None] = []
    promised: set[Path] = set()
    folders: dict[Path, Job] = {}
    for job in jobs:
        verdict = _verdict(job, launch, check, promised, folders)
        if verdict is None and launch.partition is None and job.product:
            promised.add(job.product.resolve())
        verdicts.append(verdict)
    return verdicts


def _verdict(
    job: Job, launch: Launch, check: bool, promised: Collection[Path] = (), folders: dict[Path, Job] | None = None
) -> Outcome | None:
    try:
        first = job if folders is None else folders.setdefault(job.work_dir.resolve(), job)
        if first is not job:
            return Outcome(job, 'left out', f'its folder {job.work_dir} is also used by {first}. Rename one, or set its work_dir.')
        if not job.commands(launch):
            return Outcome(job, 'skipped', 'done before')
        if check:
            job.check(promised)
    except _FAULTS as error:
        return Outcome(job, 'left out', _text(error))
    return None


def _carry_out(job: Job, launch: Launch) -> Outcome:
    for command in job.commands(launch):
        if execute(command, job.log):
            return Outcome(job, 'failed', f'{_step(command)}: {last_error(job.log)} ({job.log})')
    try:
        job.confirm()
    except _FAULTS as error:
        return Outcome(job, 'failed', f'{_text(error)} ({job.log})')
    return Outcome(job, 'done')


def _launches(launch: Launch, count: int) -> list[Launch]:
    """Slurm jobs run in parallel and need different ports."""
    return [replace(launch, port=launch.port + number) if launch.partition else launch for number in range(count)]


def agree(verdicts: list[Outcome | None], jobs: Sequence[Job], port: int, node: int, nodes: int) -> list[Outcome | None]:
    """Merge the findings of all nodes, so that they start the same jobs; does nothing on a single node.

    Args:
        port: port on ``MASTER_ADDR`` on which the first node listens.
        node: index of this node.

    Raises:
        ValueError: the nodes have different jobs.
    """
    if nodes == 1:
        return verdicts
    store = TCPStore(os.environ.get('MASTER_ADDR', '127.0.0.1'), port, nodes, node == 0, _PATIENCE)
    mine = [(str(job), verdict and verdict.status, verdict and verdict.message) for job, verdict in zip(jobs, verdicts)]
    store.set(f'verdicts {node}', json.dumps(mine))
    found = [json.loads(store.get(f'verdicts {number}')) for number in range(nodes)]
    store.set(f'read {node}', '')
    if node == 0:  # the first node serves the others
        store.wait([f'read {number}' for number in range(nodes)], _PATIENCE)
    if any([name for name, *_ in theirs] != [str(job) for job in jobs] for theirs in found):
        raise ValueError('The nodes were started with different configs. Run the same command on each.')
    return [_together(job, [theirs[index][1:] for theirs in found]) for index, job in enumerate(jobs)]


def _together(job: Job, verdicts: list[list[str | None]]) -> Outcome | None:
    lacking = {node: message for node, (status, message) in enumerate(verdicts) if status == 'left out'}
    if lacking:
        node, message = next(iter(lacking.items()))
        everywhere = len(lacking) == len(verdicts) and len(set(lacking.values())) == 1
        return Outcome(job, 'left out', str(message) if everywhere else f'node {node}: {message}')
    done = [node for node, (status, _) in enumerate(verdicts) if status == 'skipped']
    if len(done) == len(verdicts):
        return Outcome(job, 'skipped', 'done before')
    return Outcome(job, 'left out', f'finished only on node {done[0]}: all nodes must share a work dir.') if done else None


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, ValueError | OSError) else f'{type(error).__name__}: {error}'


def _step(command: Sequence[str]) -> str:
    return next(Path(word).name for word in command if Path(word).parent == TOOLS)


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """One line for each job, with the reason if it was not completed.

    >>> print(outcome_table([Outcome('a.py', 'done'), Outcome('longer.py', 'failed', 'it\\n    broke\\ntwice')]))
    config     result  reason
    a.py       done
    longer.py  failed  it broke (and 1 more, see above)
    """
    rows = [('config', 'result', 'reason'), *((str(o.job), o.status, _first_reason(o.message)) for o in outcomes)]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return '\n'.join(f'{name:{first}}  {status:{second}}  {reason}'.rstrip() for name, status, reason in rows)


def _first_reason(message: str) -> str:
    """Shorten many reasons to one line; an indented line belongs to the previous one."""
    first, *others = re.split(r'\n(?! )', message)
    return ' '.join(first.split()) + (f' (and {len(others)} more, see above)' if others else '')
