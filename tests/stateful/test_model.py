"""Random walks through all that can be done to a lake, each step compared with the model. More: `make torture`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from stateful.machine import LakeMachine


class Checked(LakeMachine):
    """As the machine; at the end of each walk the lake is verified, too."""

    def teardown(self) -> None:
        try:
            self.check_whole()
        finally:
            super().teardown()


def test_random_walks() -> None:
    run_state_machine_as_test(
        Checked,
        settings=settings(max_examples=4, stateful_step_count=12, suppress_health_check=list(HealthCheck)),
    )


def test_a_hold_outlives_maintenance() -> None:
    """A fixed walk: compaction of tables that were rolled back, and a run after it, which must leave them alone."""
    machine = LakeMachine()
    try:
        machine.first()
        for number in range(3):
            machine.land("A", f"e{number + 1}", number, True, 1)
            machine.run()
        machine.roll_back(1)
        assert machine.model.held == 3
        machine.maintain()
        machine.run()
        machine.the_tables_are_what_the_model_says()
        machine.check_whole()
        machine.the_tables_are_what_the_model_says()
    finally:
        machine.teardown()
