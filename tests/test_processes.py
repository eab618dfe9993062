"""A helping process does not outlive its parent."""

import os
import signal
import time

from mmlabelpenet.processes import end_with


def test_a_helper_ends_with_its_killed_parent():
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        me = os.getpid()
        helper = os.fork()
        if helper == 0:
            end_with(me)
            time.sleep(60)
            os._exit(0)
        os.write(write, str(helper).encode())
        time.sleep(60)
        os._exit(0)
    os.close(write)
    helper = int(os.read(read, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    # The helper's end of the pipe closes when it ends.
    begin = time.monotonic()
    assert os.read(read, 1) == b'' and time.monotonic() - begin < 30
    os.close(read)
