"""The checker finds every class of fault in forged evidence, and nothing in clean evidence."""

import dataclasses
import unittest

import forge

from evidence import Answer, Held, Moment, Request, Row

STRANGE = "99999999-0000-7000-8000-000000000000"


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.run_ = forge.Forged()
        self.evidence = self.run_.evidence

    def finds(self, *kinds: str) -> None:
        self.assertEqual(self.run_.kinds(), set(kinds))

    def swap_row(self, request_id: str, status: str) -> None:
        self.evidence.rows[request_id] = Row(request_id, status, self.evidence.rows[request_id].number)

    def swap_final(self, request_id: str, **changes: object) -> None:
        self.evidence.answers = [
            dataclasses.replace(it, **changes) if it.id == request_id else it for it in self.evidence.answers
        ]


class Clean(Case):
    def test_a_clean_run_has_no_findings(self) -> None:
        plans = {it.plan for it in self.evidence.requests.values()}
        self.assertGreaterEqual(plans, {"ok", "slow", "delayed", "fail1", "fail2", "reject", "exhaust"})
        self.finds()

    def test_a_repeat_near_a_fault_is_permitted(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request())
        self.run_.repeat(arrival, 3)
        self.run_.fault(arrival.at + 1, arrival.at + 2)
        self.finds()

    def test_what_was_cancelled_does_not_come(self) -> None:
        request = self.run_.request("cancel", after=0)
        request.cancel_asked, request.cancelled_at = True, request.sent_at + 1
        self.run_.drop_arrivals(request)
        self.swap_row(request.id, "cancelled")
        self.swap_final(request.id, status="cancelled")
        self.finds()

    def test_what_was_unknown_may_arrive_or_not(self) -> None:
        arrived, absent = self.run_.request(), self.run_.request("slow")
        for request in (arrived, absent):
            request.result = "unknown"
            request.id = None
        self.run_.drop_arrivals(absent)
        del self.evidence.rows[forge.id_of(absent.number)]
        self.evidence.answers = [it for it in self.evidence.answers if it.id != forge.id_of(absent.number)]
        self.finds()

    def test_a_late_503_of_the_query_is_no_denial(self) -> None:
        request = self.run_.request()
        self.evidence.answers.append(Answer(request.answered_at + 0.1, request.id, 503, None))
        self.finds()


class Results(unittest.TestCase):
    """Of a request that is sent several times with one key."""

    def result(self, *answers: str) -> str:
        request = Request(1, "ok", "", 0.0)
        for answer in answers:
            request.unanswered += 1
            if answer:
                request.answered(answer, None, 1.0)
        return request.result

    def test_one_accepted_answer_decides(self) -> None:
        self.assertEqual(self.result("refused", "accepted", "refused"), "accepted")

    def test_it_is_refused_only_if_all_answers_say_so(self) -> None:
        self.assertEqual(self.result("refused", "refused"), "refused")
        self.assertEqual(self.result("unknown", "refused"), "unknown")
        self.assertEqual(self.result("", "refused"), "unknown")


class Lost(Case):
    def test_accepted_and_nowhere(self) -> None:
        request = self.run_.request()
        self.run_.drop_arrivals(request)
        del self.evidence.rows[request.id]
        self.swap_final(request.id, http=503, status=None)
        self.finds("lost")

    def test_arrived_and_refused_by_the_target_and_then_nowhere(self) -> None:
        request = self.run_.request("reject", after=0)
        self.evidence.held = [it for it in self.evidence.held if it.id != request.id]
        self.swap_row(request.id, "retrying")
        self.swap_final(request.id, status="retrying")
        self.finds("lost")

    def test_a_fault_excuses_no_loss(self) -> None:
        request = self.run_.request()
        self.run_.fault(request.sent_at - 1, request.sent_at + 100)
        self.run_.drop_arrivals(request)
        self.swap_row(request.id, "queued")
        self.swap_final(request.id, status="queued")
        self.finds("lost")

    def test_what_still_waits_is_not_lost(self) -> None:
        request = self.run_.request()
        self.run_.drop_arrivals(request)
        self.evidence.held.append(Held("retry", request.id, request.number, request.hash))
        self.swap_row(request.id, "queued")
        self.swap_final(request.id, status="queued")
        self.evidence.noticed.append(("stuck", "one message in retry"))
        self.finds("stuck")


