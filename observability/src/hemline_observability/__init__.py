"""Hemline's Grafana dashboards as typed code; ``python -m hemline_observability FOLDER`` writes them."""

from hemline_observability._fleet import fleet
from hemline_observability._quality import quality
from hemline_observability._stream import stream

__all__ = ["DASHBOARDS"]

DASHBOARDS = {"stream": stream, "quality": quality, "fleet": fleet}
"""What builds each dashboard, by file name."""
