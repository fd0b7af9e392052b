"""The command as a user types it, in a process of its own; for tests."""

import subprocess
import sys

import psutil


def medcontext(*words: object, code: int = 0) -> str:
    """Run the command, one thread and 120 columns wide, and return what it wrote.

    Parameters
    ----------
    words
        What stands behind ``medcontext``.
    code
        The exit code that it must end with.
    """
    done = subprocess.run(
        [sys.executable, "-m", "napari_medcontext", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**psutil.Process().environ(), "OMP_NUM_THREADS": "1", "COLUMNS": "120"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
