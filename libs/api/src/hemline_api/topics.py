"""Names of topics: one classifier has four."""

import re
from dataclasses import dataclass

from hemline_api._errors import ApiError

__all__ = ["Topics"]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_NAME = 63


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one classifier.

    Args:
        classifier: its name, a DNS label as in Kubernetes (``mnist``, ``shop-photos``).
        namespace: prefixed when given, so that two namespaces can share a broker.

    Raises:
        ApiError: a name is no DNS label.
    """

    classifier: str
    namespace: str = ""

    def __post_init__(self) -> None:
        """Refuse names that some backend would refuse later."""
        for what, name in (("classifier", self.classifier), ("namespace", self.namespace)):
            if what == "namespace" and not name:
                continue
            if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
                raise ApiError(
                    f"{what} name: received {name!r}, expected at most {_MAX_NAME} characters of "
                    "a-z, 0-9 and '-', beginning and ending with a letter or digit"
                )

    @property
    def images(self) -> str:
        """Encoded images to classify."""
        return self._topic("images")

    @property
    def predictions(self) -> str:
        """Answers, at least one per image."""
        return self._topic("predictions")

    @property
    def labels(self) -> str:
        """True labels, late."""
        return self._topic("labels")

    @property
    def dead(self) -> str:
        """What could not be processed, with the reason."""
        return self._topic("dead")

    def all(self) -> tuple[str, str, str, str]:
        """Every topic of the classifier."""
        return (self.images, self.predictions, self.labels, self.dead)

    def _topic(self, role: str) -> str:
        prefix = f"{self.namespace}." if self.namespace else ""
        return f"{prefix}{self.classifier}.{role}"
