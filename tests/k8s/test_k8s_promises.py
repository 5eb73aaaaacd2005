"""What the manifests promise: nothing privileged, nothing secret, nothing unbounded, and commands that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from k8s_overlays import ROOT, Overlay

from haarchive.pipeline.cli.app import app
from haarchive.pipeline.config import ArchiveConfig, load_config

UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity such as 10Gi."""
    number, unit = re.fullmatch(r"(\d+)(|Ki|Mi|Gi)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def configuration(overlay: Overlay, tmp_path: Any) -> ArchiveConfig:
    """The job's configuration, read as the job reads it."""
    ((name, text),) = overlay.one("ConfigMap")["data"].items()
    path = tmp_path / name
    path.write_text(text)
    return load_config(path)


def strings(node: Any, way: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a document, with the fields that lead to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from strings(value, f"{way}.{key}")
    elif isinstance(node, list):
        for value in node:
            yield from strings(value, way)
    elif isinstance(node, str):
        yield way, node


def test_no_container_runs_as_root_or_may_become_it(overlay: Overlay) -> None:
    for name, template in overlay.templates.items():
        context = template["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
    for name, container in overlay.containers():
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert not container["securityContext"].get("privileged"), name


def test_root_file_systems_are_read_only_and_what_ray_writes_is_not(overlay: Overlay) -> None:
    for name, container in overlay.containers():
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        mounts = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        if not name.endswith("/kernels"):
            assert "/tmp" in mounts, name
            assert {"name": "HOME", "value": "/tmp"} in container["env"], name
        for variable in container.get("env", []):
            if variable["name"] == "NUMBA_CACHE_DIR":
                assert variable["value"] in mounts, name


def test_every_mount_has_its_volume_and_every_volume_a_bound(overlay: Overlay) -> None:
    for name, template in overlay.templates.items():
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for other, container in overlay.containers():
            if other.split("/")[0] == name:
                assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes), other
        assert all(volume["emptyDir"].get("sizeLimit") for volume in volumes.values() if "emptyDir" in volume), name


def test_every_container_says_what_it_needs_and_gets_no_more(overlay: Overlay) -> None:
    for name, container in overlay.containers():
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["limits"]), name
        assert resources["requests"] == resources["limits"], name


def test_rays_object_store_fits_into_its_shared_memory(overlay: Overlay) -> None:
    cluster = overlay.cluster
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        (shared,) = [volume["emptyDir"] for volume in spec["volumes"] if volume["name"] == "shm"]
        assert shared["medium"] == "Memory"
        store = int(group["rayStartParams"]["object-store-memory"])
        memory = quantity(spec["containers"][0]["resources"]["limits"]["memory"])
        assert store < quantity(shared["sizeLimit"])
        assert store <= memory / 2


def test_no_work_runs_on_the_head(overlay: Overlay) -> None:
    parameters = overlay.cluster["headGroupSpec"]["rayStartParams"]
    assert (parameters["num-cpus"], parameters["num-gpus"]) == ("0", "0")


def test_clusters_scale_by_the_second_autoscaler_within_bounds(overlay: Overlay) -> None:
    cluster = overlay.cluster
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["autoscalerOptions"]["version"] == "v2"
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] < 100
    assert {template["spec"]["restartPolicy"] for template in overlay.templates.values()} == {"Never"}


def test_a_cluster_that_waits_costs_no_workers_and_keeps_its_head(overlay: Overlay) -> None:
    if not overlay.name.endswith("-cluster"):
        pytest.skip("a job's cluster goes with the job")
    assert {group["minReplicas"] for group in overlay.cluster["workerGroupSpecs"]} == {0}
    budget = overlay.one("PodDisruptionBudget")["spec"]
    assert budget["minAvailable"] == 1
    head = overlay.templates["head"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= head.items()
    assert all(
        not budget["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        for name, template in overlay.templates.items()
        if name != "head"
    )


def test_gpu_workers_ask_for_the_nodes_that_have_them(overlay: Overlay) -> None:
    groups = {group["groupName"]: group["template"]["spec"] for group in overlay.cluster["workerGroupSpecs"]}
    assert set(groups) == ({"cpu", "gpu"} if overlay.name.startswith("gpu") else {"cpu"})
    for name, spec in groups.items():
        on_gpu = "nvidia.com/gpu" in spec["containers"][0]["resources"]["limits"]
        tolerated = {toleration["key"] for toleration in spec.get("tolerations", [])}
        assert on_gpu == (name == "gpu") == bool(spec.get("nodeSelector")) == ("nvidia.com/gpu" in tolerated), name


def test_secrets_are_named_and_never_written_down(overlay: Overlay) -> None:
    assert "Secret" not in {document["kind"] for document in overlay.documents}
    for name in ("head", *(group["groupName"] for group in overlay.cluster["workerGroupSpecs"])):
        (container,) = overlay.templates[name]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "haarchive-storage"}}], name
    for way, text in strings(overlay.documents):
        assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|(secret|access).?key\s*[:=]", text, re.IGNORECASE), way
    for name, container in overlay.containers():
        given = [variable["name"] for variable in container.get("env", []) if "value" in variable]
        assert not [variable for variable in given if re.search("KEY|TOKEN|PASSWORD|SECRET", variable)], name


