"""Templates without an account: synthesized, checked, and written where people who use other tools take them from.

python -m carlake_aws.templates FOLDER [PARAMETERS.toml]
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from carlake.errors import CarlakeError
from carlake_aws import node
from carlake_aws.names import STACKS
from carlake_aws.own_settings import contents
from carlake_aws.parameters import Parameters, ParametersError, read


class FindingsError(Exception):
    """The rules of AwsSolutions, or of CloudFormation, found something."""


def synthesize(parameters: Parameters, folder: Path, *, checked: bool = True) -> dict[str, Path]:
    """Write every stack's template into a folder; the files by stack, in order. Raises FindingsError."""
    node.use()
    from carlake_aws.lake import app

    made = app(parameters, folder, checked=checked)
    try:
        made.synth()
    except RuntimeError as error:
        raise FindingsError("\n".join(findings(folder)) or str(error)) from None
    files = {holds: folder / f"{parameters.name}-{holds}.template.json" for holds in STACKS}
    return {holds: file for holds, file in files.items() if file.exists()}


def findings(folder: Path) -> list[str]:
    """What the rules found in a synthesized folder: `RULE: CONSTRUCT: WHAT`."""
    report = folder / "validation-report.json"
    reports = json.loads(report.read_text(encoding="utf-8"))["pluginReports"] if report.exists() else []
    return [
        f"{violation['ruleName']}: {construct['constructPath']}: {violation['description']}"
        for report in reports
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    ]


def publish(parameters: Parameters, folder: Path) -> list[Path]:
    """Write the templates alone, numbered in the order in which they are deployed, with the stacks' own names."""
    written = []
    with tempfile.TemporaryDirectory() as assembly:
        for holds, file in synthesize(parameters, Path(assembly)).items():
            folder.mkdir(parents=True, exist_ok=True)
            written.append(folder / f"{STACKS.index(holds) + 1}-{holds}.template.json")
            shutil.copyfile(file, written[-1])
    return written


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The resources of a kind, such as `AWS::S3::Bucket`, with their logical ids."""
    return {name: found for name, found in template["Resources"].items() if found["Type"] == kind}


def main(arguments: list[str]) -> int:
    """Publish into the folder that is named."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("python -m carlake_aws.templates FOLDER [PARAMETERS.toml]\n")
        return 2
    try:
        parameters = read(Path(arguments[1]) if len(arguments) == 2 else None)
        if parameters.settings_file is not None:
            contents(parameters.settings_file)
        for file in publish(parameters, Path(arguments[0])):
            sys.stdout.write(f"{file}\n")
    except (ParametersError, FindingsError, CarlakeError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
