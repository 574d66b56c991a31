"""What crosses a process boundary in Hemline: events, gRPC, custom resources, reports, metrics."""

__all__: list[str] = []
