"""The lake of one classifier: where its model versions, reports and sample tables live."""

from collections.abc import Mapping

from hemline_store._models import ModelStore
from hemline_store._names import checked_name
from hemline_store._objects import Objects, absolute_uri, allows_http
from hemline_store._reports import Reports

__all__ = ["Lake"]


class Lake:
    """One classifier's part of a lake: ``<uri>/<classifier>/{models,reports,samples}``.

    Args:
        uri: a folder, ``file:///folder``, ``s3://bucket/folder`` or ``gs://bucket/folder``. Credentials come from
            the environment (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``GOOGLE_SERVICE_ACCOUNT``, ...).
        classifier: name of the classifier, a folder name.
        options: storage options before those of the environment, by their object-store names
            (``aws_endpoint``, ``aws_region``, ...).

    Raises:
        InvalidOption: the address or the name cannot be used.
    """

    def __init__(
        self, uri: str, classifier: str, *, options: Mapping[str, str] | None = None
    ) -> None:
        """Open the lake; nothing is read yet."""
        self.classifier = checked_name(classifier, "classifier")
        self.uri = f"{absolute_uri(uri)}/{self.classifier}"
        self.objects = Objects(self.uri, options=options)
        self.models = ModelStore(self.objects)
        self.reports = Reports(self.objects)
        self._options = dict(options or {})

    @property
    def storage_options(self) -> dict[str, str]:
        """What the sample tables are opened with."""
        plain = {"allow_http": "true"} if allows_http(self._options) else {}
        return {**plain, **self._options}

    def __repr__(self) -> str:
        """The address, without options, which may hold secrets."""
        return f"Lake({self.uri!r})"