class Invented(Case):
    def test_content_that_nobody_sent(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request())
        self.run_.repeat(arrival, 1).number = 987_654
        self.evidence.arrivals[-1].id = STRANGE
        self.finds("invented")

    def test_a_refused_one_arrives(self) -> None:
        request = self.run_.request()
        request.result, request.id = "refused", None
        self.finds("invented")

    def test_another_id_than_its_caller_was_told(self) -> None:
        request = self.run_.request()
        for arrival in self.run_.arrivals_of(request):
            arrival.id = STRANGE
        # Under its own id it is lost.
        self.assertGreaterEqual(self.run_.kinds(), {"invented", "lost"})

    def test_one_unknown_request_becomes_two_callbacks(self) -> None:
        request = self.run_.request()
        request.result, request.id = "unknown", None
        [arrival] = self.run_.arrivals_of(request)
        self.run_.repeat(arrival, 1).id = STRANGE
        self.finds("invented")

    def test_one_idempotency_key_becomes_two_callbacks(self) -> None:
        request = self.run_.request()
        request.answered("accepted", STRANGE, request.sent_at + 1)
        request.answered("accepted", request.id, request.sent_at + 2)
        self.finds("invented")

    def test_a_dead_letter_that_nobody_sent(self) -> None:
        self.evidence.held.append(Held("dead", STRANGE, None, None))
        self.finds("invented")

    def test_a_row_that_nobody_sent(self) -> None:
        self.evidence.rows[STRANGE] = Row(STRANGE, "queued", 987_654)
        self.finds("invented")


class Duplicated(Case):
    def test_it_comes_again_after_it_was_taken(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request())
        self.run_.repeat(arrival, 3)
        self.finds("duplicated")

    def test_an_attempt_comes_twice_before_it_is_taken(self) -> None:
        first = self.run_.arrivals_of(self.run_.request("fail1"))[0]
        self.run_.repeat(first, 0.3)
        self.finds("duplicated")

    def test_a_fault_long_before_does_not_excuse_it(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request(after=40))
        self.run_.fault(arrival.at - 30, arrival.at - 25)
        self.run_.repeat(arrival, 3)
        self.finds("duplicated")

    def test_the_second_copy_that_a_fault_made_makes_each_attempt_once(self) -> None:
        first, second = self.run_.arrivals_of(self.run_.request("fail1"))
        # It was deferred for long, so that the fault is not near its second attempt.
        second.at = second.answered_at = second.at + 40
        self.run_.fault(first.at, first.at + 1)
        self.run_.repeat(first, 10)
        self.run_.repeat(second, 60)
        self.finds()
        self.run_.repeat(second, 61)
        self.finds("duplicated")

    def test_it_comes_again_when_the_answer_came_too_late(self) -> None:
        request = self.run_.request()
        [arrival] = self.run_.arrivals_of(request)
        self.run_.repeat(arrival, 3, attempt=2)
        self.finds("duplicated")
        row = self.evidence.rows[request.id]
        self.evidence.rows[request.id] = dataclasses.replace(row, timed_out=frozenset({1}))
        self.finds()

    def test_where_no_repeat_is_permitted_no_fault_excuses_it(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request())
        self.run_.fault(arrival.at, arrival.at + 1)
        self.evidence.rules.repeats = False
        self.run_.repeat(arrival, 3)
        self.finds("duplicated")


class Altered(Case):
    def test_one_byte_is_another(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request())
        arrival.hash = "0" * 32
        self.finds("altered")

    def test_the_bytes_of_another_callback(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request())
        arrival.hash = self.run_.request("slow").hash
        self.finds("altered")

    def test_another_app(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request())
        arrival.app = "another"
        self.finds("altered")

    def test_a_dead_letter_with_other_bytes(self) -> None:
        held = self.evidence.held[0]
        self.evidence.held[0] = dataclasses.replace(held, hash="0" * 32)
        self.finds("altered")


