"""That the API server would take the manifests, and that these tests would notice if not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from k8s_overlays import ROOT, Overlay
from k8s_render import render
from k8s_schemas import CustomResources, core_problems


def is_ray(document: dict[str, Any]) -> bool:
    return str(document["apiVersion"]).startswith("ray.io/")


def test_kuberay_objects_fit_kuberays_schemas(overlay: Overlay, custom_resources: CustomResources) -> None:
    found = [document for document in overlay.documents if is_ray(document)]
    assert len(found) == 1
    assert custom_resources.problems(found[0]) == []


def test_other_objects_fit_the_schemas_of_kubernetes(overlay: Overlay) -> None:
    for document in overlay.documents:
        if not is_ray(document):
            assert core_problems(document) == [], document["metadata"]["name"]


def test_pod_templates_are_pods_to_kubernetes_too(overlay: Overlay) -> None:
    for name, template in overlay.templates.items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **template["metadata"]}}
        assert core_problems({**pod, "spec": template["spec"]}) == []


HEAD = ("rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0)
BREAKS: list[tuple[tuple[Any, ...], Any]] = [
    (("backoffLimit",), "three"),
    (("ttlSecondsAfterFinished",), "600"),
    (("submissionMod",), "K8sJobMode"),
    (("rayClusterSpec", "autoscalerOptions", "version"), "v3"),
    (("rayClusterSpec", "autoscalerOptions", "upscalingMode"), "Eager"),
    (("rayClusterSpec", "authOptions", "mode"), "password"),
    (("rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
    (("rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"), "16"),
    (("rayClusterSpec", "workerGroupSpecs", 0, "minReplica"), 1),
    ((*HEAD, "securityContext", "readOnlyRootFileSystem"), True),
    ((*HEAD, "env", 0, "value"), 1),
    ((*HEAD, "ports", 0, "containerPort"), "6379"),
]


@pytest.mark.parametrize(("way", "value"), BREAKS, ids=lambda part: str(part[-1]) if isinstance(part, tuple) else "")
def test_a_wrong_field_of_a_kuberay_object_is_noticed(
    way: tuple[Any, ...], value: Any, custom_resources: CustomResources
) -> None:
    documents = render(ROOT / "k8s" / "overlays" / "cpu")
    (broken,) = [one for one in documents if one["kind"] == "RayJob"]
    parent = broken["spec"]
    for part in way[:-1]:
        parent = parent[part]
    parent[way[-1]] = value
    assert custom_resources.problems(broken) != []


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("NetworkPolicy", "policyTypes", "Ingress"),
        ("NetworkPolicy", "podSelectors", {}),
        ("PodDisruptionBudget", "minAvailable", [1]),
        ("PodDisruptionBudget", "minAvailible", 1),
    ],
)
def test_a_wrong_field_of_another_object_is_noticed(kind: str, field: str, value: Any) -> None:
    documents = render(ROOT / "k8s" / "overlays" / "cpu-cluster")
    (broken,) = [one for one in documents if one["kind"] == kind]
    broken["spec"][field] = value
    assert core_problems(broken) != []


def test_kubectl_renders_the_same(overlay: Overlay, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl to compare with")
    done = subprocess.run(
        [kubectl, "kustomize", str(ROOT / "k8s" / "overlays" / overlay.name)],
        env={"HOME": str(tmp_path), "KUBECONFIG": "/dev/null", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert by_name(list(yaml.safe_load_all(done.stdout))) == by_name(overlay.documents)


def by_name(documents: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}
