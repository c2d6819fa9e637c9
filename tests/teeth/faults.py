"""Faults that are put into carlake on purpose, each with the test that must catch it.

A fault is one edit of the source text, made in a copy; the test runs in a process of its own that imports the copy. A
test that passes then has no teeth. The edits are checked against the source by a test, so that they cannot go stale.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fault:
    """One edit: in a file of `src/carlake`, a text that is there once is exchanged; and the test that catches it."""

    file: str
    text: str
    instead: str
    caught_by: str

    def fits(self) -> bool:
        """Whether the text is in the source, once."""
        return (ROOT / "src" / "carlake" / self.file).read_text(encoding="utf-8").count(self.text) == 1


_OUTCOMES = "tests/concurrency/test_outcomes.py::"
_QUEUE = "tests/queues/test_watching.py::"
_ARCHIVE = "tests/landing/test_landing_archive.py::"

FAULTS: dict[str, Fault] = {
    "a commit is not guarded by its base": Fault(
        "refresh/commit.py",
        'AssertRefSnapshotId(ref="main", snapshot_id=staged.base),',
        "",
        _OUTCOMES + "test_a_rollback_meanwhile_is_a_refusal",
    ),
    "a commit whose answer was lost is not recognised": Fault(
        "refresh/commit.py",
        "return any(s.snapshot_id == snapshot_id for s in ancestry(table, head.snapshot_id if head else None))",
        "return False",
        _OUTCOMES + "test_an_unknown_outcome_is_cleared_up_for_every_table",
    ),
    "only the newest snapshot is looked at for one's own": Fault(
        "refresh/commit.py",
        "for s in ancestry(table, head.snapshot_id if head else None))",
        "for s in [head] if s)",
        _OUTCOMES + "test_a_commit_that_landed_and_was_succeeded_before_the_answer_was_lost",
    ),
    "the files of a commit of unclear outcome are removed": Fault(
        "refresh/commit.py",
        "surely_not_landed=trouble is None and landed is False,",
        "surely_not_landed=True,",
        _OUTCOMES + "test_an_unknown_commit_that_is_refused_when_sent_again_keeps_its_files",
    ),
    "a sequence number that was taken is an error": Fault(
        "catalogs/failures.py",
        '_MOVED = re.compile(r"sequence number", re.I)',
        '_MOVED = re.compile(r"nothing of the kind", re.I)',
        _OUTCOMES + "test_a_sequence_number_that_a_branch_took_is_a_refusal",
    ),
    "a refused writer never takes the lease": Fault(
        "refresh/lease.py",
        "if self.refusals == REFUSALS_BEFORE_LEASE:",
        "if False:",
        _OUTCOMES + "test_a_writer_that_is_refused_again_and_again_takes_the_lease",
    ),
    "nobody waits for who has the lease": Fault(
        "refresh/lease.py",
        "if self.refusals < REFUSALS_BEFORE_LEASE:",
        "if False:",
        _OUTCOMES + "test_a_writer_waits_for_who_has_the_lease",
    ),
    "a chunk in memory stands in for what another process landed before it": Fault(
        "refresh/refresh.py",
        "if end == until and (start == since or quiet_between(source, since, start) is not None):",
        "if end == until:",
        _OUTCOMES + "test_rows_that_another_process_left_in_bronze_reach_silver_though_a_chunk_is_at_hand",
    ),
    "a content that bronze holds is landed again": Fault(
        "refresh/land.py",
        'return {str(row[0]) for row in engine.rows(f"SELECT DISTINCT source_id FROM {found}")}, head',
        "return set(), head",
        "tests/behaviour/test_again.py::test_known_content_under_another_name_or_time_adds_nothing",
    ),
    "what bronze holds is looked up once only": Fault(
        "refresh/land.py",
        "                known, base = _known(context, new)\n",
        "                base = head_of(context.find(BRONZE))\n                known = set()\n",
        _OUTCOMES + "test_bronze_that_was_refused_by_the_same_object_adds_nothing",
    ),
    "a bookmark says less than was read": Fault(
        "refresh/refresh.py",
        "mark = Bookmark(refresh.until, refresh.definition, refresh.day, table.parts)",
        "mark = Bookmark(refresh.since, refresh.definition, refresh.day, table.parts)",
        "tests/behaviour/test_again.py::test_a_second_run_makes_no_snapshot_and_reads_no_file",
    ),
    "a bookmark is written apart from its rows": Fault(
        "refresh/context.py",
        "            BOOKMARK: mark.to_text(),\n",
        "",
        "tests/behaviour/test_again.py::test_a_second_run_makes_no_snapshot_and_reads_no_file",
    ),
    "rows that went do not touch their keys": Fault(
        "refresh/compute.py",
        "    # Without the keys of rows that went, a correction would leave the old row behind.\n    if changed.rows_gone:",
        "    if False:",
        "tests/behaviour/test_corrections.py::test_a_newer_version_moves_an_event_to_another_month",
    ),
    "the older version wins": Fault(
        "tables/silver_car_telemetry.py",
        "ORDER BY event_version DESC, record_hash DESC,",
        "ORDER BY event_version, record_hash,",
        "tests/behaviour/test_corrections.py::test_an_older_version_that_comes_later_changes_nothing",
    ),
    "the day goes back": Fault(
        "refresh/plan.py",
        "else max(today, mark.day)",
        "else today",
        "tests/behaviour/test_days.py::test_the_day_goes_back_only_when_asked",
    ),
    "another definition is taken over without being asked": Fault(
        "refresh/plan.py",
        "blocked=not adopt",
        "blocked=False",
        "tests/behaviour/test_rebuild.py::test_two_processes_with_different_settings_do_not_flip_rows",
    ),
    "a bookmark without a history is read on from": Fault(
        "refresh/plan.py",
        "if source is None or not is_ancestor(source, mark.source, until):",
        "if False:",
        "tests/behaviour/test_snapshots.py::test_a_bookmark_that_is_no_ancestor_makes_the_table_anew",
    ),
    "a table's own newest snapshot without a bookmark is trusted": Fault(
        "refresh/plan.py",
        'return refresh("foreign", full=True)',
        "return None",
        "tests/behaviour/test_snapshots.py::test_a_foreign_append_is_healed_by_the_next_run",
    ),
    "metadata is not synced before the swap": Fault(
        "storage/durable.py",
        "        if self._durable_path.endswith(_LAST_BEFORE_THE_SWAP):\n            settle()\n",
        "",
        "tests/crashes/test_power.py::test_power_lost_after_a_swap_and_on_the_way_to_the_archive",
    ),
    "a folder's new entries are not synced": Fault(
        "storage/durable.py",
        "        for folder in folders:\n            fsync_dir(folder)\n    else:",
        "    else:",
        "tests/landing/test_durable_storage.py::test_files_are_on_the_disk_once_the_metadata_that_names_them_is_closed",
    ),
    "an object that changed leaves landing": Fault(
        "landing/removal.py",
        "        if not good:\n            _put_back(taken, path)\n            raise NotAsReadError\n",
        "",
        _ARCHIVE + "test_an_upload_in_the_last_moment_is_put_back",
    ),
    "an archived object is overwritten": Fault(
        "landing/archive.py",
        "        except FileExistsError:\n            if holds(target, source_id):",
        "        except FileExistsError:\n            os.unlink(target)\n            os.link(path, target)\n            if True:",
        _ARCHIVE + "test_an_archived_object_is_never_overwritten",
    ),
    "objects are archived though their commit is not known to have landed": Fault(
        "refresh/run.py",
        "                noted(context, failed)\n                _add(steps, failed)\n                break\n",
        "                noted(context, failed)\n                _add(steps, failed)\n"
        "                import hashlib\n"
        "                ids = {o.uri: hashlib.sha256(open(o.uri.removeprefix('file://'), 'rb').read()).hexdigest() for o in part}\n"
        "                _archived(archive, part, Batch(failed, ids))\n                break\n",
        _OUTCOMES + "test_a_catalog_that_stays_away_leaves_the_object_in_landing_for_the_next_run",
    ),
    "the steps of archiving are in another order": Fault(
        "landing/archive.py",
        "            if os.path.islink(path) or _has_other_names(path) or not _link(path, target):\n",
        "            os.unlink(path) if not os.path.islink(path) else None\n"
        "            if os.path.islink(path) or not _link(path, target):\n",
        "tests/crashes/test_crash_points.py::test_a_run_that_is_killed_at_each_kind_of_boundary",
    ),
    "a hold is not carried on": Fault(
        "engines/snapshots.py",
        "own = {HOLD: hold} if HOLD not in properties and (hold := hold_on(iceberg)) else {}",
        "own = {}",
        "tests/stateful/test_model.py::test_a_hold_outlives_maintenance",
    ),
    "a manifest is not compared with its name": Fault(
        "storage/durable.py",
        "        check_content(self.location, content)\n",
        "",
        "tests/damage/test_checksums.py::test_a_bit_flipped_in_metadata_is_an_error_that_names_the_file",
    ),
    "damaged rows are carried over": Fault(
        "engines/duckdb/engine.py",
        "check_file(local_path(file.file_path))",
        "pass",
        "tests/damage/test_checksums.py::test_damaged_rows_are_not_carried_over_into_another_file",
    ),
    "times are read in the process's zone": Fault(
        "engines/duckdb/engine.py",
        """        self.connection.execute("SET TimeZone = 'UTC'")\n""",
        "",
        "tests/environment/test_zones.py",
    ),
    "a locked catalog is not waited for": Fault(
        "refresh/commit.py",
        "_TRIES = 6",
        "_TRIES = 1",
        _OUTCOMES + "test_a_locked_database_is_waited_for",
    ),
    "a message is deleted though it names more than was landed": Fault(
        "watch/in_hand.py",
        "            held.wants.discard(key)\n            if not held.wants:",
        "            held.wants.discard(key)\n            if True:",
        "tests/queues/test_in_hand.py",
    ),
    "a queue's messages are deleted when they are understood": Fault(
        "watch/in_hand.py",
        "        elif not held.wants:\n            self._finish(held)",
        "        else:\n            self._finish(held)",
        _QUEUE + "test_no_message_is_deleted_before_a_commit_has_what_it_names",
    ),
    "a long batch lets its messages go": Fault(
        "watch/consumer.py",
        "        late, again = self.queue.hold([(held.message, self._hold_seconds) for held in due])",
        "        late, again = [], []",
        _QUEUE + "test_a_hold_is_prolonged_while_a_batch_takes_long",
    ),
    "an object of a store is archived as what it is now": Fault(
        "landing/store_archive.py",
        """        if hashlib.sha256(content).hexdigest() != source_id:
            raise NotAsReadError
        return Placed(place_content""",
        """        source_id = hashlib.sha256(content).hexdigest()
        return Placed(place_content""",
        "tests/landing/test_landing_stores.py::test_archive_takes_back_a_copy_of_the_wrong_content",
    ),
    "an older version is not looked for when a newer took the name": Fault(
        "landing/store_archive.py",
        "        older = versions.version_of(landed)\n        if older is None:",
        "        older = None\n        if older is None:",
        "tests/stores/test_archive.py::test_what_was_overwritten_after_it_was_read_goes_into_the_archive",
    ),
    "a commit that a database does not permit has an unknown outcome": Fault(
        "catalogs/failures.py",
        '    if isinstance(error, DBAPIError) and str(getattr(error.orig, "sqlstate", "")) == "42501":\n        return "denied"\n',
        "",
        "tests/catalogs/test_messages.py::test_a_commit_that_a_user_may_not_make_says_who_may_grant_it",
    ),
    "a shape is taken for another table's": Fault(
        "engines/manifest_writers.py",
        'key = (metadata["schema"], metadata["partition-spec"])',
        "key = ()",
        "tests/behaviour/test_manifest_writers.py",
    ),
}


def caught(fault: Fault, folder: Path) -> bool:
    """Whether the named test fails when the fault is in. Raises RuntimeError where it could not be run at all."""
    source = folder / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    edited = source / "carlake" / fault.file
    edited.write_text(edited.read_text(encoding="utf-8").replace(fault.text, fault.instead), encoding="utf-8")
    done = run_test(fault.caught_by, source, folder)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{fault.caught_by} could not be run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


def run_test(test: str, source: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a test in a process that imports carlake from `source`."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n0"]
    given = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    return subprocess.run(
        [*command, "--basetemp", str(folder / "tests"), test],
        cwd=ROOT,
        env={**given, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
