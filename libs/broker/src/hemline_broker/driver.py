"""What the writer of a driver needs: the protocols, and what they are made of.

A package brings a backend by an entry point in the group `hemline_broker.drivers`, named after the URL's scheme::

    [project.entry-points."hemline_broker.drivers"]
    redis = "my_package:open_driver"

and `async def open_driver(url: BrokerURL, max_message_bytes: int) -> Driver`, which raises `InvalidOption`,
`Unavailable` or `Denied`. `connect("redis://…")` finds it.
"""

from hemline_broker._backend import Capability, Configuration, TopicInfo
from hemline_broker._delivery import Delivery, Lease
from hemline_broker._driver import (
    Checks,
    Driver,
    Limited,
    Remembers,
    Sink,
    Source,
    Start,
    Transacts,
)
from hemline_broker._message import Message, Receipt
from hemline_broker._run import Run
from hemline_broker._url import BrokerURL, Options, positive

__all__ = [
    "BrokerURL",
    "Capability",
    "Checks",
    "Configuration",
    "Delivery",
    "Driver",
    "Lease",
    "Limited",
    "Message",
    "Options",
    "Receipt",
    "Remembers",
    "Run",
    "Sink",
    "Source",
    "Start",
    "TopicInfo",
    "Transacts",
    "positive",
]
