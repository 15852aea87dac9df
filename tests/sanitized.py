"""`make libtorch-sanitize`: the C++ of the runtime libtorch, built with sanitizers, runs on whole and damaged pictures.

    python -m tests.sanitized FOLDER

FOLDER is the folder of CMake's build with SANITIZE=ON. If a sanitizer finds an error, the program ends with a report,
and this command ends with 1. Memory that libtorch itself leaks at its end does not count.
"""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import tiny_models
from tests.detector_process import DetectorProcess

SAMPLES = [path for path in sorted((Path(__file__).parent.parent / "samples").iterdir()) if path.suffix != ".md"]
DAMAGED = 40
"""Number of damaged copies of each sample."""
BINDING = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import binding
model = binding.Model(sys.argv[2], 2)
for n in (1, 2, 7):
    print(n)
    outputs = model.run(np.full((n, 32, 32, 3), 255, np.uint8))
    assert [len(output) for output in outputs] == [n] * 3
for wrong in (np.zeros((1, 32, 32, 3)), "text"):
    try:
        model.run(wrong)
    except TypeError:
        continue
    raise AssertionError(wrong)
try:
    binding.Model(__file__, 1)
except RuntimeError:
    pass
del model
assert outputs[1].min() == 1
"""


def main() -> int:
    """Returns the exit code."""
    built = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="boxqueue-sanitized-") as name:
        folder = Path(name)
        package, script = folder / "tiny.pt2", folder / "binding_test.py"
        process = DetectorProcess()
        process.run(tiny_models.write, "aotinductor", package)
        process.close()
        script.write_text(BINDING)
        pictures = [*SAMPLES, *(path for sample in SAMPLES for path in damaged(sample, folder))]
        program = [built / "detect", "--model", package, "--size", "32x32", "--labels", "red,green,blue", *pictures]
        # The C++ runtime is preloaded too. Otherwise the sanitizer does not find the libraries that Python loads later.
        runtime = " ".join(map(library, ("libasan.so", "libstdc++.so.6")))
        return max(
            run("detect", program, {}, {0, 1}),
            run("binding", [sys.executable, script, built, package], {"LD_PRELOAD": runtime}, {0}),
        )


def library(name: str) -> str:
    """The path of the compiler's library."""
    compiler = os.environ.get("CXX", "g++")
    return subprocess.check_output([compiler, f"-print-file-name={name}"], text=True).strip()


def damaged(sample: Path, folder: Path) -> list[Path]:
    """Copies of a sample with changed or missing bytes, the same at every run."""
    chance = random.Random(sample.name)
    paths = []
    for n in range(DAMAGED):
        data = bytearray(sample.read_bytes())
        for _ in range(chance.choice((1, 4, 16, 64))):
            # The header at the beginning decides how a picture is read.
            data[chance.randrange(chance.choice((64, 1024, len(data))))] = chance.randrange(256)
        if n % 4 == 0:
            del data[chance.randrange(len(data)) :]
        paths.append(folder / f"{sample.stem}-{n}{sample.suffix}")
        paths[-1].write_bytes(data)
    return paths


def run(what: str, command: list[object], environment: dict[str, str], good: set[int]) -> int:
    """Runs a command. Returns 0 if its exit code is in `good`, otherwise 1. Prints the error output if it is not."""
    options = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, env={**options, **environment}, capture_output=True, text=True, check=False)
    well = done.returncode in good
    result = f"no finding, {len(done.stdout.splitlines())} runs" if well else done.stderr[-4000:]
    sys.stdout.write(f"{what}: {result}\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
