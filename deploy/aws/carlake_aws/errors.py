"""What can go wrong with a deployment, said as every error of carlake: what happened, and what to do."""

from __future__ import annotations

from carlake.errors import CarlakeError


class DeployError(CarlakeError):
    """A deployment cannot go on, or did not come to its end."""


class NoCredentialsError(DeployError):
    """Nobody is signed in to AWS, or AWS does not take the credentials."""


class NotReachedError(DeployError):
    """There is no way to AWS from here: neither an answer nor a refusal."""


class WrongError(DeployError):
    """What a check found wrong, and what to do."""
