"""From the broker into the lake (collect), from the lake to trainers over gRPC (serve)."""

__all__: list[str] = []
