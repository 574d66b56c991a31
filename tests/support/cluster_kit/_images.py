"""The project's own images: built from its Dockerfiles, and where pods can have them."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cluster_kit._node import Node
from cluster_kit._places import KIT, ROOT, Unavailable, archive, cache

__all__ = ["Images", "build_images", "version"]

NAMES: Final = ("operator", "inference", "samples", "client-sim", "trainer")


def version() -> str:
    """The version of every package, which is the tag of every image."""
    found = re.search(r'^version = "(.*)"$', (ROOT / "cli" / "pyproject.toml").read_text(), re.M)
    if found is None:
        raise ValueError('cli/pyproject.toml has no line of the form: version = "..."')
    return found[1]


@dataclass(frozen=True, slots=True)
class Images:
    """References as pods name them: ``images.inference``, ``images["client-sim"]``."""

    references: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.references[name]

    def __getattr__(self, name: str) -> str:
        try:
            return self.references[name.replace("_", "-")]
        except KeyError:
            raise AttributeError(name) from None

    @classmethod
    def on(cls, node: Node) -> "Images":
        """Build them and bring them to the node.

        HEMLINE_IMAGES says where a cluster of your own has them already: ``registry.example/hemline`` means
        ``registry.example/hemline/inference:VERSION``. Else they are loaded into the kind cluster of KUBECONFIG.

        Raises:
            Unavailable: they cannot be built, or not be brought there.
        """
        prefix = os.environ.get("HEMLINE_IMAGES") or "hemline"
        images = cls({name: f"{prefix}/{name}:{version()}" for name in NAMES})
        if os.environ.get("HEMLINE_IMAGES"):
            return images
        if node.folder is None:
            _load_into_kind(node)
            return images
        build_images()
        for name in NAMES:
            _import(node, name)
        return images


def build_images(*names: str) -> str:
    """Build images with the kit's builder, as archives; return the table of their sizes."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable("building images without a container engine needs root and Debian")
    built = subprocess.run(
        [ROOT / "images" / "build.sh", *names],
        env=os.environ | {"ENGINE": "test", "HEMLINE_CLUSTER": str(cache())},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if built.returncode:
        raise Unavailable("images/build.sh failed; its output is above")
    return built.stdout


def _import(node: Node, name: str) -> None:
    """Import an archive, once for each of its states."""
    if node.folder is None:
        raise ValueError("only the kit's node takes archives")
    state = archive(name).with_suffix(".tar.id").read_text()
    imported = node.folder / "imported" / name
    if imported.exists() and imported.read_text() == state:
        return
    subprocess.run(
        [KIT / "image.py", "--import", archive(name)],
        env=os.environ | {"HEMLINE_CLUSTER": str(cache())},
        check=True,
    )
    imported.parent.mkdir(exist_ok=True)
    imported.write_text(state)


def _load_into_kind(node: Node) -> None:
    context = node.kubectl("config", "current-context").strip()
    if not context.startswith("kind-") or not shutil.which("kind"):
        raise Unavailable(
            f"the cluster of context {context} has none of the project's images: push them to a registry it can "
            "read and name its prefix in HEMLINE_IMAGES, or use a kind cluster with kind on the PATH"
        )
    environment = os.environ | {"KIND_CLUSTER": context.removeprefix("kind-")}
    done = subprocess.run([ROOT / "images" / "build.sh", "--kind"], env=environment, check=False)
    if done.returncode:
        raise Unavailable("images/build.sh --kind failed; its output is above")
