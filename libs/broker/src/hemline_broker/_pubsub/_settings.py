"""The options of the Pub/Sub driver, from the URL and the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hemline_broker._errors import InvalidOption
from hemline_broker._url import BrokerURL, Options, positive

GLOBAL_ENDPOINT = "pubsub.googleapis.com:443"
_PROJECT = re.compile(r"[a-z][a-z0-9.:-]{0,99}\Z")
_LEASE_S = (10, 600)
# An emulator takes shorter ones, which spare tests the wait.
_EMULATOR_LEASE_S = (1, 600)
_RETENTION_S = (600, 31 * 86_400)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a URL and the environment say; see the package's docstring.

    Attributes:
        project: id of the Google Cloud project.
        endpoint: host and port.
        secure: TLS with the application default credentials; else plaintext without any.
        lease_s: seconds.
        max_lease_s: seconds.
        retention_s: seconds, 0 for none.
    """

    project: str
    endpoint: str
    secure: bool
    lease_s: int
    max_lease_s: float
    retention_s: int

    @classmethod
    def parse(cls, url: BrokerURL, environment: Mapping[str, str] | None = None) -> Settings:
        """Check a URL.

        Raises:
            InvalidOption: no project, an unknown option, or a value out of range.
        """
        project = url.rest.strip("/")
        if not _PROJECT.match(project):
            raise InvalidOption(
                f"a pubsub URL names a Google Cloud project, pubsub://my-project; got {project!r}"
            )
        variables = os.environ if environment is None else environment
        options = Options(url.options, "pubsub")
        emulator = variables.get("PUBSUB_EMULATOR_HOST")
        if emulator and "endpoint" not in url.options:
            try:
                _address(emulator)
            except ValueError as error:
                raise InvalidOption(f"PUBSUB_EMULATOR_HOST={emulator!r}: {error}") from error
        endpoint = options.take("endpoint", _address, emulator or GLOBAL_ENDPOINT)
        host, _, port = endpoint.rpartition(":")
        usual = "tls" if host.endswith(".googleapis.com") or port == "443" else "plaintext"
        secure = options.choice("security", {"tls": True, "plaintext": False}, usual)
        settings = cls(
            project=project,
            endpoint=endpoint,
            secure=secure,
            lease_s=options.take("lease", _seconds(_LEASE_S if secure else _EMULATOR_LEASE_S), 15),
            max_lease_s=options.take("max_lease", positive, 3600.0),
            retention_s=options.take("retention", _retention, 86_400),
        )
        options.finish()
        return settings


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or "/" in host or not (port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError("expected host:port, such as localhost:8085")
    return text


def _retention(text: str) -> int:
    return 0 if text == "0" else _seconds(_RETENTION_S)(text)


def _seconds(bounds: tuple[int, int]) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isdecimal() and bounds[0] <= int(text) <= bounds[1]):
            raise ValueError(f"expected {bounds[0]:,} to {bounds[1]:,} whole seconds")
        return int(text)

    return parse
