"""The console script ``hemline-client-sim``."""

from hemline_api import ApiError
from hemline_broker import BrokerError
from hemline_client_sim._app import app
from hemline_client_sim._errors import SimulatorError
from hemline_model import ModelError
from hemline_runtime import main as run_app

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    run_app(app, expected=(SimulatorError, ModelError, BrokerError, ApiError))


if __name__ == "__main__":
    main()
