"""The requirements on each image."""

from dataclasses import dataclass

FRAMEWORKS = ("torch", "torchvision", "tensorflow", "onnxruntime")


@dataclass(frozen=True)
class Kind:
    """`budget_mb`: the maximum size in MB above the base image. `lacks`: modules that must not be importable."""

    name: str
    budget_mb: int
    lacks: tuple[str, ...]
    model: str | None = None
    """A model that it serves."""
    bundled: bool = True
    """Whether the image has the model. Otherwise the test makes it from `cards-pytorch`, with its own catalogue."""
    foreign_folders: tuple[str, ...] = ()
    """Folders of other vendors, which do not count."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("api", 165, (*FRAMEWORKS, "numpy", "worker")),
        Kind("worker-pytorch", 800, ("tensorflow", "torchvision", "keras", "onnxruntime", "flask"), "cards-pytorch"),
        Kind("worker-tensorflow", 1200, ("torch", "torchvision", "onnxruntime", "flask"), "cards-tensorflow"),
        Kind("worker-onnx", 250, ("torch", "torchvision", "tensorflow", "flask"), "cards-onnx"),
        Kind("worker-remote", 180, (*FRAMEWORKS, "flask"), "cards-remote", bundled=False),
        Kind("worker-libtorch", 550, (*FRAMEWORKS, "flask"), "cards-libtorch", bundled=False),
        Kind("lambda", 800, ("tensorflow", "torchvision", "flask", "celery", "redis", "worker")),
        Kind(
            "azure",
            820,
            ("tensorflow", "torchvision", "flask", "celery", "redis", "worker"),
            foreign_folders=("/azure-functions-host", "/FuncExtensionBundles", "/usr/share/dotnet"),
        ),
    )
}
WORKERS = {name: kind for name, kind in KINDS.items() if kind.model}
# Clouds start, supervise and end these functions.
FUNCTIONS = ("lambda", "azure")
# Microsoft's Functions host has to run as root; the process that reads pictures drops root itself.
AS_ROOT = ("azure",)
