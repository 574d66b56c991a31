#!/usr/bin/env python3
"""Container images from folders: no registry, no daemon, no root (except to pack a root filesystem).

  image.py REF [--base BASE.tar] --add PATH[=TARGET] ... [options] [-- ENTRYPOINT ...]
  image.py --import IMAGE.tar

Each --add becomes one layer on top of the base's: PATH is a folder or a file of this machine, TARGET where it lies in
the image (default /). The result is a docker-archive, which containerd, buildah, podman and skopeo read, and is
imported into the running cluster unless --no-import is given.

  rootfs.sh                                                   # the base, once: Debian with Python 3.11
  pip install --target build/app ./service
  image.py example/service:1 --base "$(rootfs.sh)" --add build/app=/app --env PYTHONPATH=/app -- python3 -m service
"""

import argparse
import copy
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of these only the folder itself is packed: the runtime mounts its own.
MOUNT_POINTS = ("dev", "proc", "sys")


def work_dir() -> pathlib.Path:
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(
        os.environ.get("HEMLINE_CLUSTER") or pathlib.Path(cache, "hemline", "cluster")
    )


def import_archive(archive: str) -> None:
    """Load an image archive into the cluster's containerd."""
    work = work_dir()
    subprocess.run(
        [work / "debs/usr/bin/ctr", "--address", work / "run/containerd.sock", "--namespace", "k8s.io",
         "images", "import", archive],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def write_layer(source: pathlib.Path, target: str, keep_owners: bool, out: pathlib.Path) -> str:
    """Pack `source` as `target` into the tar archive `out`; return its SHA-256."""
    prefix = target.strip("/")

    def entry(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = pathlib.PurePosixPath(info.name).parts
        if len(parts) > 1 and parts[0] in MOUNT_POINTS:
            return None
        if not keep_owners:
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
        return info

    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for parent in reversed(pathlib.PurePosixPath(prefix).parents[:-1]):
            folder = tarfile.TarInfo(str(parent))
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        tar.add(source, arcname=prefix or ".", filter=entry)
    with out.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def build(args: argparse.Namespace, out: pathlib.Path) -> None:
    """Write the docker-archive: the base's layers, one for each --add, and a configuration."""
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": [PATH]},
              "rootfs": {"type": "layers", "diff_ids": []}}  # fmt: skip
    base = tarfile.open(args.base) if args.base else None  # noqa: SIM115  # open until the process ends
    layers = []
    if base:
        manifest = json.load(base.extractfile("manifest.json"))[0]
        config = json.load(base.extractfile(manifest["Config"]))
        layers = manifest["Layers"]

    # buildah, for one, refuses to put its own layers on an image whose history does not name the ones below.
    config.setdefault("history", [{"created_by": "image.py --base"} for _ in layers])
    settings = config["config"] = copy.copy(config.get("config") or {})
    names = {variable.partition("=")[0] for variable in args.env}
    settings["Env"] = [
        v for v in settings.get("Env") or [] if v.partition("=")[0] not in names
    ] + args.env
    if args.user:
        settings["User"] = args.user
    if args.workdir:
        settings["WorkingDir"] = args.workdir
    if args.entrypoint:
        settings["Entrypoint"], settings["Cmd"] = args.entrypoint, None

    with tempfile.TemporaryDirectory(dir=out.parent) as scratch, tarfile.open(out, "w") as archive:
        written = set()
        for name in layers:
            if name not in written:  # two layers may be the same file
                info = base.getmember(name)
                archive.addfile(info, base.extractfile(info) if info.isreg() else None)
                written.add(name)
        for path, _, target in (item.partition("=") for item in args.add):
            layer = pathlib.Path(scratch, "layer.tar")
            digest = write_layer(pathlib.Path(path), target or "/", args.keep_owners, layer)
            name = f"{digest}.tar"
            config["rootfs"]["diff_ids"].append(f"sha256:{digest}")
            config["history"].append({"created_by": f"image.py --add {target or '/'}"})
            layers.append(name)
            if name not in written:
                archive.add(layer, arcname=name)
                written.add(name)
        encoded = json.dumps(config, sort_keys=True).encode()
        name = f"{hashlib.sha256(encoded).hexdigest()}.json"
        manifest = json.dumps([{"Config": name, "RepoTags": [args.ref], "Layers": layers}]).encode()
        for entry, content in ((name, encoded), ("manifest.json", manifest)):
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ref", nargs="?", help="the image's name, as pods will give it")
    parser.add_argument(
        "--import",
        dest="archive",
        metavar="TAR",
        help="import an image archive and do nothing else",
    )
    parser.add_argument("--base", metavar="TAR", help="docker-archive to build on")
    parser.add_argument(
        "--add", action="append", default=[], metavar="PATH[=TARGET]", help="one layer"
    )
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--user", metavar="UID[:GID]", help="a number, so that runAsNonRoot can be checked"
    )
    parser.add_argument("--workdir", metavar="DIR")
    parser.add_argument(
        "--keep-owners", action="store_true", help="keep user and group ids (default: root)"
    )
    parser.add_argument("--out", metavar="TAR", help="keep the archive there")
    parser.add_argument(
        "--no-import", action="store_true", help="do not import into the running cluster"
    )
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    args = parser.parse_args(words[:split])
    args.entrypoint = words[split + 1 :]

    if args.archive:
        import_archive(args.archive)
        return
    if not args.ref or not (args.add or args.base):
        parser.error("expected REF and at least one --add or --base")
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(args.out) if args.out else pathlib.Path(scratch, "image.tar")
        build(args, out)
        if not args.no_import:
            import_archive(str(out))


if __name__ == "__main__":
    main()
