"""Make docs/runbook.md from the list of checks: `make docs`. A test says when it is stale, and others run its commands.

What only an account in AWS can have stands behind them, in words: no check of one machine can look at it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from carlake.upkeep.checks.every import CHECKS
from carlake.upkeep.checks.finding import Check

PAGE = Path(__file__).with_name("runbook.md")
NOTE = "<!-- Made from the checks by `make docs`; change the checks, not this page. -->\n"

_GROUPS = {
    "lake": "The lake's folder",
    "catalog": "The catalog",
    "tables": "The tables",
    "landing": "Landing, the archive, and what runs leave",
    "machine": "The machine",
}

_BEGINNING = """# Runbook

Something is wrong. Ask first what it is; this changes nothing, and works on a lake that no other command opens:

```sh
carlake doctor
```

It names each trouble by its file or table, says what it means, and which of the commands below mends it. `--deep` reads every
data file too. Then have it mended:

```sh
carlake recover --dry-run
carlake recover
```

The first says every step and its reason. The second takes them, can be stopped and called again at any moment, checks every table
at the end, and names what could not be brought back. It asks only before it gives up history; a script says `--yes`. It deletes no
file that anything could still be read from.

For monitoring: `carlake doctor --json` ends with 0 when all is well and with 1 when something is wrong; `--fail-on error` lets
warnings pass.

| severity | meaning |
| --- | --- |
| error | rows are missing or wrong, or the lake cannot work, until somebody mends it |
| warning | every row is right, and something waits for a person |
| notice | nobody needs to do anything |
"""

_AWS = """## On AWS

For a lake that `carlake deploy apply` has made. Begin with

```bash
carlake deploy check --parameters parameters.toml
```

which tries each part and one event all the way, and names the step that fails. `carlake doctor` and `carlake recover` work on it from any
machine, with the [deployment's settings](how-to/first-event-on-aws.md#from-your-own-machine): `carlake deploy environment` sets them. Names
below are those of the default parameters. The commands of this section need an account, so no test runs them;
[how they were checked instead](aws-unproved.md). Those of `aws` ask in the deployment's region: `export AWS_REGION=eu-west-1`.

### Access denied

**You see:** `AccessDenied`, `permission denied` or `not authorized to perform` in a log, or in a step of `carlake deploy check`; the alarm
`errors-intake` or `errors-maintenance`.

**It means:** a role lacks a right, or the key's policy, a bucket's policy, a service control policy or a boundary of the account forbids
it. Nothing is lost: messages go back to the queue, objects stay in landing.

**What mends it:** the message names who, the action and the resource. If the role is carlake's, it was changed by hand, or the account
forbids more than it did: `carlake deploy plan` shows what differs. If the object is encrypted with another key than the deployment's (an
old bucket), give that key's `kms:Decrypt` to the role. If it is your own credentials: `deploy` has a role to take on.

```bash
aws sts get-caller-identity
aws iam simulate-principal-policy --policy-source-arn ROLE --action-names ACTION --resource-arns RESOURCE
carlake deploy apply --parameters parameters.toml
```

### Throttling

**You see:** `SlowDown`, `ThrottlingException`, `TooManyRequests` or `Rate exceeded` in the log; lateness grows; the alarm
`throttles-maintenance`; commits that take seconds.

**It means:** S3, Glue, KMS or Lambda answers fewer requests than it is asked. carlake repeats a request a bounded number of times with
growing waits; what does not go through then goes back to the queue. No row is lost or doubled.

**What mends it:** mostly waiting. Intake is throttled by its own `concurrency` on purpose: more calls contend for the same commits; raise
`batch_messages` or `batch_seconds` before it. Glue's and KMS's limits can be raised in Service Quotas. If a backfill runs, give it fewer
`backfill_workers`, or let it run at night.

```bash
carlake runs --limit 20
```

### Queue stuck

**You see:** the alarm `oldest-message` or `no-calls-maintenance`, then `late-` and a table's name; messages are visible in
`carlake-prod-landed`, or stay in flight.

**It means:** what landed is not taken in. *Visible and growing:* the function is not called (its link to the queue is off, or it is
throttled), or it takes less than what comes. *In flight and coming again:* calls end before they are done, by time or memory. *None, and
objects lie in landing:* S3 does not tell the queue; the listing lands them then, and `late-` counts from when each was put. *Nothing
happens at all,* `no-calls-maintenance`: the schedules are off, or may not call.

