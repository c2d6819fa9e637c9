"""The account that whoever deploys is signed in to: with their own credentials, found as every AWS tool finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from carlake.words import to_install
from carlake_aws.errors import DeployError, NoCredentialsError, NotReachedError
from carlake_aws.names import Names
from carlake_aws.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIGN_IN = (
    "Sign in, with `aws sso login` or the variables AWS_PROFILE or AWS_ACCESS_KEY_ID, and give the command again."
)

_REACH = (
    "See the network, a proxy (HTTPS_PROXY) and the region; nothing is known to be wrong with the credentials. "
    "Then give the command again."
)

# Lambda ends a call after 15 minutes.
_LONGEST_CALL_SECONDS = 910


@dataclass(frozen=True)
class Account:
    """Account and region that commands work in, and who asks."""

    partition: str
    number: str
    region: str
    caller: str
    _session: Any = field(repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)

    def client(self, service: str) -> Any:
        """A client of one of AWS's services; it waits for no more than some seconds, and tries a few times."""
        return self._made(service, read_seconds=60, tries=4)

    def caller_of_functions(self) -> Any:
        """A client of Lambda that waits for as long as a function may run, and calls it once."""
        return self._made("lambda", read_seconds=_LONGEST_CALL_SECONDS, tries=1)

    def _made(self, service: str, read_seconds: int, tries: int) -> Any:
        known = f"{service} {read_seconds} {tries}"
        if known not in self._clients:
            from botocore.config import Config

            retries = {"mode": "standard", "max_attempts": tries}
            config = Config(connect_timeout=10, read_timeout=read_seconds, retries=retries)
            self._clients[known] = self._session.client(service, config=config)
        return self._clients[known]

    def names(self, parameters: Parameters, key_arn: str = "") -> Names:
        """What a deployment's parts are called here."""
        return Names(parameters, self.partition, self.number, self.region, key_arn)

    def stack(self, name: str) -> Mapping[str, Any] | None:
        """A stack as CloudFormation describes it; None where there is none. Raises DeployError."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except (BotoCoreError, ClientError) as error:
            if "does not exist" in str(error):
                return None
            raise DeployError(
                f"The stack {name} could not be looked at: {error}", "See what your role may do."
            ) from None
        return next((one for one in found if one["StackStatus"] != "DELETE_COMPLETE"), None)


def signed_in(region: str) -> Account:
    """The account of the credentials at hand. Raises NoCredentialsError, NotReachedError without a network.

    And DeployError without the library to ask with.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as Unconnected
    except ImportError:
        raise DeployError("boto3 is not installed.", f"Install what deploying needs, {to_install('deploy')}") from None
    try:
        session = boto3.session.Session(region_name=region)
        if session.get_credentials() is None:
            raise NoCredentialsError("There are no credentials of AWS.", _SIGN_IN)
        told = session.client("sts").get_caller_identity()
    except (HTTPClientError, Unconnected) as error:
        raise NotReachedError(f"AWS was not reached to ask who is signed in: {error}", _REACH) from None
    except (BotoCoreError, ClientError) as error:
        raise NoCredentialsError(f"AWS does not take the credentials at hand: {error}", _SIGN_IN) from None
    return Account(str(told["Arn"]).split(":")[1], str(told["Account"]), region, str(told["Arn"]), session)
