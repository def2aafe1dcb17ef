"""The old release as an image: archives, layouts, layers that take back what lower ones had, and hostile ones."""

import hashlib
import io
import json
import re
import stat
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import env_files
from harness.command import Outcome
from harness.project import Project
from sage_migrate.errors import UsageError
from sage_migrate.trace.old_code.image import unpacked

_MODELS = b"""
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
class Base(DeclarativeBase): pass
class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
"""
_CONFIG = {"config": {"WorkingDir": "/app", "Env": ["PATH=/bin", "PYTHONPATH=/app/lib:/opt/shared"]}}
Member = bytes | str | tarfile.TarInfo


def _layer(members: Mapping[str, Member], mode: str = "w") -> bytes:
    """Return a layer: contents by name, a text for a symbolic link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as packed:  # type: ignore[call-overload]
        for name, content in members.items():
            member = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            data = content if isinstance(content, bytes) else b""
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _docker_archive(file: Path, layers: Sequence[bytes], config: Mapping[str, Any] = _CONFIG) -> Path:
    names = [f"{place}/layer.tar" for place in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": ["shop:v1"], "Layers": names}]
    contents = {"manifest.json": json.dumps(manifest).encode(), "config.json": json.dumps(config).encode()}
    file.write_bytes(_layer(contents | dict(zip(names, layers, strict=True))))
    return file


def _layout(directory: Path, layers: Sequence[bytes]) -> Path:
    """Write an OCI layout whose index leads to one for several platforms."""
    (directory / "blobs" / "sha256").mkdir(parents=True)

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (directory / "blobs" / "sha256" / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def document(content: Any, kind: str) -> dict[str, Any]:
        return blob(json.dumps(content).encode(), kind)

    layer_blobs = [blob(each, "layer.v1.tar+gzip") for each in layers]
    manifest = {"config": document(_CONFIG, "config.v1+json"), "layers": layer_blobs}
    proof = document({}, "manifest.v1+json") | {"platform": {"os": "unknown", "architecture": "unknown"}}
    image = document(manifest, "manifest.v1+json") | {"platform": {"os": "linux", "architecture": "arm64"}}
    index = document({"manifests": [proof, image]}, "index.v1+json")
    (directory / "index.json").write_text(json.dumps({"manifests": [index]}))
    return directory


_LAYERS: tuple[Mapping[str, Member], ...] = (
    {"app/models.py": b"old = 1", "app/gone.py": b"", "app/part/a.py": b"", "etc/passwd": b"", "opt/shared/more.py": b"", "app/c.so": b""},
    {
        "app/models.py": _MODELS, "app/.wh.gone.py": b"", "app/part/.wh..wh..opq": b"", "app/part/b.py": b"", "app/lib": "/opt/shared",
        "opt/venv/lib/python3.13/site-packages/dep.py": b"",
    },
)  # fmt: skip


def _files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_an_archive_and_a_layout_are_the_same_files(tmp_path: Path) -> None:
    """Layers lie on each other, and what a later one takes back is gone; of the rest of the system nothing is unpacked."""
    archive = _docker_archive(tmp_path / "image.tar", [_layer(each) for each in _LAYERS])
    layout = _layout(tmp_path / "layout", [_layer(each, "w:gz") for each in _LAYERS])
    for image in (archive, layout):
        with unpacked(str(image)) as release:
            root = release.directory.parent
            assert _files(root) == [
                "app/models.py",
                "app/part/b.py",
                "opt/shared/more.py",
                "opt/venv/lib/python3.13/site-packages/dep.py",
            ]
            assert (release.directory / "lib" / "more.py").is_file()
            assert (release.directory / "models.py").read_bytes() == _MODELS
            assert release.path == (root / "app/lib", root / "opt/shared")
            assert release.packages == (root / "opt/venv/lib/python3.13/site-packages",)
        assert not root.exists()
    with unpacked(str(tmp_path)) as release:
        assert release.directory == tmp_path


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    """Names and links that lead out of the image, and devices, are left out."""
    device = tarfile.TarInfo("app/null")
    device.type = tarfile.CHRTYPE
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("")
    hostile: dict[str, Member] = {
        "app/ok.py": b"", "../../escaped.py": b"", "app/null": device,
        "app/out": f"../../../../../../../..{victim}", "app/out/evil.py": b"",
        "app/out/.wh.kept": b"", "app/up": "../../..", "app/up/over.py": b"",
    }  # fmt: skip
    with unpacked(str(_docker_archive(tmp_path / "image.tar", [_layer(hostile)]))) as release:
        assert _files(release.directory.parent) == ["app/ok.py", "app/out/evil.py", "app/up/over.py"]
    assert _files(victim) == ["kept"]
    assert not list(tmp_path.glob("**/escaped.py"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "cannot be read: file could not be opened successfully"),
        (_layer({"other": b""}), "cannot be read: .*index.json"),
        (_layer({"manifest.json": b"[]"}), "cannot be read: it holds 0 images, and one is needed."),
        (
            _layer({"index.json": json.dumps({"manifests": [{"digest": "sha256:../../etc/passwd"}]}).encode()}),
            r"cannot be read: sha256:\.\./\.\./etc/passwd is no digest.",
        ),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """With what it lacks."""
    (tmp_path / "image.tar").write_bytes(content)
    with pytest.raises(UsageError, match=message), unpacked(str(tmp_path / "image.tar")):
        pass


def test_an_engine_saves_a_named_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the commands that docker and podman share: the image is looked for, pulled where it is not there, and saved."""
    archive = _docker_archive(tmp_path / "image.tar", [_layer(each) for each in _LAYERS])
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/said\ncase "$*" in\n"image inspect shop:v1") exit 1 ;;\n"pull --quiet shop:v1") ;;\n'
        f'"save --output "*" shop:v1") cp {archive} "$3" ;;\n*) echo "no such image: $3" >&2; exit 1 ;;\nesac\n'
    )
    engine.chmod(engine.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{engine.parent}:/usr/bin:/bin")
    with unpacked("shop:v1") as release:
        assert (release.directory / "models.py").read_bytes() == _MODELS
    said = re.sub(r"/\S*image\.tar", "FILE", (tmp_path / "said").read_text()).splitlines()
    assert said == ["image inspect shop:v1", "pull --quiet shop:v1", "save --output FILE shop:v1"]
    with (
        pytest.raises(UsageError, match="--old-image nowhere cannot be had: no such image: nowhere"),
        unpacked("nowhere"),
    ):
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is neither docker nor podman to get it"), unpacked("shop:v1"):
        pass


def test_models_of_an_image_are_the_old_code(trace: Callable[..., Outcome], shop: Project, tmp_path: Path) -> None:
    """Its own env.py leads to them, in its files, not in today's of the same name; what they do not map may go."""
    env = env_files.SYNC.replace("target_metadata = None", "import models\ntarget_metadata = models.Base.metadata")
    assert "models.Base.metadata" in env
    configuration = shop.directory.joinpath("alembic.ini").read_text()
    files = {
        "app/migrations/env.py": env.encode(),
        "app/migrations/versions/README": b"",
        "app/alembic.ini": configuration.encode(),
    }
    image = _docker_archive(tmp_path / "image.tar", [_layer(files), *(_layer(each) for each in _LAYERS)])
    shop.write("models.py", "raise RuntimeError('today')")
    shop.add("b2", "ALTER TABLE orders DROP COLUMN total", downgrade="ALTER TABLE orders ADD COLUMN total int")
    shop.add("c3", "ALTER TABLE orders RENAME status TO state", downgrade="ALTER TABLE orders RENAME state TO status")
    arguments = ("a1:", "--old-image", str(image), "--format", "json")
    found = json.loads(trace(*arguments).expect(1).stdout)
    assert found["old_code"] == f"the models in {image}"
    assert [each["verdict"] for each in found["revisions"]] == ["expand", "contract"]
    assert any(proof.startswith("models.py:7: column") for proof in found["revisions"][1]["hazards"][0]["evidence"])
