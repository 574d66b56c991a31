"""The console script ``hemline-samples``."""

from hemline_api import ApiError
from hemline_broker import BrokerError
from hemline_model import ModelError
from hemline_runtime import main as run_app
from hemline_store import StoreError

from hemline_samples._app import app
from hemline_samples._errors import SamplesError

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    run_app(app, expected=(SamplesError, StoreError, BrokerError, ModelError, ApiError))


if __name__ == "__main__":
    main()
