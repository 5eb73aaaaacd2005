"""The overlays of k8s/, rendered, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from k8s_render import Documents, render

__all__ = ["JOBS", "OVERLAYS", "ROOT", "Overlay", "rendered"]

ROOT = Path(__file__).parents[2]
OVERLAYS = sorted(path.parent.name for path in (ROOT / "k8s" / "overlays").glob("*/kustomization.yaml"))
JOBS = [name for name in OVERLAYS if not name.endswith("-cluster")]


@dataclass(frozen=True)
class Overlay:
    """A rendered overlay."""

    name: str
    documents: Documents

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = [document for document in self.documents if document["kind"] == kind]
        return found

    @property
    def cluster(self) -> dict[str, Any]:
        """The spec of its Ray cluster."""
        if self.name in JOBS:
            return dict(self.one("RayJob")["spec"]["rayClusterSpec"])
        return dict(self.one("RayCluster")["spec"])

    @property
    def templates(self) -> dict[str, dict[str, Any]]:
        """Its pod templates, by what they are for."""
        groups = {group["groupName"]: group["template"] for group in self.cluster["workerGroupSpecs"]}
        found = {"head": self.cluster["headGroupSpec"]["template"], **groups}
        if self.name in JOBS:
            found["submitter"] = self.one("RayJob")["spec"]["submitterPodTemplate"]
        return found

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every container, with the name of the pod that it is of; the autoscaler, which KubeRay adds, as well."""
        for name, template in self.templates.items():
            spec = template["spec"]
            for container in [*spec.get("initContainers", []), *spec["containers"]]:
                yield f"{name}/{container['name']}", container
        yield "head/autoscaler", self.cluster["autoscalerOptions"]


@lru_cache
def rendered(name: str) -> Overlay:
    return Overlay(name, render(ROOT / "k8s" / "overlays" / name))