class Reordered(Case):
    def test_an_older_attempt_comes_after_a_newer_one(self) -> None:
        first, second = self.run_.arrivals_of(self.run_.request("fail1"))
        first.at, second.at = second.at, first.at
        first.answered_at, second.answered_at = first.at, second.at
        self.assertIn("reordered", self.run_.kinds())

    def test_a_number_is_left_out(self) -> None:
        self.run_.arrivals_of(self.run_.request("fail1"))[1].attempt = 3
        self.finds("reordered")

    def test_an_attempt_that_did_not_reach_the_target_is_recorded(self) -> None:
        request = self.run_.request("fail1")
        self.run_.arrivals_of(request)[1].attempt = 3
        row = self.evidence.rows[request.id]
        self.evidence.rows[request.id] = dataclasses.replace(row, attempts=frozenset({1, 2, 3}))
        self.finds()

    def test_an_attempt_does_not_wait_for_its_delay(self) -> None:
        second = self.run_.arrivals_of(self.run_.request("fail1"))[1]
        second.at -= 0.5
        self.run_.fault(second.at - 3, second.at)
        self.finds("reordered")

    def test_a_delayed_one_does_not_wait(self) -> None:
        [arrival] = self.run_.arrivals_of(self.run_.request("delayed", after=0))
        arrival.at -= 1
        self.finds("reordered")

    def test_it_is_given_up_after_it_was_taken(self) -> None:
        request = self.run_.request()
        self.evidence.held.append(Held("dead", request.id, request.number, request.hash))
        self.finds("reordered", "given up")


class Denied(Case):
    def test_404_while_it_runs(self) -> None:
        request = self.run_.request()
        self.evidence.answers.append(Answer(request.answered_at + 0.2, request.id, 404, None))
        self.finds("denied")

    def test_404_at_the_end(self) -> None:
        self.swap_final(self.run_.request().id, http=404, status=None)
        self.finds("denied")


class Untrue(Case):
    def test_delivered_before_its_target_took_it(self) -> None:
        request = self.run_.request("fail1")
        self.evidence.answers.append(Answer(request.sent_at + 0.1, request.id, 200, "delivered"))
        self.finds("untrue")

    def test_delivered_and_its_target_never_took_it(self) -> None:
        request = self.run_.request("reject", after=0)
        self.swap_final(request.id, status="delivered")
        self.swap_row(request.id, "delivered")
        self.finds("untrue")

    def test_dead_and_no_dead_letter(self) -> None:
        request = self.run_.request()
        self.swap_final(request.id, status="dead")
        self.swap_row(request.id, "dead")
        self.finds("untrue")

    def test_cancelled_and_nobody_wanted_that(self) -> None:
        self.swap_row(self.run_.request().id, "cancelled")
        self.finds("untrue")

    def test_cancelled_and_it_comes_all_the_same(self) -> None:
        request = self.run_.request("cancel", after=0)
        request.cancel_asked, request.cancelled_at = True, request.sent_at + 1
        self.finds("untrue")

    def test_an_end_is_taken_back(self) -> None:
        request = self.run_.request()
        taken = self.run_.arrivals_of(request)[0].answered_at
        self.evidence.answers.append(Answer(taken + 1, request.id, 200, "delivered"))
        self.evidence.answers.append(Answer(taken + 2, request.id, 200, "retrying"))
        self.finds("untrue")


    def test_questions_that_were_asked_at_once_are_answered_in_any_order(self) -> None:
        request = self.run_.request()
        taken = self.run_.arrivals_of(request)[0].answered_at
        self.evidence.answers.append(Answer(taken + 2, request.id, 200, "delivered", asked_at=taken + 1.5))
        self.evidence.answers.append(Answer(taken + 3, request.id, 200, "queued", asked_at=taken + 1))
        self.finds()
        self.evidence.answers.append(Answer(taken + 4, request.id, 200, "queued", asked_at=taken + 2.1))
        self.finds("untrue")


