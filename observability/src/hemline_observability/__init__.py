"""Hemline's Grafana dashboards as typed code; ``python -m hemline_observability FOLDER`` writes them."""

from hemline_observability._stream import stream

__all__ = ["DASHBOARDS"]

DASHBOARDS = {"stream": stream}
"""What builds each dashboard, by file name."""
