"""Images with a configuration, made around the one layer of a root file system's tar."""
import hashlib
import io
import json
import pathlib
import platform
import tarfile

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def _parts(layer, config):
    data = pathlib.Path(layer).read_bytes()
    about = {"architecture": ARCH, "os": "linux", "config": config,
             "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]}}
    return data, json.dumps(about).encode()


def _write(file, members):
    with tarfile.open(file, "w") as out:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return file


def docker_save(layer, file, **config):
    """As `docker save` writes it."""
    data, about = _parts(layer, config)
    manifest = [{"Config": "config.json", "RepoTags": ["odd:1"], "Layers": ["layer.tar"]}]
    return _write(file, {"layer.tar": data, "config.json": about, "manifest.json": json.dumps(manifest).encode()})


def oci_layout(layer, file, **config):
    """An OCI image layout."""
    data, about = _parts(layer, config)
    blobs = {}

    def add(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": add("config.v1+json", about), "layers": [add("layer.v1.tar", data)]}
    index = {"schemaVersion": 2, "manifests": [add("manifest.v1+json", json.dumps(manifest).encode())]}
    return _write(file, {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode(), **blobs})
