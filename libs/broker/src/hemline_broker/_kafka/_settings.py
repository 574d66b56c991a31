"""The options of the Kafka driver, from the URL and the environment."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hemline_broker._errors import InvalidOption
from hemline_broker._url import BrokerURL, Options, positive

_PROTOCOLS = {
    "plaintext": "PLAINTEXT",
    "ssl": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_ssl": "SASL_SSL",
}
_HOUR_MS = 3_600_000
_MOST_LINGER_MS = 900_000
_MECHANISMS = {
    "plain": "PLAIN",
    "scram-sha-256": "SCRAM-SHA-256",
    "scram-sha-512": "SCRAM-SHA-512",
    "oauthbearer": "OAUTHBEARER",
}
_FILES = {
    "ssl.ca.location": "option ca (HEMLINE_KAFKA_CA_FILE)",
    "ssl.certificate.location": "HEMLINE_KAFKA_CERT_FILE",
    "ssl.key.location": "HEMLINE_KAFKA_KEY_FILE",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a URL and the environment say; see the package's docstring.

    Attributes:
        client: librdkafka's settings that producer, consumer and administration share; may hold secrets, so it
            stays out of the repr.
        group_protocol: classic, consumer, or auto.
        session_ms: milliseconds after which a silent consumer of the classic protocol loses its partitions.
        max_poll_ms: milliseconds; librdkafka's limit between polls, which ours never come near.
        linger_ms: milliseconds a message of a large `send_many` waits for company; small ones never wait.
        compression: codec of the producer.
        replication: replicas of a new topic, -1 for the broker's default.
        partitions: fewest partitions of a new topic.
        retention_s: seconds that a new topic keeps messages, None for the broker's default.
        transactional_id: names this process among those that transact; the same after its restart, or a random one.
        transaction_ms: milliseconds after which the brokers end the transaction of a process that died.
        drain_s: seconds that a rebalance waits for deliveries in hand.
    """

    client: Mapping[str, Any] = field(repr=False)
    group_protocol: str
    session_ms: int
    max_poll_ms: int
    linger_ms: float
    compression: str
    replication: int
    partitions: int
    retention_s: int | None
    transactional_id: str
    transaction_ms: int
    drain_s: float

    @classmethod
    def parse(cls, url: BrokerURL, environment: Mapping[str, str] | None = None) -> Settings:
        """Check a URL.

        Raises:
            InvalidOption: no servers, an unknown option, a value out of range, or credentials that do not go
                together.
        """
        servers = url.rest.strip("/")
        if not servers:
            raise InvalidOption("a kafka URL names its servers: kafka://host:9092,host:9092")
        options = Options(url.options, "kafka")
        client = _security(options, os.environ if environment is None else environment)
        settings = cls(
            client={
                "bootstrap.servers": servers,
                "client.id": options.take("client_id", str, "hemline-broker"),
                "socket.nagle.disable": True,
                **client,
            },
            group_protocol=options.choice(
                "group_protocol",
                {name: name for name in ("auto", "classic", "consumer")},
                "classic",
            ),
            session_ms=options.take("session_ms", _between(1, _HOUR_MS), 10_000),
            max_poll_ms=options.take("max_poll_ms", _between(1, 24 * _HOUR_MS), 300_000),
            linger_ms=options.take("linger_ms", _linger, 5.0),
            compression=options.choice(
                "compression", {c: c for c in ("none", "lz4", "zstd", "gzip", "snappy")}, "none"
            ),
            replication=options.take("replication", int, -1),
            partitions=options.take("partitions", _at_least_one, 1),
            retention_s=options.take("retention", _at_least_one, None),
            transactional_id=options.take("transactional_id", str, uuid.uuid4().hex),
            transaction_ms=options.take("transaction_ms", _between(1_000, _HOUR_MS), 30_000),
            drain_s=options.take("drain", positive, 5.0),
        )
        options.finish()
        if settings.session_ms > settings.max_poll_ms:
            raise InvalidOption(
                f"session_ms={settings.session_ms} is more than max_poll_ms={settings.max_poll_ms}; "
                "Kafka wants it to be at most that"
            )
        return settings


