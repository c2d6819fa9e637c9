"""What `doctor` says of the queue that the settings name."""

from __future__ import annotations

from pathlib import Path

from carlake.settings import Settings
from carlake.upkeep.checks.doctor import diagnose
from carlake.upkeep.inspection.lake import Inspection
from lakes import lakehouse
from queues.conftest import Place


def found(lake: Path, queue: str) -> dict[str, tuple[str, str]]:
    """What the checks of the queue find."""
    findings = diagnose(Inspection(lake, Settings(queue=queue))).findings
    return {f.check: (f.where, f.what) for f in findings if f.check.startswith("queue")}


def test_doctor_looks_at_the_queue(place: Place, small_folder: Path) -> None:
    with lakehouse(small_folder / "lake") as house:
        lake = house.lake.root
    assert found(lake, "") == found(lake, place.url) == {}
    place.sqs.send_message(QueueUrl=place.dead_url, MessageBody="nonsense")
    arn = place.attributes(place.dead_url)["QueueArn"]
    assert found(lake, place.url) == {"queue-dead-letters": (arn, "holds 1 message, about")}
    place.sqs.set_queue_attributes(QueueUrl=place.url, Attributes={"RedrivePolicy": ""})
    assert found(lake, place.url) == {"queue-no-redrive": (place.url, "has no redrive policy")}
    for url, says in ((f"{place.url}-not-there", "There is no queue"), ("fleet", "is no URL of a queue")):
        ((name, (_, what)),) = found(lake, url).items()
        assert name == "queue-unusable" and says in what
