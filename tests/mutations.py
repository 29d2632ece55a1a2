"""Breaks the program on purpose, one way after another, and sees that a test turns red for each.

    python -m tests.mutations [TEXT]

With a text, those that have it in their title, name or test. The table in
`documentation/mutations.md` is made of the same data.
"""

import ast
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
COPIED = ("engine.py", "services", "utils", "tests", ".pytest.ini")
# https://docs.pytest.org/en/stable/reference/exit-codes.html
PASSED, FAILED = 0, 1
# A program that is broken may wait for ever, or leave a thread that does.
LONGEST_SECONDS = 300.0


class Mutation(NamedTuple):
    """A deliberate breakage.

    Args:
        title: what is broken.
        name: the function, class or constant that is broken, as `InFlight.complete_oldest`,
            whichever module it is in; if a name is there twice, the text decides.
        search: the text that is there once, within the source of what is named.
        replacement: what comes into its place.
        test: the test that turns red.
    """

    title: str
    name: str
    search: str
    replacement: str
    test: str


class Definition(NamedTuple):
    """A function, class or constant of the program: its whole name, and where its source stands."""

    name: str
    path: Path
    begin: int
    end: int


KILLS = "tests/faults/test_kills_in_process.py"
FAULTS = "tests/faults/test_faults.py"
STORAGE = "tests/faults/test_faults_of_storage.py"
TIME = "tests/faults/test_faults_of_time.py"
SHARDS = "tests/faults/test_sharding.py"
METRICS = "tests/process/test_iteration_metrics.py"
EXCLUSION = "tests/unit/test_exclusion.py"
CONFIG = "tests/unit/test_config.py"
PARTS = "tests/unit/test_audit_parts.py"
AUDIT = "tests/faults/test_audit.py"
REPAIR = "tests/faults/test_repair.py"
RUNS = "tests/unit/test_runs.py"
HTTP = "tests/unit/test_http_connection.py"
ACROSS = "tests/faults/test_runs_across_objects.py"

