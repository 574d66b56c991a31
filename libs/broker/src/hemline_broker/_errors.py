"""Every error of this library.

::

    BrokerError                      .retryable says whether the same call may succeed later
    ├── NotFound                     the topic, group or server object does not exist
    ├── Denied                       the broker refused the credentials or the right
    ├── TooLarge                     the message is above a limit; refused before any I/O
    ├── InvalidMessage               the message breaks a rule of CloudEvents or of this API
    ├── InvalidOption                a URL, option or argument is not understood
    ├── Unsupported                  this backend lacks the named capability
    ├── BodyGone                     the body of a claim check was deleted or changed before the message was read
    ├── Closed                       the broker or subscription was closed
    ├── Unavailable    (retryable)   the broker does not answer, or not in time
    ├── SendFailed                   some messages of a send_many were not made durable
    ├── TransactionAborted (retryable) nothing of the transaction took effect; its deliveries come again
    └── AckLost                      acknowledged after the message was given to another consumer

The backend's own error, where there is one, is the ``__cause__``. ``Reject`` is not a failure of the library but what a
handler raises to send a message to the dead-letter topic at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class BrokerError(Exception):
    """Base of all errors raised by this library."""

    retryable: bool = False


class NotFound(BrokerError):
    """The topic, group or server object does not exist; `Broker.ensure` makes topics and groups."""


class Denied(BrokerError):
    """The broker refused the credentials, or they do not allow the operation."""


class TooLarge(BrokerError):
    """The message with key, headers and 1 KiB of reserve is above the limit."""


class InvalidMessage(BrokerError):
    """The message cannot be sent as a CloudEvent: the text says which field and why."""


class InvalidOption(BrokerError):
    """A URL, an option or an argument is not understood."""


class Unsupported(BrokerError):
    """The backend cannot do this; `Broker.capabilities` says beforehand."""


class BodyGone(BrokerError):
    """A message's body in the object store of the claim check was deleted, or is not what was sent."""


class Closed(BrokerError):
    """The broker or the subscription was closed."""


class Unavailable(BrokerError):
    """The broker does not answer, or did not confirm in time; what was sent may still arrive."""

    retryable = True


class SendFailed(BrokerError):
    """Some messages of a `send_many` were not made durable.

    Attributes:
        errors: index in the sent sequence → what went wrong with that message; all others are durable.
    """

    def __init__(self, topic: str, errors: Mapping[int, BrokerError], total: int) -> None:
        self.errors = dict(errors)
        first = min(self.errors)
        super().__init__(
            f"{len(self.errors)} of {total} messages to {topic!r} failed; "
            f"the first is number {first}: {self.errors[first]}"
        )
        self.retryable = all(error.retryable for error in self.errors.values())


class AckLost(BrokerError):
    """Messages were acknowledged after another consumer had taken them over: their work may be done twice.

    Attributes:
        ids: ids of the messages concerned; positions where an ack was not yet durable and the id is no longer known.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        shown = ", ".join(self.ids[:3]) + (", …" if len(self.ids) > 3 else "")
        super().__init__(
            f"{len(self.ids)} acknowledgement(s) came after the message was given to another consumer ({shown})"
        )


class TransactionAborted(BrokerError):
    """Nothing of the transaction took effect, and its deliveries come again, here or at another consumer."""

    retryable = True


class Reject(Exception):
    """Raised by a handler of `Subscription.run`: this message can never be processed; dead-letter it now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
