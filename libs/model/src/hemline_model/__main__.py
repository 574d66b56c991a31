"""`python -m hemline_model`: the library's own command line."""

from hemline_model.cli import app

if __name__ == "__main__":
    app(prog_name="hemline-model")
