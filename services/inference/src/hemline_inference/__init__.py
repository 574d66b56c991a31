"""Images in, predictions out, models swapped while the stream flows."""

from hemline_inference._errors import InferenceError, VersionRefused, VersionUnavailable
from hemline_inference._service import Service, serve
from hemline_inference._settings import Limits, Settings, Timing

__all__ = [
    "InferenceError",
    "Limits",
    "Service",
    "Settings",
    "Timing",
    "VersionRefused",
    "VersionUnavailable",
    "serve",
]
