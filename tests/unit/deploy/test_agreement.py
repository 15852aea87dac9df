"""Compose, Kustomize, the workflows and the images agree with the code on names, ports and settings."""

import re
from typing import Any

import pytest
import yaml

from jobs.settings import PREFIX, ROOT, Settings
from tests.manifests import OVERLAYS, commands, of_kind, overlay, pods, worker_manifests, workflows

DOCKERFILES = {file.stem: file.read_text() for file in (ROOT / "docker").glob("*.Dockerfile")}
BAKE = (ROOT / "docker" / "bake.hcl").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
FILES = [
    ROOT / "compose.yaml",
    *(ROOT / "docker").glob("*.Dockerfile"),
    *(ROOT / "deploy").rglob("*.yaml"),
    *(ROOT / ".github").rglob("*.yml"),
    ROOT / ".ci" / "try-image",
]


def bake_images() -> dict[str, str]:
    """Target -> image without registry and tag, but with the tag's suffix: `worker-pytorch-cuda`."""
    targets = re.findall(r'^target "([\w-]+)" {\n(.*?)^}', BAKE, re.MULTILINE | re.DOTALL)
    tags = {target: re.search(r'"\${REGISTRY}/([\w-]+):\${TAG}([\w-]*)"', body) for target, body in targets}
    return {target: tag[1] + tag[2] for target, tag in tags.items() if tag}


def workers() -> dict[str, Any]:
    """Name -> container of each worker in the manifests."""
    return {name: pods(manifests)[name]["containers"][0] for name, manifests in worker_manifests().items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_setting_in_a_deployment_exists(file: Any) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}

    assert set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", file.read_text())) <= known


def test_compose_passes_on_every_setting() -> None:
    passed = {name for service in COMPOSE.values() for name in service.get("environment", ())}
    in_image = set(re.findall(rf"\b{PREFIX}[A-Z_]+(?==)", "".join(DOCKERFILES.values())))

    assert {PREFIX + name.upper() for name in Settings.model_fields} <= passed | in_image


def test_kubernetes_runs_the_images_that_are_built() -> None:
    images = {
        container["image"]
        for name in OVERLAYS
        for pod in pods(overlay(name)).values()
        for container in pod["containers"]
    }
    images |= {container["image"] for container in workers().values()}
    ours = {image.removeprefix("boxqueue/") for image in images if image.startswith("boxqueue/")}

    built = {re.sub(r"(-cuda)?$", r":latest\1", image, count=1) for image in bake_images().values()}
    assert ours <= built
    assert {image.partition(":")[0] for image in ours} <= DOCKERFILES.keys()
    # Compose and Kubernetes run the same images of the servers.
    assert images - {f"boxqueue/{image}" for image in ours} == {COMPOSE["redis"]["image"], COMPOSE["postgres"]["image"]}


def test_compose_runs_the_images_that_are_built() -> None:
    images = [service["image"] for service in COMPOSE.values() if service["image"].startswith("boxqueue/")]

    for image in images:
        name, _, tag = image.removeprefix("boxqueue/").partition(":")
        assert name + tag.removeprefix("${TAG:-latest}") in bake_images().values()


def test_a_worker_is_named_after_its_queue() -> None:
    for name, container in workers().items():
        runtime = name.removeprefix("worker-")
        health = ["python", "-m", "worker.health", runtime]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["exec"]["command"] == health
        assert f"CMD {health}".replace("'", '"') in DOCKERFILES[name]
        assert f'CMD ["python", "-m", "worker", "{runtime}"]' in DOCKERFILES[name]
        assert not container.keys() & {"command", "args"}


def test_the_bundled_models_have_workers_everywhere() -> None:
    models = (ROOT / "weights" / "catalogue.toml").read_text()
    names = {f"worker-{runtime}" for runtime in re.findall(r'^runtime = "(\w+)"', models, re.MULTILINE)}

    for where in (*(pods(overlay(name)) for name in OVERLAYS), COMPOSE):
        assert names <= where.keys()


def test_the_api_listens_where_clients_expect_it() -> None:
    port = Settings.model_fields["port"].default
    [container] = pods(overlay("cpu"))["api"]["containers"]
    [service] = [one for one in of_kind(overlay("cpu"), "Service") if one["metadata"]["name"] == "api"]

    assert container["ports"] == [{"name": "http", "containerPort": port}]
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    assert f"BOXQUEUE_PORT={port}" in DOCKERFILES["api"]
    assert f"EXPOSE {port}" in DOCKERFILES["api"]
    assert COMPOSE["api"]["ports"][0].endswith(f":{port}")


def test_processes_run_as_the_user_of_their_image() -> None:
    for name, pod in pods(overlay("cpu")).items():
        [container] = pod["containers"]
        if container["image"].startswith("boxqueue/"):
            user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
            assert f"USER {user}\n" in DOCKERFILES["api" if name == "migrate" else name]


def test_aliases_are_the_same_on_one_machine_and_in_a_cluster() -> None:
    [config] = of_kind(overlay("cpu"), "ConfigMap")

    assert f":-{config['data']['BOXQUEUE_MODEL_ALIASES']}}}" in COMPOSE["api"]["environment"]["BOXQUEUE_MODEL_ALIASES"]


def test_every_image_is_built_pushed_and_published() -> None:
    workflow = workflows()["images.yml"]
    matrix = workflow["jobs"]["image"]["strategy"]["matrix"]["include"]
    pushed = {(target, entry["arch"]) for entry in matrix for target in entry["targets"].split()}
    loops = re.findall(
        r"for image in ([\w -]+); do\n(.*?)done",
        commands({"jobs": {"publish": workflow["jobs"]["publish"]}}),
        re.DOTALL,
    )
    named = {
        (image + cuda, arch)
        for images, body in loops
        for image in images.split()
        for arch, cuda in re.findall(r"/\$image:\$TAG-(amd64|arm64)(-cuda)?", body)
    }

    assert {target for target, _ in pushed} == bake_images().keys()
    assert {(bake_images()[target], arch) for target, arch in pushed} == named
    assert {entry["worker"] for entry in matrix} | {"api"} == DOCKERFILES.keys()
