"""The hemline command: train, serve, watch and steer classifiers, all of it on one machine."""

__all__: list[str] = []
