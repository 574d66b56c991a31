"""Names that become part of a path: checked, or made safe, in one place."""

import hashlib
import re
from typing import Final

from hemline_store._errors import InvalidOption

__all__ = ["checked_name", "checked_uid", "is_file_name", "object_name"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_UID: Final = 256


def is_file_name(name: str) -> bool:
    """Whether ``name`` is plain enough to be a file in a version directory: no path, nothing hidden."""
    return _NAME.fullmatch(name) is not None


def checked_name(name: str, what: str) -> str:
    """``name`` itself, if it can be a folder.

    Raises:
        InvalidOption: it cannot.
    """
    if not is_file_name(name):
        raise InvalidOption(
            f"{what} {name[:140]!r} cannot be used; expected 1 to 128 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return name


def checked_uid(uid: str) -> str:
    """``uid`` itself, if it can name a run or a tag.

    Raises:
        InvalidOption: it is empty or longer than 256 characters.
    """
    if not 1 <= len(uid) <= _MAX_UID:
        raise InvalidOption(f"a uid has 1 to {_MAX_UID} characters; received {len(uid)}")
    return uid


def object_name(uid: str) -> str:
    """The same path-safe name for the same uid, different ones for different uids."""
    checked_uid(uid)
    if is_file_name(uid):
        return uid
    # A plain uid never begins with an underscore, so the two kinds cannot meet.
    return "_" + hashlib.sha256(uid.encode("utf-8", "surrogatepass")).hexdigest()
