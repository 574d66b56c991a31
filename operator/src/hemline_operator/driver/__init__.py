"""The lifecycle on Kubernetes: kopf watches, a queue of classifiers, one reconciler, one thin API client."""

from hemline_operator.driver._run import run
from hemline_operator.driver._settings import Settings

__all__ = ["Settings", "run"]