class Unrecorded(Case):
    def test_the_journal_does_not_know_the_end(self) -> None:
        self.swap_row(self.run_.request().id, "retrying")
        self.finds("unrecorded")

    def test_the_journal_does_not_know_the_callback(self) -> None:
        del self.evidence.rows[self.run_.request().id]
        self.finds("unrecorded")

    def test_the_query_has_no_answer_at_the_end(self) -> None:
        self.swap_final(self.run_.request().id, http=503, status=None)
        self.finds("unrecorded")

    def test_so_many_are_permitted_near_a_fault(self) -> None:
        self.evidence.rules.unrecorded = 1
        request = self.run_.request()
        self.swap_row(request.id, "retrying")
        self.finds("unrecorded")
        self.run_.fault(request.sent_at + 1, request.sent_at + 2)
        self.finds()

    def test_a_virtual_host_that_was_removed_takes_records_with_it(self) -> None:
        request = self.run_.request()
        self.swap_row(request.id, "retrying")
        self.run_.remove_everything(request.sent_at + 1)
        self.finds()


class Removed(Case):
    """All queues were removed, those of dead letters included."""

    def test_a_dead_letter_with_its_message_in_the_journal_is_not_lost(self) -> None:
        self.dead_letter_is_removed(message=True)
        self.finds()

    def test_one_without_its_message_is(self) -> None:
        self.dead_letter_is_removed(message=False)
        self.finds("lost", "untrue")

    def dead_letter_is_removed(self, message: bool) -> None:
        request = self.run_.request("reject", after=0)
        self.evidence.held = [it for it in self.evidence.held if it.id != request.id]
        self.evidence.rows[request.id] = dataclasses.replace(self.evidence.rows[request.id], message=message)
        self.run_.remove_everything(request.sent_at + 100)


class Others(Case):
    def test_given_up_although_its_target_takes_it(self) -> None:
        request = self.run_.request()
        self.run_.drop_arrivals(request)
        self.evidence.held.append(Held("dead", request.id, request.number, request.hash))
        self.swap_row(request.id, "dead")
        self.swap_final(request.id, status="dead")
        self.finds("given up")

    def test_nothing_is_accepted_for_long(self) -> None:
        for number in range(20, 55):
            self.evidence.requests[number].result = "refused"
            self.evidence.requests[number].id = None
            self.run_.drop_arrivals(self.evidence.requests[number])
            self.evidence.rows.pop(forge.id_of(number))
        refused = {forge.id_of(number) for number in range(20, 55)}
        self.evidence.held = [it for it in self.evidence.held if it.id not in refused]
        self.evidence.answers = [it for it in self.evidence.answers if it.id not in refused]
        self.finds("unavailable")

    def test_nothing_comes_for_long_after_a_fault(self) -> None:
        self.evidence.rules.back = 3.0
        self.run_.fault(self.evidence.requests[30].sent_at + 0.5, self.evidence.requests[30].sent_at + 0.6)
        self.finds()
        self.evidence.rules.back = 0.1
        self.finds("unavailable")
        # A machine that is ten times slower has three times as long, and no more.
        self.evidence.machine.append(Moment(cores=2, load=20.0, waiting=1.0, slowdown=10.0))
        self.finds("unavailable")
        self.evidence.rules.back = 1.0
        self.finds()

    def test_a_callback_is_refused_with_no_fault_near(self) -> None:
        request = self.run_.request()
        self.run_.refuse(request)
        self.finds("unavailable")
        self.run_.fault(request.sent_at - 15, request.sent_at - 10)
        self.finds()

    def test_evidence_of_nothing(self) -> None:
        self.run_ = forge.Forged(0)
        self.finds("unavailable")

    def test_what_the_runner_noticed(self) -> None:
        self.evidence.noticed.append(("stopped", "dispatcher0 ended with None"))
        self.finds("stopped")


if __name__ == "__main__":
    unittest.main()
