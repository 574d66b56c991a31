"""Words that come from files, made fit for a message, a card and a report."""

__all__ = ["one_line", "printable"]


def printable(text: str) -> str:
    """The text, with what UTF-8 cannot hold as an escape: a file's name may be of any bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: object) -> str:
    """What is to be said, without the line breaks in it."""
    return " ".join(str(text).splitlines())
