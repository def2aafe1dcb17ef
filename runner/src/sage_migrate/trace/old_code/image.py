"""The files of an image, from a local engine, an archive or a layout, as far as its Python code needs them."""

import contextlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sage_migrate.errors import UsageError

_ENGINES = ("docker", "podman")
_DIGEST = re.compile(r"sha(?:256|512):[0-9a-f]{64,128}")
_INDEX = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
# https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_PACKAGES = {"site-packages", "dist-packages"}
# Made for another machine, or for another Python.
_COMPILED = {".so", ".pyc", ".a"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Where the code of a release lies."""

    directory: Path
    """In which its process begins."""
    path: tuple[Path, ...] = ()
    """Where else its modules are looked for first."""
    packages: tuple[Path, ...] = ()
    """Where they are looked for where this environment has none of the name."""


@contextlib.contextmanager
def unpacked(image: str) -> Iterator[Release]:
    """Yield the release in an image, which is named, an archive (docker save, OCI), an OCI layout, or a directory of files.

    Raises:
        UsageError: there is no such image, or it cannot be read.
    """
    given = Path(image)
    if given.is_dir() and not (given / "index.json").is_file():
        yield Release(directory=given.absolute())
        return
    with tempfile.TemporaryDirectory(prefix="sage-image-") as name:
        directory = Path(name)
        archive = given if given.exists() else _save(image, directory / "image.tar")
        try:
            with _contents(archive) as read:
                yield _unpack(read, directory / "files")
        except (tarfile.TarError, KeyError, ValueError, TypeError, EOFError) as error:
            raise UsageError(
                f"--old-image {image} cannot be read: {' '.join(str(error).split()) or type(error).__name__}.",
                remedy="It must be the name of an image, an archive of `docker save` or of an OCI layout (layers with gzip or "
                "without), or a directory with the release's files.",
            ) from error


def _save(image: str, file: Path) -> Path:
    """Let the engine that is here write an archive; an image that it has not is pulled."""
    engine = next((each for each in _ENGINES if shutil.which(each)), None)
    if engine is None or image.startswith("-"):
        raise UsageError(
            f"--old-image {image} is no file and no directory, and there is neither {' nor '.join(_ENGINES)} to get it.",
            remedy="Save it where there is one: docker save --output FILE IMAGE.",
        )
    if _run(engine, "image", "inspect", image).returncode:
        _check(image, _run(engine, "pull", "--quiet", image))
    _check(image, _run(engine, "save", "--output", str(file), image))
    return file


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  the user's own engine


def _check(image: str, done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise UsageError(f"--old-image {image} cannot be had: {last}.")


_Read = Callable[[str], IO[bytes]]


@contextlib.contextmanager
def _contents(archive: Path) -> Iterator[_Read]:
    """Yield how to read a file of an archive or a layout; KeyError where it has none of the name."""
    if archive.is_dir():

        def read_file(name: str) -> IO[bytes]:
            try:
                return (archive / name).open("rb")
            except OSError as error:
                raise KeyError(f"it has no {name}") from error

        yield read_file
        return
    with tarfile.open(archive) as packed:

        def read_member(name: str) -> IO[bytes]:
            found = packed.extractfile(name)
            if found is None:
                raise KeyError(f"{name} is no file")
            return found

        yield read_member


def _unpack(read: _Read, root: Path) -> Release:
    config, layers = _describe(read)
    directory = PurePosixPath("/") / (config.get("WorkingDir") or "/")
    variables = dict(each.partition("=")[::2] for each in config.get("Env") or ())
    path = [directory / each for each in variables.get("PYTHONPATH", "").split(":") if each]
    wanted = [each.relative_to("/") for each in (directory, *path)]
    root.mkdir()
    for layer in layers:
        with read(layer) as file, tarfile.open(fileobj=file) as packed:
            _unpack_layer(packed, root, wanted)
    there = root / directory.relative_to("/")
    if not there.is_dir():
        raise ValueError(f"its working directory {directory} is in no layer")
    packages = sorted(each for name in _PACKAGES for each in root.rglob(name) if each.is_dir())
    return Release(directory=there, path=tuple(root / each.relative_to("/") for each in path), packages=tuple(packages))


def _describe(read: _Read) -> tuple[dict[str, Any], list[str]]:
    """Return the image's configuration, and the files of its layers from the lowest on."""
    try:
        manifests = _document(read, "manifest.json")
    except KeyError:
        manifest = _manifest(read, _document(read, "index.json"))
        config, layers = _blob(manifest["config"]), [_blob(each) for each in manifest["layers"]]
    else:
        if len(manifests) != 1:
            raise ValueError(f"it holds {len(manifests)} images, and one is needed")
        config, layers = manifests[0]["Config"], manifests[0]["Layers"]
    return _document(read, config).get("config") or {}, layers


def _document(read: _Read, name: str) -> Any:
    with read(name) as file:
        return json.load(file)


def _manifest(read: _Read, index: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of an image; of one for several platforms the first: its Python code is the same."""
    images = [each for each in index["manifests"] if each.get("platform", {}).get("os") != "unknown"]
    if not images:
        raise ValueError("its index names no image")
    found: dict[str, Any] = _document(read, _blob(images[0]))
    return _manifest(read, found) if images[0].get("mediaType") in _INDEX else found


def _blob(descriptor: dict[str, Any]) -> str:
    digest = str(descriptor["digest"])
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest} is no digest")
    return f"blobs/{digest.replace(':', '/')}"


def _unpack_layer(packed: tarfile.TarFile, root: Path, wanted: Sequence[PurePosixPath]) -> None:
    members = [(_place(each.name), each) for each in packed.getmembers()]
    for place, _ in members:
        if place.name == _OPAQUE:
            _remove(root / place.parent, root)
        elif place.name.startswith(_WHITEOUT):
            _remove(root / place.with_name(place.name.removeprefix(_WHITEOUT)), root)
    for place, member in members:
        is_wanted = any(place.is_relative_to(each) for each in wanted) or _PACKAGES & set(place.parts)
        if is_wanted and place.suffix not in _COMPILED and not place.name.startswith(_WHITEOUT):
            with contextlib.suppress(tarfile.FilterError, OSError, KeyError):  # a device, or a link out of the image
                packed.extract(member, root, filter=_inside)


def _place(name: str) -> PurePosixPath:
    return PurePosixPath(*(part for part in PurePosixPath(name).parts if part not in ("/", ".", "..")))


def _remove(path: Path, root: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir() and path != root and path.resolve().is_relative_to(root.resolve()):
        shutil.rmtree(path)


def _inside(member: tarfile.TarInfo, root: str) -> tarfile.TarInfo | None:
    """Let a member in that stays inside; the target of an absolute link is one of the image."""
    if member.issym() and member.linkname.startswith("/"):
        up = "../" * (len(_place(member.name).parts) - 1)
        member = member.replace(linkname=f"{up}{member.linkname.lstrip('/')}" or ".", deep=False)
    return tarfile.data_filter(member, root)
