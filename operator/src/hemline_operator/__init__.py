"""The lifecycle of a classifier: when to fine-tune, what to promote, what serves."""

__all__: list[str] = []
