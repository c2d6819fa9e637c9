"""The command as its own process: pipes, interrupts, exit codes, completion."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

from carlake.cli.names import FORMATS, TABLES, TOOLS

COMMAND = (sys.executable, "-c", "import sys; sys.argv[0] = 'carlake'\nfrom carlake.cli.main import main; main()")


def test_a_reader_that_goes_away_is_no_error(lake: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "query", "SELECT * FROM bronze_car_data, range(2000)", "--format", "csv", "--lake", str(lake)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"source_uri")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_an_interrupt_ends_with_130_and_one_clean_line(lake: Path) -> None:
    sql = "SELECT count(*) FROM range(10000000) a, range(10000000) b"
    with subprocess.Popen(
        [*COMMAND, "query", sql, "--lake", str(lake)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as process:
        time.sleep(2)  # somewhere in the query, or on the way to it: it ends so from everywhere
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out == b"" and err.decode().strip().startswith("Interrupted.") and b"Traceback" not in err


def test_exit_codes_of_the_process(tmp_path: Path) -> None:
    for words, code in ((["contracts"], 0), (["status"], 1), (["rum"], 2)):
        assert subprocess.run([*COMMAND, *words], capture_output=True, cwd=tmp_path).returncode == code


def test_colours_on_a_terminal_and_none_without(tmp_path: Path) -> None:
    def shown(**more: str) -> bytes:
        reader, writer = pty.openpty()
        environment = {**os.environ, "TERM": "xterm-256color", **more}
        with subprocess.Popen([*COMMAND, "contracts"], stdout=writer, env=environment, cwd=tmp_path) as process:
            os.close(writer)
            found = b""
            while True:
                try:
                    part = os.read(reader, 65536)
                except OSError:  # the other end is closed
                    break
                if not part:
                    break
                found += part
        os.close(reader)
        assert process.returncode == 0
        return found

    assert b"\x1b[" in shown()
    assert b"\x1b" not in shown(NO_COLOR="1")


def test_completion_of_commands_and_table_names() -> None:
    def complete(words: str) -> list[str]:
        environment = {
            **os.environ,
            "_CARLAKE_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        return subprocess.run(COMMAND, capture_output=True, text=True, env=environment, check=True).stdout.split()

    assert complete("carlake st") == ["stop", "status"]
    assert complete("carlake tables gold_p") == ["gold_performance_alerts_log"]
    assert complete("carlake connect po") == ["polars"]
    assert complete("carlake query --format cs") == ["csv"]
    # The shell is told from the processes above; `:` after it keeps bash from being replaced by the command.
    in_bash = ["bash", "-c", '"$@" && :', "bash", *COMMAND, "--show-completion"]
    script = subprocess.run(in_bash, capture_output=True, text=True, check=True).stdout
    assert "_CARLAKE_COMPLETE=complete_bash" in script


def test_the_names_that_the_shell_completes_are_those_there_are() -> None:
    from carlake.contracts.load import load
    from carlake.look import formats
    from carlake.look.connect import TOOLS as KNOWN_TOOLS
    from carlake.rules.load import load_rules
    from carlake.tables.declare import declare

    assert tuple(declare(load().canonical, load_rules())) == TABLES
    assert formats.FORMATS == FORMATS
    assert set(KNOWN_TOOLS) == set(TOOLS)
