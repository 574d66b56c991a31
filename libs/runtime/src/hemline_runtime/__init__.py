"""The process kit of Hemline's services: command line, logging, signals, metrics and health endpoints."""

from hemline_runtime._broker import BrokerMetrics
from hemline_runtime._cli import Failure, UsageFailure, main
from hemline_runtime._http import HttpEndpoint
from hemline_runtime._logging import LogFormat, configure_logging
from hemline_runtime._metrics import Metrics
from hemline_runtime._signals import stop_event

__all__ = [
    "BrokerMetrics",
    "Failure",
    "HttpEndpoint",
    "LogFormat",
    "Metrics",
    "UsageFailure",
    "configure_logging",
    "main",
    "stop_event",
]
