"""Settings from a YAML file, with the mistakes people make in one named and mended."""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from hemline_model._errors import BadSettings

__all__ = ["parse_duration", "read_config", "settings_from", "take_switch", "take_text"]

T = TypeVar("T")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_MAX_CONFIG_BYTES = 1 << 20


def read_config(path: Path, accepted: Iterable[str]) -> dict[str, Any]:
    """Read a YAML mapping whose keys are among `accepted`.

    Raises:
        BadSettings: unreadable, no mapping, or an unknown key.
    """
    try:
        if path.stat().st_size > _MAX_CONFIG_BYTES:
            raise BadSettings(f"{path} is larger than {_MAX_CONFIG_BYTES:,} bytes")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read {path}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A ValueError is that of a date which the calendar does not have.
        reason = " ".join(str(error).split())
        raise BadSettings(f"{path} is not valid YAML: {reason[:200]}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadSettings(
            f"{path} holds a {type(content).__name__}; expected keys and values, like `epochs: 20`"
        )
    _refuse_unknown(content, accepted, str(path))
    return content


def settings_from(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make the settings dataclass `kind` of plain values, nested ones as mappings.

    Raises:
        BadSettings: an unknown key (the nearest known one is named) or a value of the wrong kind.
    """
    _check_keys(kind, values, where)
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(cause := first.get("ctx", {}).get("error"), BadSettings):
            raise cause from error
        key = ".".join(str(part) for part in first["loc"])
        raise BadSettings(
            f"{where}: {key} is {first['input']!r}; {first['msg'].lower()}"
        ) from error


def parse_duration(text: str | float) -> float:
    """Seconds in "90", "90s", "10m" or "1.5h".

    Raises:
        BadSettings: anything else.
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None:
        raise BadSettings(f"{text!r} is no duration; expected a number with s, m or h, like 10m")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def take_text(values: dict[str, Any], key: str, where: str) -> str | None:
    """Take the value of a key that is text out of `values`; None if it is not there.

    Raises:
        BadSettings: it is a number, a date or anything else that YAML knows.
    """
    value = values.pop(key, None)
    if value is not None and not isinstance(value, str):
        raise BadSettings(
            f"{where}: {key} is {value!s} ({type(value).__name__}); expected text: put quotes around "
            "what only looks like a number or a date"
        )
    return value


def take_switch(values: dict[str, Any], key: str, where: str) -> bool:
    """Take the value of a key that is true or false out of `values`; False if it is not there.

    Raises:
        BadSettings: it is anything else, such as text.
    """
    value = values.pop(key, False)
    if not isinstance(value, bool):
        raise BadSettings(f"{where}: {key} is {value!r}; expected true or false, without quotes")
    return value


def _check_keys(kind: Any, values: Mapping[str, Any], where: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    _refuse_unknown(values, fields, where)
    for name, value in values.items():
        nested = fields[name].type
        if dataclasses.is_dataclass(nested) and isinstance(value, Mapping):
            _check_keys(nested, value, f"{where}: {name}")


def _refuse_unknown(values: Mapping[Any, Any], accepted: Iterable[str], where: str) -> None:
    known = list(accepted)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
            raise BadSettings(f"{where}: {key!r} is not a known key; {hint}")
