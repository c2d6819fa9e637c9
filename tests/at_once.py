"""The same, done by several at once: each is ready before any begins."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

AT_ONCE = 8


def threads(work: Callable[[], object]) -> list[Exception]:
    """Do it in eight threads of this process; gives what was raised."""
    start, errors = threading.Barrier(AT_ONCE), list[Exception]()

    def one() -> None:
        start.wait()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    workers = [threading.Thread(target=one) for _ in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return errors


def processes(prepare: str, work: str, *arguments: str) -> list[tuple[int, str, str]]:
    """Run Python in eight processes: `prepare` in each, then `work` in all. Gives exit codes, and what they printed."""
    script = f"import sys\n{prepare}\nprint('ready', flush=True); sys.stdin.readline()\n{work}"
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(AT_ONCE)
    ]
    for process in begun:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in begun:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate() for process in begun]
    return [(process.returncode, *answer) for process, answer in zip(begun, answers, strict=True)]
