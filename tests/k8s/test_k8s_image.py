"""The container image: pinned, and of the versions that haarchive is tested with."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from k8s_overlays import ROOT, Overlay
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
}
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
SCRIPT = ROOT / "k8s" / "compile_kernels.py"
PYTHON_ONLY = {"haarchive.codecs.rans.static", "haarchive.codecs.rans.dynamic"}
"""Modules with kernels that no job calls: those of the coder's own Python interface."""


def test_versions_of_the_image_are_those_of_the_constraints() -> None:
    named = re.findall(r"([a-z]+)(?:\[[a-z,]+\])?==([\d.]+)", DOCKERFILE)
    assert {name for name, _ in named} == {"torch", "ray"}
    for name, version in named:
        assert version == PINS[name]
    for line in re.findall(r"pip install .*", DOCKERFILE):
        assert "-c constraints.txt" in line or "--no-deps" in line, line


def test_rays_version_is_that_of_the_constraints(overlay: Overlay) -> None:
    assert overlay.cluster["rayVersion"] == PINS["ray"]


def test_what_a_ray_node_needs_is_pinned_too() -> None:
    needed = [Requirement(text) for text in importlib.metadata.requires("ray") or []]
    extras = [one for one in needed if one.marker and one.marker.evaluate({"extra": "default"})]
    assert len(extras) > 5
    assert {one.name for one in extras if canonicalize_name(one.name) not in PINS} == set()


def test_images_are_pinned_to_the_version_of_the_package(overlay: Overlay) -> None:
    tag = f"{VERSION}-cuda" if overlay.name.startswith("gpu") else VERSION
    images = {container["image"] for name, container in overlay.containers() if name != "head/autoscaler"}
    assert images == {"haarchive:" + tag if overlay.name == "kind" else "registry.example.com/haarchive:" + tag}
    assert "image" not in overlay.cluster["autoscalerOptions"]  # KubeRay takes the head's
    assert f"org.opencontainers.image.version={VERSION}" in DOCKERFILE


def test_the_base_is_pinned_and_the_user_is_the_pods() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert bases == ["python:${PYTHON_TAG}${PYTHON_DIGEST}"] * 2
    (tag,) = re.findall(r"^ARG PYTHON_TAG=(\S+)", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"3\.\d+-slim-\w+", tag)
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "1000:1000"


def test_the_pods_user_and_kernels_are_those_of_the_image(overlay: Overlay) -> None:
    (folder,) = set(re.findall(r"NUMBA_CACHE_DIR=(\S+)", DOCKERFILE))
    for name, template in overlay.templates.items():
        context = template["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (1000, 1000, 1000), name
        for container in template["spec"].get("initContainers", []):
            *_, source, target = container["command"]
            assert source == f"{folder}/."
            assert target == container["volumeMounts"][0]["mountPath"]


def test_what_the_image_copies_is_sent_to_the_builder_and_no_more() -> None:
    ignored, *kept = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert ignored == "*"
    sent = [line.removeprefix("!") for line in kept if line.startswith("!")]
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert sorted(sent) == sorted(copied)
    assert all((ROOT / name).exists() for name in sent)
    assert not [name for name in sent if fnmatch.fnmatch(name, "*secret*")]


def test_the_image_compiles_every_kernel_that_jobs_call_and_pods_find_them_in_a_copy(tmp_path: Path) -> None:
    image, pod = tmp_path / "image", tmp_path / "pod"
    compile_kernels(image)
    indexed = {path.name.rpartition(".py")[0] for path in image.rglob("*.nbi")}
    missing = {name for name, key in kernels() if key not in indexed}
    assert {name.rpartition(".")[0] for name in missing} <= PYTHON_ONLY
    shutil.copytree(image, pod)  # as the init container does
    assert ": 0 compiled" in compile_kernels(pod)


def compile_kernels(cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kernels() -> Iterator[tuple[str, str]]:
    """Full names of all kernels that are kept on disk (not those that are part of others), and numba's name there."""
    for kernel in runpy.run_path(str(SCRIPT))["kernels"]():
        if kernel._cache.cache_path is None:
            continue
        function = kernel.py_func
        module = function.__module__
        key = f"{module.rpartition('.')[2]}.{function.__qualname__}-{function.__code__.co_firstlineno}"
        yield f"{module}.{function.__qualname__}", key
