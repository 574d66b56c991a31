"""`python -m hemline_model`: the library's own command line."""

from hemline_model.cli import app

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    app(prog_name="hemline-model")


if __name__ == "__main__":
    main()
