"""Commands that use or steer a running installation; each is imported when it is run."""

__all__: list[str] = []
