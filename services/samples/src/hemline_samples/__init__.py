"""From the broker into the lake (collect), from the lake to trainers over gRPC (serve)."""

from hemline_samples._init import INITIAL_UID, init_lake

__all__ = ["INITIAL_UID", "init_lake"]
