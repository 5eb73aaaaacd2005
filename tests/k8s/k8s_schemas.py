"""Whether the API server would take an object: by KubeRay's schemas, or by Kubernetes' own."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

__all__ = ["KUBERNETES", "CustomResources", "core_problems"]

KUBERNETES = "1.29"
"""The oldest Kubernetes whose schemas the manifests are held to; what it takes, newer ones take."""


class CustomResources:
    """The kinds of a folder of CustomResourceDefinitions.

    Unknown fields are errors, as they are for ``kubectl apply``.
    """

    def __init__(self, folder: Path) -> None:
        self._validators: dict[tuple[str, str], Any] = {}
        for path in sorted(folder.glob("*.yaml")):
            definition = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}
                _close(schema)
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                self._validators[key] = jsonschema.Draft202012Validator(schema)

    def problems(self, document: dict[str, Any]) -> list[str]:
        """What is wrong with an object, a line each."""
        validator = self._validators.get((document["apiVersion"], document["kind"]))
        if validator is None:
            return [f"there is no {document['kind']} in {document['apiVersion']}"]
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def core_problems(document: dict[str, Any]) -> list[str]:
    """What is wrong with an object of Kubernetes' own kinds."""
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(str(part) for part in error.path)}: {error.message}"]
    return []


def _close(schema: Any) -> None:
    """Forbid fields that a schema does not name."""
    if isinstance(schema, list):
        for item in schema:
            _close(item)
    elif isinstance(schema, dict):
        named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
        if named and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema["additionalProperties"] = False
        for value in list(schema.values()):
            _close(value)
