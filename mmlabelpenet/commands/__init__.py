"""User commands, each with a ``main`` function that both ``mmlabelpenet NAME`` and the scripts in ``tools`` call."""
