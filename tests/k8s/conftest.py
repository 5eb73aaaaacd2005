"""The overlays, and KubeRay's schemas where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from k8s_overlays import JOBS, OVERLAYS, ROOT, Overlay, rendered
from k8s_schemas import CustomResources


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    """Each overlay."""
    return rendered(request.param)


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest) -> Overlay:
    """Each overlay that is one job."""
    return rendered(request.param)


@pytest.fixture(scope="session")
def custom_resources() -> CustomResources:
    """KubeRay's kinds; tests that need them are skipped without the folder of their definitions."""
    folder = Path(os.environ.get("HAARCHIVE_KUBERAY_CRDS", ROOT.parent / "shared" / "k8s"))
    if not any(folder.glob("ray.io_*.yaml")):
        pytest.skip("KubeRay's definitions are not here (set HAARCHIVE_KUBERAY_CRDS to ray-operator/config/crd/bases)")
    return CustomResources(folder)
