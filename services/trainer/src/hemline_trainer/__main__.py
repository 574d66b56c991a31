"""The console script ``hemline-trainer``."""

import os

from hemline_api import ApiError
from hemline_model import ModelError
from hemline_runtime import main as run_app
from hemline_store import StoreError
from hemline_trainer._errors import TrainerError

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    # Read by gRPC's core when it is loaded, so before the import below: what goes wrong is said by our own errors.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from hemline_trainer._app import app

    run_app(app, expected=(TrainerError, ModelError, StoreError, ApiError, OSError))


if __name__ == "__main__":
    main()
