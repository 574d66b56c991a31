"""Images in, predictions out, models swapped while the stream flows."""

__all__: list[str] = []
