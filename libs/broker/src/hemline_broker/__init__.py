"""One asyncio API for Apache Kafka, Google Pub/Sub and SQLite with the same meaning on each."""

from hemline_broker._broker import Broker
from hemline_broker._claimcheck import ClaimCheck
from hemline_broker._connect import connect
from hemline_broker._delivery import Batch, Delivery
from hemline_broker._driver import Capability, TopicInfo
from hemline_broker._errors import (
    AckLost,
    BodyGone,
    BrokerError,
    Closed,
    Denied,
    InvalidMessage,
    InvalidOption,
    NotFound,
    Reject,
    SendFailed,
    TooLarge,
    TransactionAborted,
    Unavailable,
    Unsupported,
)
from hemline_broker._message import DEFAULT_MAX_MESSAGE_BYTES, Message, Receipt, new_id
from hemline_broker._observer import Observer
from hemline_broker._retry import Retry
from hemline_broker._subscription import Subscription
from hemline_broker._transaction import Transaction

__all__ = [
    "DEFAULT_MAX_MESSAGE_BYTES",
    "AckLost",
    "Batch",
    "BodyGone",
    "Broker",
    "BrokerError",
    "Capability",
    "ClaimCheck",
    "Closed",
    "Delivery",
    "Denied",
    "InvalidMessage",
    "InvalidOption",
    "Message",
    "NotFound",
    "Observer",
    "Receipt",
    "Reject",
    "Retry",
    "SendFailed",
    "Subscription",
    "TooLarge",
    "TopicInfo",
    "Transaction",
    "TransactionAborted",
    "Unavailable",
    "Unsupported",
    "connect",
    "new_id",
]
