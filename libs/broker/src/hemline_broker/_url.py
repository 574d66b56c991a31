"""Broker URLs: what they name, and the options they carry."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from hemline_broker._errors import InvalidOption

T = TypeVar("T")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")

EXAMPLES = "kafka://host:9092, pubsub://project, sqlite:///broker.db, memory:"


@dataclass(frozen=True, slots=True)
class BrokerURL:
    """A parsed URL.

    Attributes:
        scheme: kafka, pubsub, sqlite or memory.
        rest: what stands between the scheme and the options, percent-decoded, leading `//` removed.
        options: the query, each option once.
    """

    scheme: str
    rest: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, url: str) -> BrokerURL:
        """Take a URL apart.

        Raises:
            InvalidOption: it is not one, or carries credentials.
        """
        # No message repeats more of a URL than its scheme: a password may stand anywhere in what is no URL.
        scheme, colon, _ = url.partition(":")
        if not colon or not scheme.isalpha():
            shown = (
                f"unknown scheme {scheme!r}" if _SCHEME.fullmatch(scheme) and colon else "no scheme"
            )
            raise InvalidOption(f"not a broker URL: {shown}; expected one of {EXAMPLES}")
        try:
            parts = urlsplit(url)
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise InvalidOption(
                f"not a broker URL of scheme {scheme!r}; expected one of {EXAMPLES}, with ?option=value"
            ) from None
        if "@" in parts.netloc:
            raise InvalidOption(
                "credentials do not belong into a broker URL; set HEMLINE_KAFKA_USERNAME and HEMLINE_KAFKA_PASSWORD"
            )
        if parts.fragment:
            raise InvalidOption("a broker URL has no fragment; write # as %23")
        options = dict(pairs)
        if len(options) != len(pairs):
            raise InvalidOption("an option is given twice in the broker URL")
        return cls(scheme.lower(), unquote(parts.netloc + parts.path), options)


class Options:
    """Reads options one by one; what is left over at the end is an error."""

    def __init__(self, options: Mapping[str, str], scheme: str) -> None:
        self._left = dict(options)
        self._known: list[str] = []
        self._scheme = scheme

    def take(self, name: str, kind: Callable[[str], T], default: T) -> T:
        """The option converted by `kind`, or the default."""
        self._known.append(name)
        text = self._left.pop(name, None)
        if text is None:
            return default
        try:
            return kind(text)
        except ValueError as error:
            raise InvalidOption(
                f"option {name}={text!r} of a {self._scheme} URL: {error}"
            ) from error

    def choice(self, name: str, choices: Mapping[str, Any], default: str) -> Any:
        """The value that a word stands for."""

        def pick(text: str) -> Any:
            if text not in choices:
                raise ValueError(f"expected one of {', '.join(choices)}")
            return choices[text]

        if default not in choices:  # it came from the environment
            known = ", ".join(word for word in choices if word)
            raise InvalidOption(f"{name}={default!r} for {self._scheme}: expected one of {known}")
        return self.take(name, pick, choices[default])

    def finish(self) -> None:
        """Refuse what nobody asked for."""
        if self._left:
            unknown = sorted(self._left)
            near = get_close_matches(unknown[0], self._known, 1)
            raise InvalidOption(
                f"unknown option {', '.join(unknown)} in a {self._scheme} URL; "
                + (f"did you mean {near[0]}? " if near else "")
                + f"it knows {', '.join(self._known) or 'none'}"
            )


def positive(text: str) -> float:
    """A number above zero."""
    number = float(text)
    if not number > 0:
        raise ValueError("expected a number above 0")
    return number
