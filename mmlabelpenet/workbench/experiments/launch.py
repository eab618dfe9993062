"""Commands that run ``tools/train.py`` and ``tools/test.py`` on this machine, on several machines, or under Slurm."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from mmlabelpenet.files import make_folder, shipped
from mmlabelpenet.processes import LAUNCHER

TOOLS = shipped('tools')
_SCRIPTS = {'train.py': 'dist_train.sh', 'test.py': 'dist_test.sh'}
_ERROR = re.compile(r'(\[rank\d+\]:\s*)?(?P<line>(?!torch\.distributed\.elastic)([\w.]*(Error|Exception|Interrupt|Exit)|srun: error)\b.*)')
_ENDED = re.compile(r'(traceback : )?(?P<line>(Signal|torch\.distributed\.elastic).*)')
_ON_A_NODE = (  # for Slurm: torchrun's settings of this node, then the script
    'export NNODES={nodes} PORT={port} NODE_RANK=$SLURM_NODEID '
    'MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1); exec bash "$0" "$@"'
)


@dataclass(frozen=True)
class Launch:
    """How a training or test is launched.

    Attributes:
        gpus: number of GPUs of this machine, or with ``partition`` of all nodes; one process per GPU.
        partition: Slurm partition; None runs locally.
        torchrun: use torchrun even for a single process.
        port: rendezvous port; the environment's ``PORT``, or 29500.
    """

    gpus: int = 1
    partition: str | None = None
    torchrun: bool = False
    port: int = field(default_factory=lambda: int(os.environ.get('PORT', 29500)))

    def command(self, tool: str, inputs: Sequence[str], options: Sequence[str] = ()) -> list[str]:
        """The command that runs a tool.

        It also depends on environment variables; locally: ``NNODES``, ``NODE_RANK``, ``MASTER_ADDR``; with Slurm: ``GPUS_PER_NODE``,
        ``CPUS_PER_TASK``, ``JOB_NAME``, ``SRUN_ARGS``.

        Args:
            tool: ``'train.py'`` or ``'test.py'``.

        Raises:
            ValueError: the number of GPUs is not a multiple of the GPUs per node.

        >>> Launch().command('train.py', ['a.py'], ['--resume'])[2:]
        ['a.py', '--resume']
        >>> Launch(4).command('train.py', ['a.py'], ['--resume'])[-4:]
        ['a.py', '--launcher', 'pytorch', '--resume']
        """
        if self.partition is not None:
            return self._srun(_SCRIPTS[tool], inputs, options)
        script = str(TOOLS / tool)
        if self.gpus == 1 and not self.torchrun:
            return [sys.executable, script, *inputs, *options]
        places = {'--nnodes': 'NNODES', '--node-rank': 'NODE_RANK', '--master-addr': 'MASTER_ADDR'}
        defaults = dict(NNODES='1', NODE_RANK='0', MASTER_ADDR='127.0.0.1')
        words = [word for option, name in places.items() for word in (option, os.environ.get(name, defaults[name]))]
        words += ['--master-port', str(self.port), '--nproc-per-node', str(self.gpus), '--log-dir', os.devnull]  # no files in /tmp
        return [sys.executable, '-m', 'torch.distributed.run', *words, script, *inputs, '--launcher', 'pytorch', *options]

    def _srun(self, script: str, inputs: Sequence[str], options: Sequence[str]) -> list[str]:
        """One launcher for each node."""
        per_node = int(os.environ.get('GPUS_PER_NODE', min(self.gpus, 8)))
        nodes = -(-self.gpus // per_node)
        if nodes * per_node != self.gpus:
            raise ValueError(f'GPUS must be a multiple of GPUS_PER_NODE, got {self.gpus} and {per_node}.')
        words = ['-p', str(self.partition), '--job-name', os.environ.get('JOB_NAME', 'labelpenet'), '--nodes', str(nodes)]
        words += ['--ntasks', str(nodes), '--ntasks-per-node', '1', '--gres', f'gpu:{per_node}']
        words += ['--cpus-per-task', os.environ.get('CPUS_PER_TASK', str(4 * per_node)), '--kill-on-bad-exit=1']
        on_a_node = _ON_A_NODE.format(nodes=nodes, port=self.port)
        words += [*shlex.split(os.environ.get('SRUN_ARGS', '')), 'bash', '-c', on_a_node, str(TOOLS / script)]
        return ['srun', *words, *inputs, str(per_node), *options]


def execute(command: Sequence[str], log: Path) -> int:
    """Run a command, append its output to a file, and return its exit code. It is terminated if this process is interrupted or killed."""
    make_folder(log.parent)
    with log.open('a', encoding='utf-8') as file:
        file.write(f'$ {shlex.join(command)}\n')
        file.flush()
        with subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=os.environ | {LAUNCHER: str(os.getpid())}) as process:
            try:
                return process.wait()
            except BaseException:
                process.terminate()  # torchrun terminates the processes that it has started
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                raise


def last_error(log: Path) -> str:
    """The last error line in the output of the last command, with its indented lines; or else the last line.

    Errors of the processes precede torchrun's summary of their exit.
    """
    text = log.read_text(encoding='utf-8', errors='replace') if log.is_file() else ''
    output = re.split(r'^\$ .*$', text, flags=re.MULTILINE)[-1]
    lines = [line for line in output.splitlines() if line.strip()]
    for pattern in (_ERROR, _ENDED):
        if found := [(number, match['line']) for number, line in enumerate(lines, 1) if (match := pattern.match(line.strip()))]:
            number, line = found[-1]
            return '\n'.join([line, *takewhile(lambda after: after[0].isspace(), lines[number:])])
    return lines[-1].strip() if lines else 'no output'
