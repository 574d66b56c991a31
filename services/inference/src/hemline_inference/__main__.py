"""``hemline-inference``."""

from typing import NoReturn

import hemline_runtime
from hemline_api import ApiError
from hemline_broker import BrokerError
from hemline_inference._cli import app
from hemline_inference._errors import InferenceError
from hemline_model import ModelError
from hemline_store import StoreError

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line."""
    expected = (InferenceError, ApiError, BrokerError, ModelError, StoreError)
    hemline_runtime.main(app, expected=expected)


if __name__ == "__main__":
    main()
