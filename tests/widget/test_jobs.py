"""The worker: order, cancelling, superseding, failing, ending."""

import contextvars
import threading
import time

from torch import nn

from convlens.errors import Cancelled
from convlens.widget.jobs import Job, Worker, model_lock
from convlens.widget.protocol import KINDS, Kind, Request


class Log:
    """Jobs that wait for a gate at each step, and what came of them."""

    def __init__(self):
        self.events = []
        self.changed = threading.Condition()

    def add(self, event):
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait_for(self, event):
        with self.changed:
            assert self.changed.wait_for(lambda: event in self.events, timeout=10), self.events

    def job(self, id, kind="quality", steps=(), client="v"):
        def run():
            for step in steps:
                step()
                yield
            self.add(("done", id))

        return Job(
            Request(id, client, kind, {}),
            run(),
            cancelled=lambda: self.add(("cancelled", id)),
            failed=lambda error: self.add(("failed", id, str(error))),
        )


def started_and_held(log, worker, id="long", kind="quality"):
    """Submit a job that is in its first step until the returned event is set."""
    begun, gate = threading.Event(), threading.Event()

    def hold():
        begun.set()
        assert gate.wait(10)

    worker.submit(log.job(id, kind, [hold, lambda: None]))
    assert begun.wait(10)
    return gate


def test_click_is_answered_in_the_middle_of_a_long_job():
    log, worker = Log(), Worker("t", lambda: None)
    gate = started_and_held(log, worker)
    worker.submit(log.job("click", "filters"))
    gate.set()
    log.wait_for(("done", "long"))
    assert log.events == [("done", "click"), ("done", "long")]
    worker.close()


def test_equals_share_the_time_and_the_background_waits(monkeypatch):
    monkeypatch.setitem(KINDS, "filters", Kind(background=True, urgent=False))
    log, worker = Log(), Worker("t", lambda: None)
    gate = started_and_held(log, worker)

    def steps(name):
        def step():
            time.sleep(0.002)
            log.add(name)

        return [step] * 6

    worker.submit(log.job("b", "filters", steps("background")))
    worker.submit(log.job("q", "cluster", steps("one")))
    worker.submit(log.job("s", "similarity", steps("other")))
    gate.set()
    log.wait_for(("done", "b"))
    order = [event for event in log.events if isinstance(event, str)]
    assert order[-6:] == ["background"] * 6
    # neither is through before the other has begun
    assert order.index("other") < len(order) - 1 - order[::-1].index("one")
    worker.close()


def test_newer_request_of_the_same_kind_stops_the_older():
    log, worker = Log(), Worker("t", lambda: None)
    gate = started_and_held(log, worker)
    worker.submit(log.job("newer"))
    gate.set()
    log.wait_for(("done", "newer"))
    assert ("cancelled", "long") in log.events
    assert ("done", "long") not in log.events
    worker.close()


def test_other_views_and_kinds_do_not_stop_each_other():
    log, worker = Log(), Worker("t", lambda: None)
    gate = started_and_held(log, worker)
    worker.submit(log.job("other view", client="w"))
    worker.submit(log.job("other kind", "cluster"))
    gate.set()
    for name in ("long", "other view", "other kind"):
        log.wait_for(("done", name))
    worker.close()


def test_cancel_ends_a_job_at_its_next_step():
    log, worker = Log(), Worker("t", lambda: None)
    gate = started_and_held(log, worker)
    assert worker.cancel("v", "long")
    gate.set()
    log.wait_for(("cancelled", "long"))
    assert ("done", "long") not in log.events
    assert not worker.cancel("v", "long")
    assert not worker.cancel("v", "never")
    worker.close()


def test_failure_is_told_and_the_worker_goes_on():
    log, worker = Log(), Worker("t", lambda: None)

    def fail():
        raise ValueError("no")

    worker.submit(log.job("bad", steps=[fail]))
    log.wait_for(("failed", "bad", "no"))
    worker.submit(log.job("good"))
    log.wait_for(("done", "good"))
    worker.close()


def test_job_that_gives_itself_up_is_told_as_cancelled():
    log, worker = Log(), Worker("t", lambda: None)

    def give_up():
        raise Cancelled("other weights")

    worker.submit(log.job("old", steps=[give_up]))
    log.wait_for(("cancelled", "old"))
    worker.submit(log.job("good"))
    log.wait_for(("done", "good"))
    assert len(log.events) == 2
    worker.close()


def test_failure_to_tell_does_not_end_the_worker():
    log, worker = Log(), Worker("t", lambda: None)
    bad = log.job("bad", steps=[lambda: 1 / 0])

    def gone(error):
        log.add("tried")
        raise RuntimeError("comm is closed")

    bad.failed = gone
    worker.submit(bad)
    log.wait_for("tried")
    worker.submit(log.job("good"))
    log.wait_for(("done", "good"))
    worker.close()


def test_job_runs_in_the_context_it_was_made_in():
    log, worker = Log(), Worker("t", lambda: None)
    parent = contextvars.ContextVar("parent", default="none")
    parent.set("first")
    worker.submit(log.job("1", "filters", [lambda: log.add(parent.get())]))
    log.wait_for(("done", "1"))
    parent.set("second")
    worker.submit(log.job("2", "filters", [lambda: log.add(parent.get())]))
    log.wait_for(("done", "2"))
    assert [e for e in log.events if isinstance(e, str)] == ["first", "second"]
    worker.close()


def test_idle_is_called_when_there_is_nothing_to_do():
    called = threading.Event()
    log, worker = Log(), Worker("t", called.set, period=0.01)
    worker.submit(log.job("1"))
    assert called.wait(10)
    worker.close()


def test_close_stops_what_runs_and_ends_the_thread():
    log, worker = Log(), Worker("closing", lambda: None)
    gate = started_and_held(log, worker)
    closer = threading.Thread(target=worker.close)
    closer.start()
    gate.set()
    closer.join(10)
    assert ("cancelled", "long") in log.events
    assert "closing" not in {t.name for t in threading.enumerate()}
    worker.submit(log.job("late"))
    assert "closing" not in {t.name for t in threading.enumerate()}


def test_blocking_worker_has_answered_when_submit_returns():
    log = Log()
    worker = Worker("t", lambda: log.add("idle"), blocking=True)
    worker.submit(log.job("1", steps=[lambda: None]))
    assert log.events == [("done", "1"), "idle"]


def test_two_lenses_on_a_model_share_its_lock():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    assert model_lock(model) is model_lock(model)
    assert model_lock(model) is not model_lock(other)
