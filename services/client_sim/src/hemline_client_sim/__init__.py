"""A mock client: streams images, collects predictions, sends late labels, keeps the books."""

__all__: list[str] = []
