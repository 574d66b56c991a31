"""Which broker and topics a command talks to: a local installation's, or those it is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hemline._place import require_installation
from hemline_api.topics import Topics

__all__ = ["BrokerOption", "ClassifierOption", "NamespaceOption", "Stream", "find_stream"]

BrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        help="kafka://HOST:PORT, pubsub://PROJECT or sqlite:///PATH; default: the running installation's.",
        show_default=False,
    ),
]
ClassifierOption = Annotated[
    str | None,
    typer.Option("--classifier", help="With --broker: whose topics.", show_default="mnist"),
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", help="With --broker: prefix of the topics.")
]


@dataclass(frozen=True, slots=True)
class Stream:
    """One classifier's topics on one broker."""

    broker: str
    topics: Topics


def find_stream(
    state: Path | None, broker: str | None, classifier: str | None, namespace: str | None
) -> Stream:
    """The stream that was named, else the one of the local installation.

    Raises:
        UsageFailure: no broker is named and there is no installation.
    """
    if broker is not None:
        return Stream(broker, Topics(classifier or "mnist", namespace or ""))
    _, installation = require_installation(state)
    topics = Topics(classifier or installation.classifier, namespace or installation.namespace)
    return Stream(installation.broker, topics)
