"""What ``kubectl kustomize`` prints, for the part of kustomize that k8s/ uses; anything else is refused.

No package brings kustomize to Python, and manifests must be checked where there is no kubectl too. Where there is one,
a test compares the two.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Documents", "render"]

Documents = list[dict[str, Any]]

LOCAL = "config.kubernetes.io/local-config"
KEYS = {
    "apiVersion", "kind", "namespace", "resources", "components", "patches", "replacements",
    "configMapGenerator", "generatorOptions", "images",
}  # fmt: skip


def render(folder: Path) -> Documents:
    """The objects that the kustomization in a folder stands for."""
    documents = _build(folder, [])
    return [one for one in documents if one["metadata"].get("annotations", {}).get(LOCAL) != "true"]


def _build(folder: Path, documents: Documents) -> Documents:
    """Add what a kustomization brings to the documents, and change them as it says, in kustomize's order."""
    spec = _load(folder / "kustomization.yaml")[0]
    _only(spec, KEYS)
    for name in spec.get("resources", []):
        path = (folder / name).resolve()
        documents = documents + (_build(path, []) if path.is_dir() else _load(path))
    for name in spec.get("components", []):
        documents = _build((folder / name).resolve(), documents)
    documents = documents + [_config_map(folder, one, spec) for one in spec.get("configMapGenerator", [])]
    for patch in spec.get("patches", []):
        _patch(folder, patch, documents)
    if "namespace" in spec:
        for one in documents:
            one["metadata"]["namespace"] = spec["namespace"]
    for image in spec.get("images", []):
        _set_image(documents, image)
    for replacement in spec.get("replacements", []):
        _replace(replacement, documents)
    return documents


def _load(path: Path) -> list[Any]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def _config_map(folder: Path, generator: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    _only(generator, {"name", "files"})
    assert spec.get("generatorOptions") == {"disableNameSuffixHash": True}, "names with a hash are not rendered here"
    data = {name: (folder / name).read_text(encoding="utf-8") for name in generator["files"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def _patch(folder: Path, patch: dict[str, Any], documents: Documents) -> None:
    _only(patch, {"path", "target"})
    (content,) = _load(folder / patch["path"])
    if isinstance(content, list):
        (found,) = _select(documents, patch["target"])
        for step in content:
            _operate(found, step)
        return
    assert content["apiVersion"].startswith("ray.io/"), "lists of Kubernetes' own kinds merge by rules not known here"
    (found,) = _select(documents, {"kind": content["kind"], "name": content["metadata"]["name"]})
    _merge(found, content)


def _select(documents: Documents, target: dict[str, Any]) -> Documents:
    _only(target, {"kind", "name"})
    return [one for one in documents if one["kind"] == target["kind"] and one["metadata"]["name"] == target["name"]]


def _operate(document: dict[str, Any], step: dict[str, Any]) -> None:
    """One step of a JSON patch (RFC 6902)."""
    _only(step, {"op", "path", "value"})
    assert step["op"] in ("add", "replace"), step
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    parent: Any = document
    for part in way:
        parent = parent[int(part)] if isinstance(parent, list) else parent[part]
    value = copy.deepcopy(step["value"])
    if last == "-":
        parent.append(value)
    elif isinstance(parent, list):
        parent[int(last)] = value
    else:
        assert step["op"] == "add" or last in parent, f"{step['path']}: there is nothing to replace"
        parent[last] = value


def _merge(into: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _set_image(node: Any, image: dict[str, Any]) -> None:
    _only(image, {"name", "newName", "newTag"})
    if isinstance(node, list):
        for item in node:
            _set_image(item, image)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("containers", "initContainers"):
                for container in value:
                    if container["image"].split(":")[0] == image["name"]:
                        container["image"] = f"{image['newName']}:{image['newTag']}"
            _set_image(value, image)


def _replace(replacement: dict[str, Any], documents: Documents) -> None:
    source = dict(replacement["source"])
    path = source.pop("fieldPath")
    (found,) = _select(documents, source)
    value = _at(found, path.split("."))
    for target in replacement["targets"]:
        _only(target, {"select", "fieldPaths"})
        for one in _select(documents, target["select"]):
            for name in target["fieldPaths"]:
                *way, last = name.split(".")
                _at(one, way)[last] = copy.deepcopy(value)


def _at(node: Any, way: list[str]) -> Any:
    for part in way:
        node = node[part]
    return node


def _only(record: dict[str, Any], known: set[str]) -> None:
    assert set(record) <= known, f"this renderer does not know {sorted(set(record) - known)}"
