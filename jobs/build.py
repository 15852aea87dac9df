"""Which build of Boxqueue this is: from an image's settings, else from the git checkout."""

import subprocess
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jobs.settings import ROOT, Settings

try:
    VERSION = version("boxqueue")
except PackageNotFoundError:
    VERSION = str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def describe(settings: Settings) -> dict[str, str | None]:
    """Version, commit, branch, build time and options; None for what is not known."""
    commit, branch = (settings.commit, settings.branch) if settings.commit else checked_out(ROOT)
    return {
        "version": VERSION,
        "commit": commit or None,
        "branch": branch or None,
        "build_time": settings.build_time or None,
        "build_options": settings.build_options or None,
    }


@cache
def checked_out(root: Path) -> tuple[str | None, str | None]:
    """Commit and branch of a checkout at the first call. No branch for a detached HEAD; (None, None) without git."""
    # With the folder named, git does not search for one above `root`: that would be another project's.
    command = ["git", f"--git-dir={root / '.git'}", "rev-parse", "HEAD", "--abbrev-ref", "HEAD"]
    try:
        commit, branch = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit, None if branch == "HEAD" else branch
