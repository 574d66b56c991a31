"""`python -m hemline_broker`: the command line. Extra `cli`."""

import sys

try:
    import typer  # noqa: F401
except ModuleNotFoundError:
    sys.exit("error: the command line needs typer: pip install 'hemline-broker[cli]'")

from hemline_broker.cli import app

app(prog_name="hemline-broker")
