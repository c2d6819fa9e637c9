"""Several real processes and a table that fails: one circuit for all, one message, and it closes by itself."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from carlake.journal import WATCH_BEGUN
from carlake.lakehouse import Lakehouse
from carlake.refresh.circuits import circuits_of
from carlake.settings import Settings
from carlake.watch.presence import stop
from circuits.test_failing_tables import column_dropped
from lakes import ALERTS, MONTHLY, STATE
from watch.running import all_once, event, land, process, until_line, wait_until


def test_watches_back_off_together_tell_once_and_take_it_up_again(small_folder: Path) -> None:
    told = small_folder / "told.ndjson"
    env = {
        "CARLAKE_THREADS": "1",
        "CARLAKE_LIST_SECONDS": "1",
        "CARLAKE_CIRCUIT_LONGEST_WAIT_SECONDS": "2",
        "CARLAKE_HOOKS_COMMAND": json.dumps(["sh", "-c", f"cat >> '{told}'"]),
    }
    with Lakehouse.create(small_folder / "lake", Settings(threads=1)) as house, ExitStack() as held:
        land(house, "0.json", event(0))
        assert house.run().status == "succeeded"
        mend = column_dropped(house)
        watches = [held.enter_context(process("watch", "--lake", house.lake.root, env=env)) for _ in range(2)]
        for watch in watches:
            until_line(watch.stderr, WATCH_BEGUN)

        for number in (1, 2, 3):
            land(house, f"{number}.json", event(number))
        # They try it again by themselves, with no news.
        wait_until(lambda: any(circuit.opened_at for circuit in circuits_of(house.lake)))
        (circuit,) = circuits_of(house.lake)
        assert circuit.table == STATE and circuit.failures >= 3 and "gas_type" in circuit.error
        # The other tables go on, and a person's run says what is wrong.
        run = held.enter_context(process("run", "--lake", house.lake.root, "--json", env={"CARLAKE_THREADS": "1"}))
        out, _ = run.communicate(timeout=90)
        tables = {each["table"]: each["status"] for each in json.loads(out)["tables"]}
        assert (
            run.returncode == 1
            and tables[STATE] == "failed"
            and {tables[MONTHLY], tables[ALERTS]} <= {"succeeded", "skipped"}
        )

        mend()
        wait_until(lambda: not circuits_of(house.lake))
        wait_until(lambda: not list(house.lake.landing.glob("*.json")))
        ended, left = stop(house.lake)
        assert (len(ended), left) == (2, [])
        for watch in watches:
            watch.communicate(timeout=60)
            assert watch.returncode == 0
        assert house.run().status == "succeeded"
        all_once(house, range(4))
        assert house.verify().ok
    events = [json.loads(line) for line in told.read_text().splitlines()]
    assert [(each["event"], each["table"]) for each in events] == [("circuit_opened", STATE), ("circuit_closed", STATE)]