MUTATIONS = (
    Mutation(
        "A head that breaks off passes for a whole one",
        "Answer._end_early",
        '            raise RemoteDisconnected("Remote end closed connection without response")\n',
        "            self._has_head = True\n",
        f"{HTTP}::test_head_that_breaks_off_is_no_answer",
    ),
    Mutation(
        "What follows an answer is taken into it",
        "Answer.on_message_begin",
        "if self._is_whole",
        "if False",
        f"{HTTP}::test_what_follows_an_answer_is_of_no_other_request",
    ),
    Mutation(
        "A connection on which more came than an answer is used again",
        "Answer._receive",
        "            self._may_stay_open = False\n",
        "",
        f"{HTTP}::test_what_follows_an_answer_is_of_no_other_request",
    ),
    Mutation(
        "What came of a body before it broke is thrown away",
        "Answer.read",
        "if self._break and not (most_bytes and self._body):",
        "if self._break:",
        f"{HTTP}::test_what_came_before_a_break_is_read",
    ),
    Mutation(
        "A put waits for its connection after it was asked if it may be sent",
        "PutClient.put",
        """        try:
            connection = self._http.connection()
        except BotoCoreError as exc:
            raise NotStoredError(_cause(exc)) from exc
        # Asked behind the connection: a name server or a proxy may take long.
        if not may_send():
            connection.close()
            raise NotStoredError("the checkpoint is not saved")
""",
        """        if not may_send():
            raise NotStoredError("the checkpoint is not saved")
        try:
            connection = self._http.connection()
        except BotoCoreError as exc:
            raise NotStoredError(_cause(exc)) from exc
""",
        "tests/unit/test_put_client.py"
        "::test_what_may_not_be_sent_any_more_when_there_is_a_connection_is_not_sent",
    ),
    Mutation(
        "A header may hold the end of a line",
        "Connections.send",
        "any(map(_LINE_END.search, head))",
        "False",
        f"{HTTP}::test_end_of_a_line_in_a_header_is_refused",
    ),
    Mutation(
        "An object that was asked for ahead is asked for again",
        "ObjectReader._opened",
        "self._asked.pop((asked, offset), None) or ",
        "",
        f"{ACROSS}::test_many_small_objects_take_few_requests_and_no_thread_each",
    ),
    Mutation(
        "The position is saved before the acknowledgement",
        "Shipper._finish_oldest",
        "        pending = self._in_flight.complete_oldest()\n",
        "        for part in self._in_flight.pending[0].run.parts.values():\n"
        "            self._context.progress.acknowledge(part.position, part.counts.read)\n"
        "        pending = self._in_flight.complete_oldest()\n",
        f"{KILLS}::test_killed_at_each_call_in_turn",
    ),
    Mutation(
        "Only the first object of a run has to be named before it is sent",
        "Shipper._await_room",
        "self._sent.objects + len(run.parts) - 1",
        "self._sent.objects",
        f"{KILLS}::test_killed_at_each_call_in_turn",
    ),
    Mutation(
        "A run holds more objects than a checkpoint names",
        "Run.has_place",
        "is_in_window and begin.object.key",
        "begin.object.key",
        f"{RUNS}::test_a_run_stays_within_what_a_checkpoint_can_name",
    ),
    Mutation(
        "An object that can't be read to its end takes its neighbours with it",
        "Run.drop",
        "if event.object_key != key",
        "if False",
        f"{RUNS}::test_each_object_of_a_run_is_accounted_for_by_itself",
    ),
    Mutation(
        "A run that was cut by a changed object is handed out twice",
        "runs",
        "            yield run\n            run = begun()\n",
        "            yield run\n",
        f"{RUNS}::test_each_object_of_a_run_is_accounted_for_by_itself",
    ),
    Mutation(
        "What is accepted of a run is booked on its first object",
        "Pending.account",
        "counts = parts[event.object_key].counts",
        "counts = next(iter(parts.values())).counts",
        f"{ACROSS}::test_a_refused_event_is_quarantined_with_its_own_object",
    ),
    Mutation(
        "What will be sent is not saved before",
        "CheckpointSaver.has_room",
        "return is_near and is_named and self._mark.objects >= objects_to_save",
        "return True",
        f"{KILLS}::test_killed_at_each_call_in_turn",
    ),
    Mutation(
        "The window of lines has no end",
        "CheckpointSaver.has_room",
        "return is_near and is_named and self._mark.objects >= objects_to_save",
        "return is_named and self._mark.objects >= objects_to_save",
        f"{KILLS}::test_killed_again_and_again",
    ),
    Mutation(
        "Lines are sent behind an object with trouble before a save tells of it",
        "CheckpointSaver.has_room",
        "return is_near and is_named and self._mark.objects >= objects_to_save",
        "return is_near and is_named",
        "tests/faults/test_owed.py::"
        "test_what_is_sent_behind_an_object_that_can_be_read_after_a_kill",
    ),
    Mutation(
        "Nothing is read back",
        "Reconciler.look",
        "uncertain.observe(timestamp_ms, message)",
        "pass",
        f"{FAULTS}::test_only_batches_that_are_missing_are_sent_again",
    ),
    Mutation(
        "Only the first page is read back",
        "ReadBack.pages",
        'if page["nextForwardToken"] == request.get("nextToken"):',
        "if True:",
        f"{FAULTS}::test_what_is_stored_is_read_back_page_by_page",
    ),
    Mutation(
        "An empty page is taken for the end",
        "ReadBack.pages",
        'if page["nextForwardToken"] == request.get("nextToken"):',
        'if page["nextForwardToken"] == request.get("nextToken") or not page["events"]:',
        f"{FAULTS}::test_what_is_stored_is_read_back_page_by_page",
    ),
    Mutation(
        "It is read back at once",
        "InFlight._reconcile",
        "stop.wait(self._context.source.settle_seconds)",
        "stop.wait(0)",
        f"{FAULTS}::test_a_doubt_is_settled_after_settle_seconds_and_not_before",
    ),
    Mutation(
        "That identical lines can't be told apart is not said",
        "Reconciler._tell",
        "        elif found:",
        "        elif False:",
        f"{FAULTS}::test_an_equal_line_of_an_object_that_was_shipped_before_is_told",
    ),
    Mutation(
        "Twins under way are not claimed first",
        "Reconciler.look",
        "chain(known, ",
        "chain((), ",
        f"{FAULTS}::test_five_hundred_equal_lines",
    ),
    Mutation(
        "Twins before the position are not claimed first",
        "Reconciler.recover",
        "self.look(uncertain, (), begun, ",
        "self.look(uncertain, (), (), ",
        f"{KILLS}::test_killed_again_and_again",
    ),
    Mutation(
        "What a recovery is to claim yet is not left to it",
        "Reconciler.look",
        "        uncertain.leave_to(recovered)",
        "        pass",
        f"{FAULTS}::test_an_object_in_doubt_leaves_a_recovery_what_it_has_found",
    ),
    Mutation(
        "A recovery is over before all of it is through",
        "InFlight.is_clean",
        "not self.recovered and all(",
        "all(",
        f"{FAULTS}::test_a_recovery_that_fails_is_repeated",
    ),
    Mutation(
        "Of what was named in the checkpoint, something is left out",
        "Progress._window",
        "max(count, self._objects_named - self.mark.objects)",
        "count",
        "tests/unit/test_progress.py::test_what_was_named_stays_named_however_much_it_takes",
    ),
    Mutation(
        "An object that has grown since is not in doubt",
        "Forwarder._as_it_is",
        "in_doubt = partition.checkpoint.running or position.in_doubt",
        "in_doubt = position.in_doubt",
        f"{KILLS}::test_an_object_that_grows_after_a_kill_hides_no_other",
    ),
    Mutation(
        "An unknown outcome counts as not stored",
        "_raise_failure",
        'raise UnknownOutcomeError(f"HTTP {status}")\n    if code in THROTTLING',
        'raise NotStoredError(f"HTTP {status}")\n    if code in THROTTLING',
        f"{FAULTS}::test_a_batch_in_doubt_again_and_again",
    ),
    Mutation(
        "An unknown outcome counts as stored",
        "LogStream.deliver",
        "return Delivery(uncertain=[batch])",
        "return Delivery(accepted=list(batch))",
        f"{FAULTS}::test_a_batch_in_doubt_again_and_again",
    ),
    Mutation(
        "An iteration that leaves a doubt says that it ended",
        "Shipper.shut_down",
        "is_clean = self._in_flight.is_clean()",
        "is_clean = True",
        f"{FAULTS}::test_credentials_that_end_while_a_batch_is_in_doubt",
    ),
    Mutation(
        "What a failed iteration had queued goes out later",
        "LogStream.close",
        "        self._is_closed = True",
        "        self._is_closed = False",
        f"{KILLS}::test_what_a_failed_iteration_has_not_sent_stays_unsent",
    ),
    Mutation(
        "The start of too new events is taken for their number",
        "split_rejected",
        "end = len(batch) if too_new_start is None else max(first, too_new_start)",
        "end = len(batch) - (too_new_start or 0)",
        f"{FAULTS}::test_what_is_rejected_for_its_time_is_sent_again_with_a_time_of_upload",
    ),
    Mutation(
        "The ends of too old and expired events are added up like numbers",
        "split_rejected",
        "first = max(too_old_end, expired_end)",
        "first = too_old_end + expired_end",
        f"{FAULTS}::test_what_is_rejected_for_its_time_is_sent_again_with_a_time_of_upload",
    ),
    Mutation(
        "The time of upload is not saved with the object",
        "Progress.plan",
        "            self._open.extend(planned)\n",
        "            self._open.extend(replace(one, uploads_ms=()) for one in planned)\n",
        f"{KILLS}::test_killed_at_each_call_in_turn",
    ),
    Mutation(
        "Two objects have one time of upload",
        "Progress._stamped",
        "upload_ms = self._checkpoint.upload_ms + 1",
        "upload_ms = self._checkpoint.upload_ms",
        f"{KILLS}::test_killed_again_and_again",
    ),
    Mutation(
        "An earlier time of upload is forgotten with a new one",
        "Progress._stamped",
        "uploads_ms=(*position.uploads_ms, upload_ms)",
        "uploads_ms=(upload_ms,)",
        f"{TIME}::test_a_machine_stands_still_for_days_between_two_kills",
    ),
    Mutation(
        "A gap is forgotten as soon as it is reported",
        "Iteration._followed",
        "return replace(followed, gap_since=followed.quiet_since)",
        "return followed",
        "tests/unit/test_latest.py::"
        "test_a_gap_is_reported_once_whatever_restarts_follow_and_so_is_its_end",
    ),
    Mutation(
        "A failed iteration forgets what is known of a gap",
        "Iteration._report",
        "self._trail or latest.trail()",
        "self._trail or Trail()",
        "tests/unit/test_latest.py::test_an_iteration_that_fails_does_not_make_a_gap_new",
    ),
    Mutation(
        "Failed iterations leave the daemon healthy",
        "Iterations._count",
        "0 if is_good else self._failures[name] + 1",
        "0",
        "tests/process/test_iterations.py::test_failures_in_a_row_are_counted_for_each_source",
    ),
    Mutation(
        "A source that is under way keeps the others waiting for their hour",
        "Iterations.run",
        "if source.name in self._under_way:",
        "if self._under_way:",
        "tests/process/test_hours.py::test_a_source_that_is_throttled_for_hours_costs_no_other_an_hour",
    ),
    Mutation(
        "Two iterations of a source overlap",
        "Iterations.run",
        "if source.name in self._under_way:",
        "if False:",
        "tests/process/test_daemon.py::test_iterations_never_overlap_and_a_missed_slot_loses_nothing",
    ),
    Mutation(
        "There is no late window",
        "LATE_WINDOW_MS",
        "LATE_WINDOW_MS = DAY_MS",
        "LATE_WINDOW_MS = 0",
        f"{STORAGE}::test_an_object_that_appears_up_to_a_day_behind_the_newest_is_found",
    ),
    Mutation(
        "The ETag is not compared",
        "GetClient.ask",
        '"If-Match": f\'"{log_object.etag}"\', ',
        "",
        "tests/unit/test_get_client.py::test_an_object_that_was_replaced_is_refused",
    ),
    Mutation(
        "What was asked for ahead is taken for the rest of a body that broke",
        "ObjectReader._opened",
        "self._asked.pop((asked, offset), None)",
        "self._asked.pop((asked, 0), None)",
        "tests/unit/test_get_client.py"
        "::test_a_body_that_breaks_is_resumed_though_the_object_is_asked_for_anew",
    ),
    Mutation(
        "A body that broke is read from its beginning",
        "ObjectReader._opened",
        "self._client.ask(asked, offset)",
        "self._client.ask(asked, 0)",
        f"{STORAGE}::test_a_body_that_breaks_is_resumed",
    ),
    Mutation(
        "The owner is not checked at a save",
        "CheckpointStore.save",
        "if not self._is_unchanged():",
        "if False:",
        f"{STORAGE}::test_a_daemon_that_finds_another_owner_at_a_save_stops",
    ),
    Mutation(
        "A recovery does not see that the other daemon is alive",
        "Partition.await_owner",
        "if again is None or again.checksum != self.checkpoint.checksum:",
        "if again is None:",
        f"{STORAGE}::test_a_newcomer_stops_when_the_other_daemon_is_at_work",
    ),
    Mutation(
        "A change by hand of the checkpoint is not noticed",
        "decode_checkpoint",
        "    if not is_whole:",
        "    if False:",
        f"{STORAGE}::test_a_checkpoint_that_can_not_be_trusted_stops_the_source",
    ),
    Mutation(
        "This machine's clock decides in place of the store's",
        "DueObjects.at",
        "start.now_ms if store_ms is None else store_ms",
        "start.now_ms",
        f"{TIME}::test_this_machines_clock_is_hours_or_days_off",
    ),
    Mutation(
        "A partition's checkpoint is split with the keys of all partitions",
        "split",
        "row[0] % PARTITIONS == partition",
        "row[0] % PARTITIONS <= partition",
        f"{SHARDS}::test_what_is_split_is_the_whole",
    ),
    Mutation(
        "What was begun is split before its iteration is ended",
        "SharedSource._end",
        "if found.running:",
        "if False:",
        f"{SHARDS}::test_an_unfinished_iteration_is_ended_before_the_source_is_shared_out",
    ),
    Mutation(
        "A claim is not looked at again before anything is sent",
        "Shipper._await_room",
        "        self.saver.confirm(self._context.shared.stop)\n",
        "",
        f"{SHARDS}::test_two_claims_that_cross",
    ),
    Mutation(
        "A replica goes on after another number has taken over",
        "SharedSource._claim",
        "if sharing and sharing.since_ms > began_ms + _STORE_STEP_MS:",
        "if False:",
        f"{SHARDS}::test_a_daemon_of_the_number_before_stops",
    ),
    Mutation(
        "A replica does not look in mid-iteration whether another number has taken over",
        "Forwarder._apart",
        "self._shared_source.check()",
        "pass",
        f"{SHARDS}::test_a_replica_stops_in_mid_iteration_once_another_number_ships",
    ),
    Mutation(
        "A daemon without SHARD ships a source that is shared",
        "load_whole",
        "if found.sharing and source.shard is None:",
        "if False:",
        f"{SHARDS}::test_a_daemon_without_shard_stops_once_the_source_is_shared",
    ),
    Mutation(
        "A partition without its checkpoint begins anew",
        "_own",
        "if found is None or",
        "if found is None: return Checkpoint(part.source.identity, '', Coverage(0))\n    if",
        f"{SHARDS}::test_a_partition_without_its_checkpoint_is_not_begun_anew",
    ),
    Mutation(
        "What no thread will do is taken for done, and done by a later one",
        "Workers.submit",
        "(self._is_closed or not self._has_thread) and future.cancel()",
        "(self._is_closed or not self._has_thread)",
        "tests/faults/test_threads.py::"
        "test_without_any_thread_nothing_is_done_and_the_error_says_what_is_needed",
    ),
    Mutation(
        "A line that can't be sent counts as kept without a look into the quarantine",
        "Verification._sum_up_object",
        "not line.is_sendable and quarantined.holds(line.number, line.content)",
        "not line.is_sendable",
        f"{AUDIT}::test_a_line_that_is_not_in_the_quarantine_is_missing",
    ),
    Mutation(
        "What the retention has removed is missing",
        "Retention.has_expired",
        "if self.days is None:",
        "if self.days:",
        f"{AUDIT}::test_what_the_retention_has_removed_is_expired_and_not_missing",
    ),
    Mutation(
        "Identical lines of the days beside a day count as doubled",
        "Verification._compared",
        "comparison.has_surplus",
        "False",
        f"{AUDIT}::test_a_day_is_compared_by_when_its_objects_were_written",
    ),
    Mutation(
        "The streams of partitions and older replicas are not read",
        "is_stream_of",
        "return head == source_stream and",
        "return False and",
        f"{AUDIT}::test_all_partitions_and_older_layouts_are_read",
    ),
    Mutation(
        "What a daemon is sending meanwhile is missing",
        "Verification._claim_events",
        "findings.arrive(one.last_modified_ms)",
        "pass",
        f"{AUDIT}::test_what_a_daemon_ships_meanwhile_is_under_way_and_not_missing",
    ),
    Mutation(
        "A line claims an event and leaves it there",
        "Comparison.claim",
        "del self._left[digest]",
        "pass",
        f"{AUDIT}::test_any_mix_of_lines_and_any_change",
    ),
    Mutation(
        "A repair sends whole objects",
        "_Missing.split",
        "(missing if is_missing else stored)",
        "missing",
        f"{REPAIR}::test_what_is_missing_is_sent_and_nothing_else",
    ),
    Mutation(
        "A repair does not say in the checkpoint that it is at work",
        "Repair._progress",
        "repairing=True",
        "repairing=False",
        f"{REPAIR}::test_killed_at_each_call_in_turn",
    ),
    Mutation(
        "A repair does not look whether a daemon is at work",
        "Repair._await_owners",
        "self._store.look() != document",
        "False",
        f"{REPAIR}::test_a_daemon_at_work_ends_it",
    ),
    # The auditor's comparison.
    Mutation(
        "Copies that are too many are not seen",
        "Comparison.claim",
        "            self._surplus[digest] = (key, number)\n",
        "            pass\n",
        f"{AUDIT}::test_any_mix_of_lines_and_any_change",
    ),
    Mutation(
        "An event that is of no line is not counted",
        "Findings.add",
        "self.foreign += comparison.foreign()",
        "self.foreign += 0",
        f"{AUDIT}::test_any_mix_of_lines_and_any_change",
    ),
    Mutation(
        "Intervals are compared by the number of their events alone",
        "Cell.differs",
        "self.difference != 0 or self.lines != self.events",
        "self.lines != self.events",
        f"{PARTS}::test_sums_differ_where_the_sides_do_and_nowhere_else",
    ),
    Mutation(
        "An event that does not stand at its own time is not looked for where it stands",
        "Verification._sum_up_streams",
        "            cell.stands_at(stored_ms)\n",
        "",
        f"{AUDIT}::test_any_mix_of_lines_and_any_change",
    ),
    Mutation(
        "What is missing is not looked for again",
        "Verification._compare_differences",
        "if self.findings.missing:",
        "if False:",
        f"{AUDIT}::test_what_a_daemon_ships_meanwhile_is_under_way_and_not_missing",
    ),
    Mutation(
        "Requests to CloudWatch are not kept apart",
        "Pace.keep",
        "        self.wait(at_seconds - now_seconds)\n",
        "",
        f"{AUDIT}::test_requests_are_kept_apart",
    ),
    Mutation(
        "The checkpoint of a repair covers nothing",
        "Repair._run",
        "            self._cover(progress.ledger, proof)\n",
        "",
        f"{REPAIR}::test_a_checkpoint_that_is_lost_is_made_anew",
    ),
    Mutation(
        "A repair of some days forgets the others",
        "Repair._progress",
        "found.coverage if found and self._auditor.is_limited else Coverage(0)",
        "Coverage(0)",
        f"{REPAIR}::test_days_leave_all_others_as_they_are",
    ),
    # The keys of config.json.
    Mutation(
        "A bucket's name may be an address",
        "_Bucket",
        r"(?![0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\Z)",
        "",
        f"{CONFIG}::test_a_wrong_value_is_shown_with_what_is_allowed",
    ),
    Mutation(
        "A key that may hold a number takes any",
        "Keys",
        'Meta(ge=0, le=3600, description="a number from 0 to 3600")',
        'Meta(description="a number from 0 to 3600")',
        f"{CONFIG}::test_a_wrong_value_is_shown_with_what_is_allowed",
    ),
    Mutation(
        "A type that is named twice makes two sources of one name",
        "_type_faults",
        "elif types.index(log_type) != index:",
        "elif False:",
        f"{CONFIG}::test_a_wrong_value_is_shown_with_what_is_allowed",
    ),
    Mutation(
        "A hint names one of several types that were written",
        "_several_types",
        "if not is_whole or max(map(len, words)) <= 1:",
        "if True:",
        f"{CONFIG}::test_several_types_in_one_text_are_a_list_and_the_advice_is_right",
    ),
    # What is excluded, and the metrics.
    Mutation(
        "All fields have to fit before a line is excluded",
        "excluding",
        "if field_of(line) in values:",
        "if all(one(line) in held for one, held in fields):",
        f"{EXCLUSION}::test_one_of_several_fields_with_one_of_its_values_is_enough",
    ),
    Mutation(
        "A text is compared with its quotation marks",
        "_text_at",
        """if written[:1] == b'"':""",
        "if False:",
        f"{EXCLUSION}::test_a_field_of_json_is_found_by_its_path",
    ),
    Mutation(
        "What could not be put is in no later event of metrics",
        "IterationMetrics._put_all",
        "missed = None if is_put(source, figures, self._clock.now()) else figures",
        "missed = None if is_put(source, figures, self._clock.now()) else None",
        f"{METRICS}::test_what_could_not_be_put_is_in_the_next_event",
    ),
    Mutation(
        "The metrics leave out what failed",
        "figures_of",
        "failures=int(failed)",
        "failures=0",
        f"{METRICS}::test_an_iteration_that_failed_has_its_event",
    ),
    Mutation(
        "Replicas have one metric",
        "encode_metrics",
        'sets = [["source"], ["source", *replica]] if replica else [["source"]]',
        'sets = [["source"]]',
        f"{METRICS}::test_replicas_of_a_source_are_told_apart",
    ),
    # Replicas, and what a dead process has stored.
    Mutation(
        "A partition takes the checkpoint of an earlier sharing",
        "SharedSource._complete",
        "if known is None or known.generation != sharing.generation:",
        "if known is None:",
        f"{SHARDS}::test_partitions_of_an_earlier_sharing_say_nothing",
    ),
    Mutation(
        "Replicas of version 1 are split whatever their number",
        "load_whole",
        "counts == {len(others)} and PARTITIONS % replicas == 0",
        "True",
        f"{SHARDS}::test_what_can_not_be_split_exactly_is_refused",
    ),
    Mutation(
        "What a dead process has sent is not looked for",
        "Reconciler.recover",
        "                        uncertain.expect(event)\n",
        "                        pass\n",
        f"{KILLS}::test_killed_again_and_again",
    ),
    Mutation(
        "The log stream of before the partitions is not looked into",
        "Reconciler.look",
        "if self._origin and any(",
        "if False and any(",
        f"{SHARDS}::test_objects_change_in_any_order_while_the_number_does",
    ),
    Mutation(
        "A listing of all folders passes for that of the top level",
        "_check_page",
        """bool(listing.delimiter)
        and any(""",
        "False and any(",
        "tests/unit/test_list_request.py::"
        "test_an_answer_of_before_that_lists_all_folders_is_none_to_what_is_asked",
    ),
)


