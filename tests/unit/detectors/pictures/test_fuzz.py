import json
import subprocess
import sys

import pytest

# In all 20,000 files, in processes that may take 1 GB. Each fails if a file takes 2 s or 512 MB, or has no code.
FILES = 10_000


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_every_damaged_file_is_read_or_refused_with_a_code(seed: int) -> None:
    command = [sys.executable, "-m", "tests.picture_fuzz", str(seed), str(FILES)]

    fuzz = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)

    assert fuzz.returncode == 0, fuzz.stderr[-3000:]
    answers = json.loads(fuzz.stdout)["answers"]
    assert sum(answers.values()) == FILES
    # A fuzz whose files all fail early, or hardly at all, would show nothing.
    assert min(answers["read"], answers["picture_undecodable"], answers["picture_unknown_format"]) > FILES // 20
