"""Train, judge and serve a small image classifier on your own data."""

__all__: list[str] = []
