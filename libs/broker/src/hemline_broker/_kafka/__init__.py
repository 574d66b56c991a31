"""Apache Kafka through confluent-kafka.

URL: `kafka://host:9092,host:9092`. Options after `?`:

- `security` (plaintext, ssl, sasl_plaintext, sasl_ssl), `sasl` (plain, scram-sha-256, scram-sha-512, oauthbearer),
  `ca` (PEM file). The same come from `HEMLINE_KAFKA_SECURITY_PROTOCOL`, `HEMLINE_KAFKA_SASL_MECHANISM` and
  `HEMLINE_KAFKA_CA_FILE`; secrets only from `HEMLINE_KAFKA_USERNAME`, `_PASSWORD`, `_CERT_FILE`, `_KEY_FILE`,
  `_KEY_PASSWORD`, `_OAUTH_TOKEN_URL`. Instead of files, `_CA_PEM`, `_CERT_PEM` and `_KEY_PEM` hold the text itself, as
  a Kubernetes Secret gives it.
- `group_protocol` (classic): `classic` is cooperative-sticky, `consumer` is KIP-848, `auto` asks the broker for it.
  The default is the one whose session a client sets: a dead consumer's messages go to another after `session_ms`.

More options:

- `session_ms` (10000): of the classic protocol, until a dead consumer's messages go to another.
- `linger_ms` (5; for `send_many` of 16 and more, others go at once), `compression` (none),
  `replication` (-1: the broker's default), `partitions` (1, at least) and `retention` (seconds; else the broker's
  default) of topics made by `ensure`.
- `drain` (5): seconds that a rebalance waits for deliveries in hand.
- `transactional_id` (random): of `Broker.transaction`; give each worker one of its own that it keeps over restarts (a
  StatefulSet's pod name), and a killed worker's open transaction ends when it is back instead of after
  `transaction_ms` (30000).
- `max_poll_ms` (300000), `client_id`.
"""

try:
    import confluent_kafka  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        "kafka:// needs confluent-kafka: pip install 'hemline-broker[kafka]'"
    ) from error

from hemline_broker._kafka._driver import KafkaDriver, open_driver

__all__ = ["KafkaDriver", "open_driver"]
