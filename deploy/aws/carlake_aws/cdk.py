"""The CDK CLI, of the version that fits the library: the one that is named or found, else npm's own copy, fetched once.

It is handed an assembly that was synthesized before, so that what it deploys is what was checked, linted and shown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from carlake.words import to_install
from carlake_aws import node
from carlake_aws.errors import DeployError

VERSION = "2.1148.1"
VARIABLE = "CARLAKE_CDK"
"""Names another program, or another script of the CLI."""

_LINES_KEPT = 40


class Cdk:
    """Runs the CLI on one assembly, in one region; `told` gets each line that it prints."""

    def __init__(self, assembly: Path, region: str, told: Callable[[str], None] = lambda line: None) -> None:
        self._assembly, self._region, self._told = assembly, region, told

    def deploy(
        self, stacks: Sequence[str], *, role: str = "", given: Mapping[str, str] | None = None, takes_up: bool = False
    ) -> None:
        """Make or change these stacks, in their order; `given` are parameters, `STACK:NAME` -> value. Raises DeployError.

        takes_up  what is there already under the names of the templates becomes the stack's
        """
        values = [word for name, value in (given or {}).items() for word in ("--parameters", f"{name}={value}")]
        # Only a change set can take up what is there.
        way = ["change-set", "--import-existing-resources"] if takes_up else ["direct"]
        # What will be made was shown and agreed to; CloudFormation keeps values of parameters that are not given.
        self._run(
            [
                "deploy",
                *stacks,
                "--exclusively",
                "--method",
                *way,
                "--require-approval",
                "never",
                *_role(role),
                *values,
            ]
        )

    def destroy(self, stacks: Sequence[str], *, role: str = "") -> None:
        """Remove these stacks, and no other. Raises DeployError."""
        self._run(["destroy", *stacks, "--exclusively", "--force", *_role(role)])

    def _run(self, words: list[str]) -> None:
        # Its own folder, so that no cdk.json that happens to lie here is taken for ours.
        with tempfile.TemporaryDirectory(prefix="carlake-cdk-") as folder:
            command = [*program(), *words, "--app", str(self._assembly.absolute()), "--output", folder]
            process = subprocess.Popen(
                [*command, "--progress", "events", "--no-color", "--no-notices"],
                cwd=folder,
                env=os.environ
                | {
                    "AWS_REGION": self._region,
                    "AWS_DEFAULT_REGION": self._region,
                    "CDK_DISABLE_CLI_TELEMETRY": "true",
                    "CI": "true",
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            assert process.stdout is not None
            lines: list[str] = []
            try:
                for line in process.stdout:
                    if line.strip():
                        lines = [*lines[1 - _LINES_KEPT :], line.rstrip()]
                        self._told(line.rstrip())
            finally:
                if process.poll() is None:
                    process.terminate()
                code = process.wait()
                process.stdout.close()
        if code:
            raise DeployError(
                f"cdk {words[0]} ended with {code}:\n" + "\n".join(lines),
                "What was done stays, and the same command goes on from there. CloudFormation's page of the stack has "
                "every event.",
            )


def program() -> list[str]:
    """How the CLI is started. Raises DeployError where it is not there and cannot be fetched."""
    if given := os.environ.get(VARIABLE):
        return [*_node(), given] if given.endswith(".js") or Path(given).parent.name == "bin" else [given]
    return [*_node(), str(_fetched())]


def _fetched() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "carlake" / f"cdk-{VERSION}"
    script = folder / "node_modules" / "aws-cdk" / "bin" / "cdk"
    if not script.exists():
        install(folder)
    return script


def install(folder: Path) -> None:
    """Let npm bring the CLI into a folder; all of it, or nothing. Raises DeployError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        words = ["install", "--prefix", str(part), "--no-audit", "--no-fund", "--loglevel", "error"]
        done = subprocess.run(
            [*_npm(), *words, f"aws-cdk@{VERSION}"], capture_output=True, text=True, check=False, cwd=part
        )
        if done.returncode:
            raise DeployError(
                f"npm could not bring the CDK CLI {VERSION}:\n{done.stderr.strip()[-1500:]}",
                f"Install it by hand and name it in the variable {VARIABLE}.",
            )
        try:
            part.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _node() -> list[str]:
    found = node.program() or shutil.which("node")
    if found is None:
        raise DeployError("Node is not there, which the CDK CLI runs in.", f"Install it, {to_install('deploy')}")
    return [str(found)]


def _npm() -> list[str]:
    own = node.program()
    if own is not None:
        for script in ("../lib/node_modules/npm/bin/npm-cli.js", "node_modules/npm/bin/npm-cli.js"):
            if (own.parent / script).is_file():
                return [str(own), str((own.parent / script).resolve())]
    if found := shutil.which("npm"):
        return [found]
    raise DeployError("npm is not there, which brings the CDK CLI.", f"Install the CLI and name it in {VARIABLE}.")


def _role(role: str) -> list[str]:
    return ["--role-arn", role] if role else []
