"""The live view of a running installation."""

from hemline.top._command import top
from hemline.top._lines import event_line, state_line
from hemline.top._moving import Point, moving_accuracy
from hemline.top._render import render
from hemline.top._screen import Screen
from hemline.top._sparkline import sparkline
from hemline.top._view import Inference, LogLine, Observed, VersionLine, View, make_view
from hemline.top._watcher import Watcher

__all__ = [
    "Inference",
    "LogLine",
    "Observed",
    "Point",
    "Screen",
    "VersionLine",
    "View",
    "Watcher",
    "event_line",
    "make_view",
    "moving_accuracy",
    "render",
    "sparkline",
    "state_line",
    "top",
]
