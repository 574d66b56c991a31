"""librdkafka's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from hemline_broker._errors import (
    BrokerError,
    Denied,
    InvalidOption,
    NotFound,
    TooLarge,
    Unavailable,
)

_NOT_FOUND = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.GROUP_ID_NOT_FOUND,
    }
)
_DENIED = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError._SSL,
    }
)
_FENCED = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)
# librdkafka's names of what a person sets, and where.
_OURS = {
    "ssl.ca.location": "option ca (HEMLINE_KAFKA_CA_FILE)",
    "ssl.ca.pem": "HEMLINE_KAFKA_CA_PEM",
    "ssl.certificate.location": "HEMLINE_KAFKA_CERT_FILE",
    "ssl.certificate.pem": "HEMLINE_KAFKA_CERT_PEM",
    "ssl.key.location": "HEMLINE_KAFKA_KEY_FILE (or HEMLINE_KAFKA_KEY_PASSWORD)",
    "ssl.key.pem": "HEMLINE_KAFKA_KEY_PEM (or HEMLINE_KAFKA_KEY_PASSWORD)",
    "sasl.mechanism": "option sasl (HEMLINE_KAFKA_SASL_MECHANISM)",
    "sasl.oauthbearer.token.endpoint.url": "HEMLINE_KAFKA_OAUTH_TOKEN_URL",
    "session.timeout.ms": "option session_ms",
    "max.poll.interval.ms": "option max_poll_ms",
    "linger.ms": "option linger_ms",
    "compression.": "option compression",
    "transaction.timeout.ms": "option transaction_ms",
}
_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})


def is_denied(error: KafkaError) -> bool:
    """Whether it is about credentials or rights."""
    return error.code() in _DENIED


def is_fatal(error: KafkaException) -> bool:
    """Whether the client that raised it refuses everything from then on."""
    detail = error.args[0]
    return isinstance(detail, KafkaError) and (detail.fatal() or detail.code() == KafkaError._FATAL)


def translate(error: KafkaError | KafkaException, doing: str) -> BrokerError:
    """The error of ours that says the same, with the original as its cause."""
    original = error if isinstance(error, KafkaException) else KafkaException(error)
    detail = original.args[0] if original.args else original
    code = detail.code() if isinstance(detail, KafkaError) else None
    text = f"cannot {doing}: {detail.str() if isinstance(detail, KafkaError) else detail}"
    kind: type[BrokerError] = Unavailable
    if code in _NOT_FOUND:
        kind = NotFound
    elif code in _DENIED:
        kind = Denied
    elif code in _TOO_LARGE:
        kind = TooLarge
        text += "; the topic's max.message.bytes or the broker's message.max.bytes is below this library's limit"
    elif isinstance(detail, KafkaError) and detail.fatal():
        kind = BrokerError
    if code in _FENCED:
        text += "; another producer has begun with the same transactional_id: give each process one of its own"
    translated = kind(text)
    translated.__cause__ = original
    return translated


@contextmanager
def making_a_client() -> Iterator[None]:
    """Around the making of one of librdkafka's clients, which connects to nobody: what it refuses are its settings.

    Raises:
        InvalidOption: it names what the setting is called here, and no secret.
    """
    try:
        yield
    except KafkaException as error:
        detail = error.args[0]
        if not isinstance(detail, KafkaError) or detail.code() != KafkaError._INVALID_ARG:
            raise translate(error, "make a Kafka client") from error
        text = detail.str()
        named = [ours for theirs, ours in _OURS.items() if theirs in text]
        source = " and ".join(named) or "an option of the URL or of the environment"
        raise InvalidOption(f"Kafka's client refuses {source}: {text}") from error
