"""Writes every dashboard into a folder: ``python -m hemline_observability charts/hemline/files/dashboards``."""

import argparse
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from hemline_observability import DASHBOARDS


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(prog="hemline_observability", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the JSON files go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in DASHBOARDS.items():
        text = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(build())
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
