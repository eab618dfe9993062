"""The commands that people use, each with a ``main``: ``mmlabelpenet NAME`` and the scripts of ``tools`` run the same functions."""