def consumer_settings(
    settings: Settings, group: str, max_message_bytes: int, *, modern: bool
) -> dict[str, Any]:
    """librdkafka's settings for a consumer whose offsets we commit ourselves."""
    protocol: dict[str, Any] = (
        {"group.protocol": "consumer"}
        if modern
        else {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": settings.session_ms,
            "heartbeat.interval.ms": max(settings.session_ms // 4, 200),
        }
    )
    return {
        **settings.client,
        **protocol,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A group has committed offsets before it has members; this is for what retention has deleted.
        "auto.offset.reset": "earliest",
        "max.poll.interval.ms": settings.max_poll_ms,
        "fetch.message.max.bytes": max(max_message_bytes + 65_536, 1_048_576),
        "queued.max.messages.kbytes": 65_536,
        "fetch.queue.backoff.ms": 20,
    }


def _security(options: Options, environment: Mapping[str, str]) -> dict[str, Any]:
    """TLS and SASL. Secrets come from the environment alone."""

    def variable(name: str) -> str | None:
        return environment.get(f"HEMLINE_KAFKA_{name}") or None

    username, password = variable("USERNAME"), variable("PASSWORD")
    mechanism = options.choice("sasl", {**_MECHANISMS, "": None}, _low(variable("SASL_MECHANISM")))
    ca = options.take("ca", str, variable("CA_FILE") or "")
    usual = "plaintext"
    if mechanism is not None:
        usual = "sasl_ssl"
    elif any((ca, variable("CA_PEM"), variable("CERT_FILE"), variable("CERT_PEM"))):
        usual = "ssl"
    protocol = options.choice("security", _PROTOCOLS, _low(variable("SECURITY_PROTOCOL")) or usual)
    found: dict[str, Any] = {}
    if protocol != "PLAINTEXT":
        found["security.protocol"] = protocol
    if protocol.endswith("SSL"):
        _check_pair(variable)
        secure = {
            "ssl.ca.location": ca or None,
            "ssl.ca.pem": None if ca else variable("CA_PEM"),
            "ssl.certificate.location": variable("CERT_FILE"),
            "ssl.certificate.pem": None if variable("CERT_FILE") else variable("CERT_PEM"),
            "ssl.key.location": variable("KEY_FILE"),
            "ssl.key.pem": None if variable("KEY_FILE") else variable("KEY_PEM"),
            "ssl.key.password": variable("KEY_PASSWORD"),
        }
        found.update({name: value for name, value in secure.items() if value})
    if protocol.startswith("SASL"):
        mechanism = mechanism or "PLAIN"
        found["sasl.mechanism"] = mechanism
        if mechanism == "OAUTHBEARER":
            found.update(_oauth(variable("OAUTH_TOKEN_URL"), username, password))
        elif username is None or password is None:
            raise InvalidOption(
                f"SASL {mechanism} needs HEMLINE_KAFKA_USERNAME and HEMLINE_KAFKA_PASSWORD in the environment"
            )
        else:
            found.update({"sasl.username": username, "sasl.password": password})
    elif mechanism is not None:
        raise InvalidOption(
            f"SASL mechanism {mechanism} with security {protocol}: use security=sasl_ssl or sasl_plaintext"
        )
    return found


def _check_pair(variable: Callable[[str], str | None]) -> None:
    """The client takes a certificate alone, and fails when it is asked for it."""
    certificate = variable("CERT_FILE") or variable("CERT_PEM")
    key = variable("KEY_FILE") or variable("KEY_PEM")
    if bool(certificate) != bool(key):
        has, lacks = ("CERT", "KEY") if certificate else ("KEY", "CERT")
        raise InvalidOption(
            f"HEMLINE_KAFKA_{has}_FILE or _PEM is set without HEMLINE_KAFKA_{lacks}_FILE or _PEM: "
            "a client shows its certificate and proves with the key that it is its own"
        )


def check_files(settings: Settings) -> None:
    """Look for the files that are named, about which the client would speak in its own names and codes.

    Raises:
        InvalidOption: one of them cannot be read.
    """
    for name, ours in _FILES.items():
        found = settings.client.get(name)
        if found is None:
            continue
        path = Path(found)
        if name == "ssl.ca.location" and (found == "probe" or path.is_dir()):
            continue  # the client looks in the usual places, or at every file of the folder
        try:
            path.open("rb").close()
        except OSError as error:
            raise InvalidOption(
                f"{ours} {found!r}: {error.strerror}; expected a PEM file that this process may read"
            ) from error


def _oauth(url: str | None, client: str | None, secret: str | None) -> dict[str, Any]:
    if url is None or client is None or secret is None:
        raise InvalidOption(
            "SASL OAUTHBEARER needs HEMLINE_KAFKA_OAUTH_TOKEN_URL, HEMLINE_KAFKA_USERNAME (client id) and "
            "HEMLINE_KAFKA_PASSWORD (client secret) in the environment"
        )
    if not url.startswith(("https://", "http://")):
        raise InvalidOption(
            "HEMLINE_KAFKA_OAUTH_TOKEN_URL is no URL; expected something like https://login.example/oauth2/token"
        )
    return {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": url,
        "sasl.oauthbearer.client.id": client,
        "sasl.oauthbearer.client.secret": secret,
    }


def _low(text: str | None) -> str:
    return (text or "").lower()


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("expected 1 or more")
    return number


def _between(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        found = int(text)
        if not low <= found <= high:
            raise ValueError(f"expected a number from {low} to {high}")
        return found

    return number


def _linger(text: str) -> float:
    found = float(text)
    if not 0 <= found <= _MOST_LINGER_MS:
        raise ValueError(f"expected a number from 0 to {_MOST_LINGER_MS}")
    return found
