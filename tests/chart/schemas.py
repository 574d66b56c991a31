"""JSON schemas for kubeconform, made from what package registries have.

``schemas.py kubernetes WHEEL OUT``: of Kubernetes' own kinds, from the wheel of kubernetes-validate.
``schemas.py definitions OUT FILE…``: of custom resources, from their definitions.
"""

import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]

VERSIONS = ("1.29", "1.33", "1.37")
"""The oldest that the chart supports, the one that the tests' API server has, and the newest there is."""

_SCHEMA = re.compile(r"/(v\d+\.\d+)\.\d+-local-strict/([^/]+)$")


def from_wheel(wheel: Path, out: Path) -> None:
    """The strict schemas of some versions. Their references are absolute; kubeconform follows relative ones."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if (match := _SCHEMA.search(name)) and match[1].removeprefix("v") in VERSIONS:
                schema = json.loads(archive.read(name))
                schema.pop("$id", None)
                text = json.dumps(schema).replace('"/api/_definitions.json#', '"_definitions.json#')
                target = out / f"{match[1]}.0" / match[2]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)


def from_definitions(out: Path, files: list[Path]) -> None:
    """One schema for each served version of each kind: GROUP/kind_version.json."""
    for file in files:
        for definition in yaml.safe_load_all(file.read_text()):
            spec = definition["spec"]
            folder = out / spec["group"]
            folder.mkdir(parents=True, exist_ok=True)
            for version in spec["versions"]:
                schema = closed(version["schema"]["openAPIV3Schema"])
                # The definition leaves both open; metadata is checked by the API server.
                schema["properties"]["metadata"] = {"type": "object"}
                name = f"{spec['names']['kind'].lower()}_{version['name']}.json"
                (folder / name).write_text(json.dumps(schema))


def closed(schema: Schema) -> Schema:
    """Refuse what the API server would prune, as `kubectl apply --validate=strict` does."""
    out = dict(schema)
    if out.get("x-kubernetes-int-or-string"):
        out.pop("anyOf", None)
        out["type"] = ["integer", "string"]
    if "properties" in out:
        out["properties"] = {name: closed(part) for name, part in out["properties"].items()}
        if not out.get("x-kubernetes-preserve-unknown-fields"):
            out.setdefault("additionalProperties", False)
    if isinstance(out.get("additionalProperties"), dict):
        out["additionalProperties"] = closed(out["additionalProperties"])
    if isinstance(out.get("items"), dict):
        out["items"] = closed(out["items"])
    return out


def main() -> None:
    match sys.argv[1:]:
        case ["kubernetes", wheel, out]:
            from_wheel(Path(wheel), Path(out))
        case ["definitions", out, *files]:
            from_definitions(Path(out), [Path(file) for file in files])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