def test_only_the_autoscaler_can_reach_the_api_server(overlay: Overlay) -> None:
    assert {account["automountServiceAccountToken"] for account in accounts(overlay)} == {False}
    named = {template["spec"]["serviceAccountName"] for template in overlay.templates.values()}
    assert named == {account["metadata"]["name"] for account in accounts(overlay)}
    for template in overlay.templates.values():
        assert template["spec"]["automountServiceAccountToken"] is False
    with_token = {
        name
        for name, container in overlay.containers()
        if any("serviceaccount" in mount["mountPath"] for mount in container["volumeMounts"])
    }
    assert with_token == {"head/autoscaler"}


def accounts(overlay: Overlay) -> list[dict[str, Any]]:
    return [document for document in overlay.documents if document["kind"] == "ServiceAccount"]


def test_rays_ports_are_closed_to_strangers(overlay: Overlay) -> None:
    assert overlay.cluster["authOptions"] == {"mode": "token"}
    policy = overlay.one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    for name, template in overlay.templates.items():
        assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items(), name
    inside, *outside = policy["ingress"]
    assert inside == {"from": [{"podSelector": policy["podSelector"]}]}
    assert [[port["port"] for port in rule["ports"]] for rule in outside] == [[8265], [8080]]


def test_everything_is_in_one_namespace(overlay: Overlay) -> None:
    assert {document["metadata"]["namespace"] for document in overlay.documents} == {"haarchive"}


def test_a_job_has_a_fresh_cluster_for_each_attempt(job: Overlay) -> None:
    spec = job.one("RayJob")["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    # With an id of its own, or on a cluster that is there already, KubeRay would find the failed attempt again.
    assert not {"jobId", "clusterSelector", "suspend"} & set(spec)


def test_a_jobs_configuration_fits_its_cluster(job: Overlay, tmp_path: Any) -> None:
    config = configuration(job, tmp_path)
    groups = {group["groupName"]: group["template"]["spec"] for group in job.cluster["workerGroupSpecs"]}
    assert (config.device == "cuda") == (config.actors.num_gpus > 0) == ("gpu" in groups)
    resources = groups["gpu" if "gpu" in groups else "cpu"]["containers"][0]["resources"]["limits"]
    # Actors fill a node's cores, and those of one node share its GPU.
    assert config.actors.num_cpus == 1
    assert config.actors.num_gpus * int(resources["cpu"]) == int(resources.get("nvidia.com/gpu", 0))


def test_a_jobs_command_is_one_that_haarchive_knows(job: Overlay) -> None:
    program, name, *arguments = shlex.split(job.one("RayJob")["spec"]["entrypoint"])
    assert (program, name) == ("haarchive", "archive")
    group = typer.main.get_command(app)
    with group.make_context(program, [name, *arguments]) as context:
        command = group.get_command(context, name)  # type: ignore[attr-defined]
        given = command.make_context(name, arguments, parent=context).params
    assert given["ray"] is True
    assert given["job"]  # what makes the next attempt go on
    assert given["sources"] == ["s3://my-slides/2026/"]
    assert given["url"] == "s3://my-archive/slides"
    mounts = {m["mountPath"]: m["name"] for m in job.templates["head"]["spec"]["containers"][0]["volumeMounts"]}
    folder, _, file = given["config"].rpartition("/")
    volumes = {volume["name"]: volume for volume in job.templates["head"]["spec"]["volumes"]}
    assert volumes[mounts[folder]]["configMap"]["name"] == job.one("ConfigMap")["metadata"]["name"]
    assert file in job.one("ConfigMap")["data"]


def test_the_pages_name_only_overlays_that_are_there() -> None:
    text = (ROOT / "k8s" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"k8s/overlays/([\w-]+)", text))
    assert named >= {"cpu", "gpu", "cpu-cluster", "gpu-cluster", "kind"}
    assert all((ROOT / "k8s" / "overlays" / name).is_dir() for name in named)
