"""Sets the version that answers, in a rollout document: `set_rollout.py FILE VERSION`, or `--if-absent FILE VERSION`.

Without Kubernetes and without `hemline up` nobody decides what is live, so a person does. The services swap the model
while the stream flows.
"""

import sys
from pathlib import Path

from hemline_api.rollout import Rollout


def main() -> None:
    """Write the next revision in one step, so that nobody reads half of it."""
    *options, file, version = sys.argv[1:]
    path = Path(file)
    before = Rollout.from_json(path.read_bytes()) if path.exists() else None
    if before and "--if-absent" in options:
        print(f"kept: {before.to_json().decode()}")
        return
    document = Rollout(revision=before.revision + 1 if before else 1, stable=int(version)).to_json()
    fresh = path.with_suffix(".new")
    fresh.write_bytes(document)
    fresh.replace(path)
    print(document.decode())


if __name__ == "__main__":
    main()
