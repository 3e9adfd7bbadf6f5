"""Batches of a run that was stopped or died, and verdicts that are overdue: what can still be found out of them."""

from __future__ import annotations

import logging
from datetime import timedelta

from zsync_pipelines.domain.delivery import Outcome, Receipt
from zsync_pipelines.domain.run import SyncRun
from zsync_pipelines.errors import DestinationError, LeaseHeldError
from zsync_pipelines.service.alerts import tell
from zsync_pipelines.service.bootstrap import Zsync
from zsync_pipelines.service.conclude import commit_verdicts
from zsync_pipelines.service.holding import settling
from zsync_pipelines.service.plan_files import open_part
from zsync_pipelines.service.polling import poll_all
from zsync_pipelines.service.refs import PlanRef
from zsync_pipelines.service.sending import Delivery, read_batch
from zsync_pipelines.service.setup import SyncSetup, load_setup
from zsync_pipelines.store.ledger import LedgerEntry

_log = logging.getLogger("zsync")
_NO_ANSWER = "no answer before the run ended"


def settle_unanswered(delivery: Delivery) -> None:
    """Ask the destination about batches without an answer; what it cannot tell is unconfirmed. Of batches that an
    asynchronous destination took, only a verdict is asked for: without one they stay pending."""
    app, plan, destination = delivery.app, delivery.plan, delivery.destination
    parts = {part.name: part for part in plan.parts}
    entries = [entry for entry in app.ledger.entries(delivery.run_id) if not entry.is_settled]
    if delivery.capabilities.asynchronous:
        taken = [entry for entry in entries if entry.is_pending]
        for _, receipt in poll_all(delivery, taken):
            app.ledger.settle(delivery.run_id, receipt, app.clock())
        entries = [entry for entry in entries if not entry.is_pending]
    for entry in entries:
        part = parts[entry.part]
        with open_part(app.storage, part) as file:
            batch = read_batch(delivery, part, entry, file)
        try:
            found = destination.lookup(batch)
        except DestinationError:
            found = None
        app.ledger.settle(delivery.run_id, found or batch.unconfirmed(_NO_ANSWER), app.clock())


def give_up_unanswered(app: Zsync, run_id: str) -> None:
    """Mark batches without a final answer as unconfirmed, without asking anybody."""
    for entry in app.ledger.entries(run_id):
        if not entry.is_settled:
            app.ledger.settle(run_id, _unconfirmed(entry, _NO_ANSWER), app.clock())


def settle_verdicts(app: Zsync, setup: SyncSetup, holder: SyncRun) -> int:
    """Ask for the verdicts that are outstanding from runs that are over, and credit those runs with them.

    Sends nothing. Returns how many batches were judged. A destination that cannot be asked now is asked again later.
    """
    judged = 0
    for run in app.runs.awaiting(setup.sync.id):
        stored = app.runs.plan(run.id)
        assert stored is not None  # noqa: S101  # a run without a plan sends nothing
        plan = PlanRef.from_json(stored)
        receipts = _verdicts(app, setup, run, plan)
        if receipts:
            commit_verdicts(app, run, plan, receipts, holder)
            judged += len(receipts)
    return judged


def settle_pending(app: Zsync, sync_id: str) -> int:
    """As `settle_verdicts`, between runs: takes the sync's lease meanwhile. Does nothing while a run is under way.

    Returns how many batches were judged.
    """
    waiting = app.runs.awaiting(sync_id)
    if not waiting:
        return 0
    setup = load_setup(app, sync_id)
    try:
        with settling(app, waiting[0], setup.capabilities.timeout_seconds) as holder:
            judged = settle_verdicts(app, setup, holder)
    except LeaseHeldError:
        return 0
    if judged:
        tell(app, waiting[-1])  # what was pending may have been all that kept the sync from being well
    return judged


def _verdicts(app: Zsync, setup: SyncSetup, run: SyncRun, plan: PlanRef) -> dict[int, Receipt]:
    """What is known now of a run's pending batches, by number."""
    waiting = [entry for entry in app.ledger.entries(run.id) if entry.is_pending]
    if plan.fingerprint != setup.fingerprint:
        return {entry.number: _unconfirmed(entry, "the sync went on to another target") for entry in waiting}
    found: dict[int, Receipt] = {}
    destination = setup.connect()
    try:
        delivery = Delivery(app, destination, setup.capabilities, run.sync_id, run.id, plan)
        found.update((entry.number, receipt) for entry, receipt in poll_all(delivery, waiting))
    except DestinationError as error:
        _log.warning("sync %s: no verdict on run %s: %s", run.sync_id, run.id, error)
    finally:
        destination.close()
    hours = setup.capabilities.verdict_hours
    latest = app.clock() - timedelta(hours=hours)
    for entry in waiting:
        if entry.number not in found and entry.sent_at is not None and entry.sent_at < latest:
            found[entry.number] = _unconfirmed(entry, f"no verdict within {hours:g} hours")
    return found


def _unconfirmed(entry: LedgerEntry, reason: str) -> Receipt:
    return Receipt(entry.number, entry.rows - len(entry.skipped), Outcome.UNCONFIRMED, reason)
