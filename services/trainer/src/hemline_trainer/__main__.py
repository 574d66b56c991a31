"""The console script ``hemline-trainer``."""

from hemline_api import ApiError
from hemline_model import ModelError
from hemline_runtime import main as run_app
from hemline_store import StoreError

from hemline_trainer._app import app
from hemline_trainer._errors import TrainerError

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    run_app(app, expected=(TrainerError, ModelError, StoreError, ApiError, OSError))


if __name__ == "__main__":
    main()
