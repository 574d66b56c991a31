"""One fine-tuning run: pull samples, train, judge, publish, report."""

__all__: list[str] = []
