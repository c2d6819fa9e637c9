"""`carlake deploy apply`: build, check, and let CloudFormation make it, in the order in which each part needs the one before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from carlake_aws.account import Account, signed_in
from carlake_aws.build import Built, package_of
from carlake_aws.cdk import Cdk
from carlake_aws.contents import in_words
from carlake_aws.duties import DEPLOY
from carlake_aws.errors import DeployError
from carlake_aws.job_environment import ARCHIVE, SCRIPT
from carlake_aws.kept import taken_up
from carlake_aws.names import PACKAGES
from carlake_aws.parameters import Parameters
from carlake_aws.planned import Plan, facts_of, planned, running_code, templates_in, templates_of
from carlake_aws.quotas import room_for_functions
from carlake_aws.stopped import APPLICATION, Application
from carlake_aws.templates import FindingsError

Told = Callable[[str], None]

OWN_RIGHTS = ("foundation",)
BEFORE_CODE = ("intake", "storage", "catalog")
WITH_CODE = ("compute", "query", "operations")


@dataclass(frozen=True)
class Applied:
    """What runs now: version and hash of its code, and of what ran before ("" for none)."""

    name: str
    account: str
    region: str
    version: str
    code: str
    before: str


class Deployment:
    """One deployment, ready to be made: package, templates, and what they change."""

    def __init__(
        self, parameters: Parameters, account: Account, package: Built, assembly: Path, told: Told = lambda line: None
    ) -> None:
        """`assembly` is where the templates were synthesized. Looks at what is deployed. Raises DeployError."""
        self.parameters, self.account, self.package = parameters, account, package
        self._assembly, self._told = assembly, told
        self._wanted = templates_in(assembly, parameters)
        self._kept = taken_up(account, parameters)
        named = ["function.zip", *([SCRIPT, ARCHIVE] if parameters.runs_spark else [])]
        if missing := [name for name in sorted(named) if not (package.folder / name).exists()]:
            raise DeployError(
                f"The package {package.folder} lacks what the templates name: {', '.join(missing)}.",
                "Build it anew: `carlake deploy package`.",
            )
        self.plan: Plan = planned(parameters, self._wanted, account)

    @classmethod
    def prepared(cls, parameters: Parameters, folder: Path, told: Told = lambda line: None) -> Deployment:
        """Build and check everything that can be, before anything is touched. Raises DeployError, BuildError."""
        account = signed_in(parameters.region)
        # What is refused is refused here, and not after minutes of building.
        taken_up(account, parameters)
        room_for_functions(account, parameters, told)
        told("the package: building")
        package = package_of(parameters, folder / "packages")
        told(f"the package: {package.folder.name}")
        assembly = folder / "assembly"
        try:
            templates_of(parameters, assembly, checked=True)
        except FindingsError as error:
            raise DeployError(f"The rules of AwsSolutions found something:\n{error}", "Nothing was deployed.") from None
        for file in assembly.glob("*-storage.template.json"):
            write_names(file, facts_of(account, parameters))
        linted(assembly, parameters.region)
        told("the templates: checked")
        return cls(parameters, account, package, assembly, told)

    def apply(self, *, accept_loss: bool = False) -> Applied:
        """Make it. Raises DeployError, also where data would be lost and that is not accepted."""
        if self.plan.losses and not accept_loss:
            lost = ", ".join(f"{one.name} ({one.kind})" for one in self.plan.losses)
            raise DeployError(
                f"What is in these would be lost, or left where nothing looks: {lost}.",
                "Nothing was changed. Give --accept-loss if that is meant; see `carlake deploy plan`.",
            )
        before = running_code(self.account, self.parameters)
        application = Application(self.account, self.parameters, self._told)
        changes = before != self.package.code or any(one.kind == APPLICATION for one in self.plan.changes)
        if changes:
            application.refuse_while_running()  # before anything is made
        own, cdk = self.parameters, Cdk(self._assembly, self.parameters.region, self._told)
        role = self.account.names(own).role_arn(DEPLOY)
        there = [holds for holds in BEFORE_CODE if holds in self._wanted]
        cdk.deploy(self._stacks(*OWN_RIGHTS))
        if self._kept.buckets:
            for holds in there:
                cdk.deploy(self._stacks(holds), role=role, takes_up=holds == "storage")
        else:
            cdk.deploy(self._stacks(*there), role=role)
        self.upload()
        code = {
            f"{own.name}-compute:CodeVersion": self.package.version,
            f"{own.name}-compute:CodeHash": self.package.code,
        }
        if changes:
            application.stop()
        cdk.deploy(self._stacks(*WITH_CODE), role=role, given=code)
        return Applied(own.name, self.account.number, own.region, self.package.version, self.package.code, before)

    def upload(self) -> None:
        """Put the package where templates look for it. An object that is there already is the same: its name says so."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError

        s3, bucket = self.account.client("s3"), self.account.names(self.parameters).bucket("code")
        place = f"{PACKAGES}/{self.package.folder.name}"
        for file in self.package.files:
            self._told(f"s3://{bucket}/{place}/{file.name}")
            try:
                s3.upload_file(str(file), bucket, f"{place}/{file.name}")
            except (S3UploadFailedError, BotoCoreError, ClientError) as error:
                raise DeployError(
                    f"{file.name} could not be put into {bucket}: {error}",
                    "Your own role needs s3:PutObject there, and kms:GenerateDataKey with the lake's key.",
                ) from None

    def _stacks(self, *holds: str) -> list[str]:
        return [f"{self.parameters.name}-{one}" for one in holds]


def write_names(file: Path, facts: Mapping[str, str]) -> None:
    """Write the names of a template's buckets out, which are computed from account and region elsewhere.

    CloudFormation takes up a bucket that is there only by a name that is not computed ("Import AWS resources into a
    CloudFormation stack automatically": static custom names).
    """
    template = json.loads(file.read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::S3::Bucket":
            resource["Properties"]["BucketName"] = in_words(resource["Properties"]["BucketName"], facts)
    file.write_text(json.dumps(template, indent=1), encoding="utf-8")


def linted(assembly: Path, region: str) -> None:
    """Let cfn-lint read every template. Raises DeployError for what it finds."""
    from cfnlint.api import ManualArgs, lint_file

    found = [
        str(match)
        for file in sorted(assembly.glob("*.template.json"))
        for match in lint_file(file, ManualArgs(regions=[region]))
    ]
    if found:
        raise DeployError("cfn-lint found something:\n" + "\n".join(found), "Nothing was deployed.")
