"""The process kit of Hemline's services: command line, logging, signals, metrics and health endpoints."""

__all__: list[str] = []
