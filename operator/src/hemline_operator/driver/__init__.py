"""The lifecycle on Kubernetes: kopf watches, a queue of classifiers, one reconciler, one thin API client."""

from hemline_operator.driver._run import run
from hemline_operator.driver._settings import Settings
from hemline_operator.driver._watch import login, watch_settings

__all__ = ["Settings", "login", "run", "watch_settings"]