**What mends it:** `carlake deploy check` says which, in its steps `notification`, `link`, `functions` and `schedules`. Look into
`/carlake-prod/intake` for the last call. Memory: raise `function_memory_mb`. One huge object: land it by [a backfill](how-to/backfill-a-year.md). Nothing has to be
sent again: messages wait 14 days, and the listing finds what no message tells of.

```bash
carlake deploy check --parameters parameters.toml
aws lambda list-event-source-mappings --function-name carlake-prod-intake
aws logs tail /carlake-prod/intake --since 1h
```

### Dead letters

**You see:** the alarm `dead-letters`; messages in `carlake-prod-landed-dead`.

**It means:** these messages were given back fifty times. They could not be understood (within minutes), what they name could not be read
(within hours), or the lake could take nothing in (for half a day); or batches held far more in large objects than there was time for. The
objects are not lost: what still lies in landing is found by the listing, and `carlake status` counts it.

**What mends it:** the log of intake has a line `message given back` for each time, with the message's id, `why` and `fault`: `message`,
`object`, `lake` or `time`. Mend that (a right, a key, another sender's messages; for `time`, fewer `batch_messages`), then move them back; or
purge them where the listing has taken the objects in.

The role `operate` may count dead letters, not read or move them: that takes credentials with `sqs:ReceiveMessage`, `sqs:DeleteMessage`,
`sqs:GetQueueAttributes` and `sqs:StartMessageMoveTask` on `carlake-prod-landed-dead`, `sqs:SendMessage` on `carlake-prod-landed`, and
`kms:Decrypt` and `kms:GenerateDataKey` on the deployment's key, such as those that made the first stack.

```bash
aws logs filter-log-events --log-group-name /carlake-prod/intake --filter-pattern '"message given back"' --limit 20
aws sqs receive-message --queue-url DEAD --visibility-timeout 0
aws sqs start-message-move-task --source-arn DEAD_ARN
carlake status
```

### A function breaks off

**You see:** the alarms `errors-intake` or `errors-maintenance`, and no `Access denied`.

**It means:** a call reached its time or memory limit, or met a defect. A call that is killed at any moment leaves nothing half done: the
next one goes on from the newest commit.

**What mends it:** the log's line of type `platform.report` has time and memory. Raise `function_memory_mb` or `function_seconds`; a batch that is always
too large becomes smaller by `batch_messages`.

### A table is late, keeps failing, or refuses many records

**You see:** the alarms `late-` and a table's name, `failed-runs`, `tables-not-done`, `open-circuits` or `quarantine`.

**It means:** a run failed, or one table fails again and again while its last good snapshot is served, or it is left alone until it is
rebuilt, or a feed has changed its shape. `tables-not-done` rings once no run within two intervals of the listing found all tables done.

**What mends it:** the cause is in `carlake status`, and in the run, whose line in the log has each such table under `not_done`. One that is
`left` was built with another definition: [`carlake rebuild`](how-to/upgrade-without-downtime.md#a-new-version). Many refused records are
one [contract](how-to/new-shape.md).

```bash
carlake status
carlake runs last
carlake quarantine reasons
```
"""


def page() -> str:
    """The page's text."""
    parts = [_BEGINNING.rstrip()]
    for group, title in _GROUPS.items():
        parts.append(f"## {title}")
        for check in CHECKS:
            if check.group == group:
                parts += _check(check)
    parts.append(_AWS.rstrip())
    return f"{NOTE}\n" + "\n\n".join(parts) + "\n"


def _check(check: Check) -> Iterator[str]:
    deep = ", with `--deep` alone" if check.deep else ""
    yield f"### {check.name}"
    yield f"*{check.severity.capitalize()}{deep}.* **You see:** {check.symptom}"
    yield f"**It means:** {check.meaning}"
    yield f"**Found by:** {check.how}"
    yield f"**What mends it:** {check.mends}"
    if check.commands:
        yield "```sh\n" + "\n".join(check.commands) + "\n```"


def commands(text: str) -> list[str]:
    """Every command on a page, once."""
    found: dict[str, None] = {}
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = line == "```sh"
        elif inside and line:
            found[line] = None
    return list(found)


def main() -> int:
    """Write the page; with `--check` only say whether it is stale, and exit 1 if so."""
    stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page()
    if stale and "--check" in sys.argv:
        print("stale: runbook.md; run `make docs`")
        return 1
    if stale:
        PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
