"""Processes that help another."""

import os
import threading
import time


def end_with(parent: int) -> None:
    """End this process within a second or two of its parent, even where that was killed.

    Args:
        parent: process id of the parent, which is the parent now.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
