"""The manifests are valid for Kubernetes and for KEDA, and have the promised limits and privileges."""

import json
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda import v1alpha1 as keda

from jobs.settings import ROOT, Settings
from tests.manifests import COMPONENTS, OVERLAYS, Manifest, of_kind, overlay, pods, rendered, worker_manifests
from worker.app import hard_limit_seconds

KEDA = {"ScaledObject": keda.ScaledObject, "TriggerAuthentication": keda.TriggerAuthentication}
every_overlay = pytest.mark.parametrize("name", OVERLAYS)


def check(manifest: Manifest) -> None:
    """Fails if Kubernetes, or KEDA for its own kinds, would not accept the manifest unchanged."""
    model = KEDA.get(manifest["kind"])
    if model is None:
        kubernetes_validate.validate(manifest, "1.37", strict=True)
        return
    # KEDA's models drop unknown fields, so the output would differ from the input.
    read = model.model_validate(manifest)
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == manifest


@every_overlay
def test_an_overlay_is_valid(name: str) -> None:
    for manifest in overlay(name):
        check(manifest)


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_makes_an_overlay_with_one_more_worker(name: str, tmp_path: Path) -> None:
    # Kustomize accepts only relative paths.
    deploy = tmp_path / "deploy"
    deploy.symlink_to(ROOT / "deploy")
    mine = tmp_path / "mine"
    mine.mkdir()
    mine.joinpath("kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["../deploy/overlays/managed"], "components": [f"../deploy/components/{name}"]})
    )

    manifests = rendered(mine)

    assert pods(manifests).keys() - pods(overlay("managed")).keys() == {name}
    for manifest in manifests:
        check(manifest)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [("Deployment", {"replicaCount": 2}), ("ScaledObject", {"minReplicas": 0})],
)
def test_a_misspelt_field_is_an_error(kind: str, wrong: Manifest) -> None:
    manifest = of_kind(overlay("cpu"), kind)[0]

    with pytest.raises((kubernetes_validate.ValidationError, AssertionError)):
        check({**manifest, "spec": manifest["spec"] | wrong})


@every_overlay
def test_every_pod_has_minimal_privileges(name: str) -> None:
    found = pods(overlay(name))

    assert {"api", "migrate", "redis", "worker-pytorch", "worker-tensorflow", "worker-onnx"} <= found.keys()
    for pod in found.values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= container["resources"].keys()


@every_overlay
def test_every_pod_has_probes_and_every_worker_has_time_to_end(name: str) -> None:
    for process, pod in pods(overlay(name)).items():
        [container] = pod["containers"]
        if process != "migrate":
            assert {"livenessProbe", "readinessProbe"} <= container.keys()
        # Otherwise Kubernetes adds variables like API_PORT; the settings refuse unknown ones that begin with BOXQUEUE_.
        assert pod["enableServiceLinks"] is False
        if process.startswith("worker-"):
            assert pod["terminationGracePeriodSeconds"] > hard_limit_seconds(Settings())


@every_overlay
def test_every_server_has_a_disruption_budget_and_workers_scale_from_zero(name: str) -> None:
    manifests = overlay(name)
    workers = {process for process in pods(manifests) if process.startswith("worker-")}
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in of_kind(manifests, "ScaledObject")}
    budgets = {one["metadata"]["name"] for one in of_kind(manifests, "PodDisruptionBudget")}

    assert scaled.keys() == workers
    assert all(spec["minReplicaCount"] == 0 < spec["maxReplicaCount"] for spec in scaled.values())
    assert budgets == {"api", *workers}
    # With a number here, every apply would undo the scaler's decision.
    assert not [
        one
        for one in of_kind(manifests, "Deployment")
        if one["metadata"]["name"] in workers and "replicas" in one["spec"]
    ]


def test_policies_and_budgets_select_existing_pods() -> None:
    for name in OVERLAYS:
        manifests = overlay(name)
        makers = of_kind(manifests, "Deployment", "StatefulSet", "Job")
        labels = [maker["spec"]["template"]["metadata"]["labels"] for maker in makers]
        selectors = [
            one["spec"]["podSelector" if one["kind"] == "NetworkPolicy" else "selector"].get("matchLabels", {})
            for one in of_kind(manifests, "NetworkPolicy", "PodDisruptionBudget")
        ]
        for selector in selectors:
            assert any(selector.items() <= pod.items() for pod in labels), selector


def test_the_default_network_policy_denies_all_traffic() -> None:
    policies = of_kind(overlay("managed"), "NetworkPolicy")

    [default] = [one["spec"] for one in policies if one["metadata"]["name"] == "nothing-else"]
    assert default == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_worker_manifests_differ_only_in_the_runtime() -> None:
    found = worker_manifests()

    assert len(found) == 5
    plain = [
        json.dumps(manifests).replace(name.removeprefix("worker-"), "RUNTIME") for name, manifests in found.items()
    ]
    assert len(set(plain)) == 1


def test_only_cuda_images_request_a_gpu() -> None:
    for name, pod in pods(overlay("gpu")).items():
        [container] = pod["containers"]
        assert container["image"].endswith("-cuda") == ("nvidia.com/gpu" in container["resources"]["limits"])
        assert container["image"].endswith("-cuda") == name.startswith("worker-")


def test_no_overlay_contains_a_secret() -> None:
    for name in OVERLAYS:
        assert not of_kind(overlay(name), "Secret")
