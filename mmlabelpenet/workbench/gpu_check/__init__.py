"""Check a GPU set-up in some minutes: what works, how fast the paper's network trains, and a real training in the time that is left.

:mod:`~mmlabelpenet.workbench.gpu_check.sections` runs each section in a process of its own and keeps what it measured when it is cut off.
"""