def places(mutation: Mutation, program: Path = REPOSITORY) -> list[Definition]:
    """Returns the definitions that a mutation fits; it is to fit one."""
    return [
        definition
        for definition in definitions(program, mutation.search)
        if f".{definition.name}".endswith(f".{mutation.name}")
        and "".join(_lines(definition)[definition.begin : definition.end]).count(mutation.search)
        == 1
    ]


def definitions(program: Path, search: str) -> Iterator[Definition]:
    """Yields the definitions of the modules where a text is."""
    paths = [*program.glob("services/**/*.py"), *program.glob("utils/**/*.py")]
    for path in [program / "engine.py", *paths]:
        text = path.read_text()
        if search in text:
            module = ".".join(path.relative_to(program).with_suffix("").parts)
            yield from _within(ast.parse(text), Definition(module, path, 0, 0))


def _within(node: ast.AST, outer: Definition) -> Iterator[Definition]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case _:
                continue
        assert isinstance(child, ast.stmt)
        end = child.end_lineno or child.lineno
        definition = Definition(f"{outer.name}.{name}", outer.path, child.lineno - 1, end)
        yield definition
        yield from _within(child, definition)


def _lines(definition: Definition) -> list[str]:
    return definition.path.read_text().splitlines(keepends=True)


def break_in(mutation: Mutation, program: Path) -> Path:
    """Breaks a program; returns the module that is changed.

    Raises:
        ValueError: the mutation fits nothing, or more than one definition.
    """
    (place,) = places(mutation, program)
    lines = _lines(place)
    source = "".join(lines[place.begin : place.end]).replace(mutation.search, mutation.replacement)
    place.path.write_text("".join([*lines[: place.begin], source, *lines[place.end :]]))
    return place.path


