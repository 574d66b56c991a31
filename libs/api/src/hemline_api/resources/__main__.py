"""``python -m hemline_api.resources FOLDER``: write the custom resource definitions."""

import sys
from pathlib import Path

import yaml

from hemline_api.resources import custom_resource_definitions

HEADER = "# Generated from hemline_api.resources by `make generate`: do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Writes a value that occurs twice twice: some readers of definitions know no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def render() -> dict[str, str]:
    """The text of each file by its name."""
    return {
        f"{definition['metadata']['name'].split('.')[0]}.yaml": HEADER
        + yaml.dump(definition, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        for definition in custom_resource_definitions()
    }


def main() -> None:
    """Write every file into the folder that was given."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m hemline_api.resources FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
