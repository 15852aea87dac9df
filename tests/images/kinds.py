"""What each image is held to."""

from dataclasses import dataclass

FRAMEWORKS = ("torch", "torchvision", "tensorflow")


@dataclass(frozen=True)
class Kind:
    """`budget_mb` is over the base image; `lacks` are modules that can't be imported."""

    name: str
    budget_mb: int
    lacks: tuple[str, ...]
    model: str | None = None
    """One that it serves."""
    bundled: bool = True
    """The model is in the image. Otherwise it is made for the test of `cards-pytorch`, in a catalogue beside it."""
    theirs: tuple[str, ...] = ()
    """Folders of somebody else's that do not count."""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("api", 150, (*FRAMEWORKS, "numpy", "worker")),
        Kind("worker-pytorch", 800, ("tensorflow", "torchvision", "keras", "flask"), "cards-pytorch"),
        Kind("worker-tensorflow", 1200, ("torch", "torchvision", "flask"), "cards-tensorflow"),
        Kind("worker-remote", 150, (*FRAMEWORKS, "flask"), "cards-remote", bundled=False),
        Kind("worker-libtorch", 550, (*FRAMEWORKS, "flask"), "cards-libtorch", bundled=False),
        Kind("lambda", 800, ("tensorflow", "torchvision", "flask", "celery", "redis", "worker")),
        Kind(
            "azure",
            820,
            ("tensorflow", "torchvision", "flask", "celery", "redis", "worker"),
            theirs=("/azure-functions-host", "/FuncExtensionBundles", "/usr/share/dotnet"),
        ),
    )
}
WORKERS = {name: kind for name, kind in KINDS.items() if kind.model}
# Clouds start these, look after them and end them.
FUNCTIONS = ("lambda", "azure")
# Microsoft's Functions host is made to run as root; the process that reads pictures gives that up by itself.
AS_ROOT = ("azure",)
