"""Check a GPU setup within minutes: functionality, speed of the paper's network, and a short training.

:mod:`~mmlabelpenet.workbench.gpu_check.sections` runs each section in its own process and keeps its results if it times out.
"""
