"""What a deployment would change in what is deployed: made, changed, made anew or taken away, and what is lost by it.

Templates are compared, resource by resource. Which properties AWS cannot change in place is said by CloudFormation's own
registry, of which cfn-lint has a copy; a change of one of these makes the resource anew and removes the old one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from carlake_aws.account import Account
from carlake_aws.contents import KEPT, called_by, in_words
from carlake_aws.errors import DeployError

What = Literal["made", "changed", "made anew", "taken away"]

_ALSO_FIXED = {"AWS::Glue::Database": (("DatabaseInput", "Name"), ("CatalogId",))}
"""What the registry does not say, and CloudFormation's guide does."""


@dataclass(frozen=True)
class Change:
    """One resource that differs. `lost`: what it holds goes with it, or stays behind where nothing looks."""

    stack: str
    what: What
    kind: str
    name: str
    properties: tuple[str, ...] = ()
    lost: bool = False
    left: bool = False


def deployed(account: Account, stacks: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The templates of the stacks that are there, by what they hold. Raises DeployError."""
    found = {}
    for holds, name in stacks.items():
        described = account.stack(name)
        if described is None or described["StackStatus"] == "REVIEW_IN_PROGRESS":
            continue
        body = account.client("cloudformation").get_template(StackName=name, TemplateStage="Original")["TemplateBody"]
        found[holds] = json.loads(body) if isinstance(body, str) else dict(body)
    return found


def compared(
    wanted: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]], facts: Mapping[str, str]
) -> list[Change]:
    """Every difference, in the order of the stacks; those that are no longer wanted last."""
    found = []
    for holds in [*wanted, *(one for one in there if one not in wanted)]:
        before = there.get(holds, {}).get("Resources", {})
        after = wanted.get(holds, {}).get("Resources", {})
        found += list(_differences(holds, before, after, facts))
    return found


def refuse_another_key(
    name: str, wanted: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raises DeployError where the stacks' own key would go while the others refer to it: CloudFormation refuses that."""
    before, after = (_kinds(one.get("foundation", {})) for one in (there, wanted))
    if "AWS::KMS::Key" not in before or "AWS::KMS::Key" in after or not set(there) - {"foundation"}:
        return
    raise DeployError(
        f"{name} encrypts with the key that it made, and the parameter existing_key is set: CloudFormation cannot take its "
        "own key from the stack foundation while the other stacks refer to it.",
        "Nothing was changed. First let the lake have its own key as a given one: `carlake deploy destroy` without "
        "--with-data (data and key stay), then `carlake deploy apply` with the existing_key and existing_database that it "
        "names. From then on existing_key can be set to another: see docs/how-to/rotate-keys.md.",
    )


def _kinds(template: Mapping[str, Any]) -> set[str]:
    return {one["Type"] for one in template.get("Resources", {}).values()}


def _differences(
    stack: str, before: Mapping[str, Any], after: Mapping[str, Any], facts: Mapping[str, str]
) -> Iterator[Change]:
    for logical, resource in after.items():
        name = called_by(resource, facts) or logical
        old = before.get(logical)
        if old is None:
            # A stack that had no key of its own used another: what that encrypted, nobody here could read any more.
            lost = bool(before) and resource["Type"] == "AWS::KMS::Key"
            yield Change(stack, "made", resource["Type"], name, lost=lost)
        elif old["Type"] != resource["Type"]:
            yield _anew(stack, old, name, ("Type",))
        elif keys := _differing(old, resource, facts):
            fixed = tuple(key for key in keys if _is_fixed(resource["Type"], key, old, resource))
            yield _anew(stack, old, name, fixed) if fixed else Change(stack, "changed", resource["Type"], name, keys)
    for logical, old in before.items():
        if logical not in after:
            stays = old.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")
            lost = old["Type"] in KEPT and not stays
            yield Change(stack, "taken away", old["Type"], called_by(old, facts) or logical, lost=lost, left=stays)


def _anew(stack: str, old: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> Change:
    # Where the old one stays, the new one is empty all the same.
    stays = old.get("UpdateReplacePolicy") == "Retain"
    return Change(stack, "made anew", old["Type"], name, keys, lost=old["Type"] in KEPT, left=stays)


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], facts: Mapping[str, str]) -> tuple[str, ...]:
    before, after = (dict(one.get("Properties", {})) for one in (old, new))
    for properties in (before, after):
        if "BucketName" in properties:  # computed in one template, and written out in another
            properties["BucketName"] = in_words(properties["BucketName"], facts)
    keys = [key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    return tuple(keys)


def _is_fixed(kind: str, key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a property cannot be changed in place: it, or the part of it that differs."""
    before, after = old.get("Properties", {}).get(key), new.get("Properties", {}).get(key)
    return any(path[0] == key and _at(before, path[1:]) != _at(after, path[1:]) for path in _fixed(kind))


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


@cache
def _fixed(kind: str) -> tuple[tuple[str, ...], ...]:
    """The paths of the properties that AWS calls create-only."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    found = [tuple(path.removeprefix("/properties/").split("/")) for path in schema.get("createOnlyProperties", ())]
    return (*found, *_ALSO_FIXED.get(kind, ()))
