"""Which Boxqueue this is: baked in by an image's build, else read from the checkout."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jobs.settings import ROOT, Settings


def _version() -> str:
    try:
        return version("boxqueue")
    except PackageNotFoundError:
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


VERSION = _version()


def describe(settings: Settings) -> dict[str, str | None]:
    """Version, commit, branch, build time and options; null where nothing is known."""
    commit, branch = (settings.commit, settings.branch) if settings.commit else checked_out(ROOT)
    return {
        "version": VERSION,
        "commit": commit or None,
        "branch": branch or None,
        "build_time": settings.build_time or None,
        "build_options": settings.build_options or None,
    }


def checked_out(root: Path) -> tuple[str | None, str | None]:
    """Commit and branch of a checkout, from git's files; (None, None) where there is none."""
    try:
        folder = root / ".git"
        if folder.is_file():
            # A worktree's or submodule's: `gitdir: <folder>`.
            folder = root / folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head, None
        reference = head.removeprefix("ref:").strip()
        return _commit(folder, reference), reference.removeprefix("refs/heads/")
    except OSError:
        return None, None


def _commit(folder: Path, reference: str) -> str | None:
    common = folder / "commondir"
    if common.is_file():
        folder = folder / common.read_text(encoding="utf-8").strip()
    loose = folder / reference
    if loose.is_file():
        return loose.read_text(encoding="utf-8").strip()
    for line in (folder / "packed-refs").read_text(encoding="utf-8").splitlines():
        commit, _, name = line.partition(" ")
        if name == reference:
            return commit
    return None
