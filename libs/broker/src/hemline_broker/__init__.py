"""One asyncio API for Apache Kafka, Google Pub/Sub and SQLite with the same meaning on each."""

__all__: list[str] = []