class Tree:
    """A copy of the program and its tests.

    Args:
        directory: where it is made.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in COPIED:
            source = REPOSITORY / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, directory / name, ignore=ignored)
            else:
                shutil.copy(source, directory / name)

    def status_with(self, mutation: Mutation) -> int:
        """Returns pytest's exit status for the mutation's test on the broken program."""
        (place,) = places(mutation, self._directory)
        content = place.path.read_text()
        break_in(mutation, self._directory)
        try:
            return self.status_of([mutation.test], LONGEST_SECONDS)
        finally:
            place.path.write_text(content)

    def status_of(self, tests: Sequence[str], longest_seconds: float | None = None) -> int:
        """Returns pytest's exit status for tests; what has no end fails."""
        options = ["-q", "-x", "-p", "no:cacheprovider"]
        command = [sys.executable, "-B", "-m", "pytest", *options, *tests]
        try:
            return subprocess.run(
                command,
                cwd=self._directory,
                capture_output=True,
                check=False,
                timeout=longest_seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            return FAILED


def table() -> str:
    """Returns the document's table."""
    rows = [
        f"| {mutation.title} | `{mutation.name}` | `{path}` | `{test}` |"
        for mutation in MUTATIONS
        for path, _, test in [mutation.test.partition("::")]
    ]
    head = ["| what is broken | where | tests | the test that turns red |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def main(text: str = "") -> int:
    """Tries mutations; returns 0 if each was caught.

    Args:
        text: stands in the title, name or test of those that are tried.
    """
    tried = [one for one in MUTATIONS if text in f"{one.title} {one.name} {one.test}"]
    with tempfile.TemporaryDirectory() as name:
        tree = Tree(Path(name))
        tests = sorted({mutation.test for mutation in tried})
        if tree.status_of(tests) != PASSED:
            _say("The tests fail on the program as it is: they would show nothing.")
            return 1
        survivors = 0
        for mutation in tried:
            is_caught = tree.status_with(mutation) == FAILED
            survivors += not is_caught
            _say(f"{'caught' if is_caught else 'SURVIVED':<9} {mutation.title}")
    _say(f"{len(tried)} mutations, {survivors} survived")
    return 1 if survivors else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a person waits for it


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
