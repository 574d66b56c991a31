"""`python -m hemline_broker`: the command line. Extra `cli`."""

from hemline_broker.cli import app

app(prog_name="hemline-broker")
