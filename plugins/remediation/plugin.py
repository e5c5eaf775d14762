"""`--remedy`: after the judgements, says or does what mends the violations, and judges again what it changed."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from seatrial.fixtures.bundle import Recorder
from seatrial.fixtures.target import connect, target
from seatrial.plugins.gate import GATE
from seatrial.plugins.invariants import Invariant, invariant_of
from seatrial.plugins.judgement import HOLDS, MENDED, NOT_JUDGED, VIOLATED, Judgement, judgement_of
from seatrial.plugins.ledger import heed_sigterm
from seatrial.plugins.remediation import journal as journals
from seatrial.plugins.remediation.change import Failed, Refused
from seatrial.plugins.remediation.confirmation import confirmed, somebody_answers
from seatrial.plugins.remediation.contents import Opened, TornJournal, read
from seatrial.plugins.remediation.declaration import load
from seatrial.plugins.remediation.done import Done
from seatrial.plugins.remediation.engine import Bounds, Mending
from seatrial.plugins.remediation.hand import Hand
from seatrial.plugins.remediation.lease import Lease
from seatrial.plugins.remediation.options import applies, only
from seatrial.plugins.remediation.overlay import FILE as OVERLAY
from seatrial.plugins.remediation.overlay import overlay
from seatrial.plugins.remediation.pause import paused
from seatrial.plugins.remediation.plan import Heard, Planned, planned, told
from seatrial.plugins.remediation.risk import Risk
from seatrial.plugins.waivers import waivers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.question import Question
    from seatrial.fixtures.target import Target
    from seatrial.plugins.remediation.change import Change


class Remediation:
    """Holds violations back until they are mended or cannot be."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._applies = applies(config)
        self._collected: dict[str, pytest.Item] = {}
        self._items: dict[str, pytest.Item] = {}
        self._first: dict[str, Judgement] = {}
        self._probing = False
        self._seen: list[pytest.TestReport] = []
        self._final = False
        self.plans: list[Planned] = []
        self.done = Done()
        self.journal = ""
        self.overlay = ""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Know every claim's test: a change may violate one that held."""
        self._collected = {found.id: item for item in session.items if (found := invariant_of(item))}

    def pytest_seatrial_questions(self, items: list[pytest.Item]) -> list[Question]:
        """Have the reading answer what remedies ask as well: a plan asks nobody anew, and is whole all the same."""
        wanted_ids, remedies, profile = only(self._config), load(), target(self._config).profile
        ids = [found.id for item in items if (found := invariant_of(item)) and found.kind == "conformance"]
        chosen = [remedies[id_] for id_ in ids if id_ in remedies and (not wanted_ids or id_ in wanted_ids)]
        return [question for remedy in chosen for question in remedy.questions(profile)]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Hold a violation back where it may be mended, and flag what was. Outermost: all others see the failure."""
        report: pytest.TestReport = yield
        judgement = judgement_of(report)
        invariant = invariant_of(item)
        if judgement is None or invariant is None or self._probing or invariant.kind != "conformance":
            return report
        if judgement.outcome == VIOLATED and not self._final and report.outcome == "failed":
            self._items[judgement.id] = item
            self._first[judgement.id] = judgement
            if self._applies:
                report.outcome = "rerun"  # type: ignore[assignment]
        elif self._final and judgement.outcome == HOLDS and judgement.id in self._first:
            self._flag(judgement, invariant)
            report.seatrial = judgement.as_dict()  # type: ignore[attr-defined]
        return report

    def _flag(self, judgement: Judgement, invariant: Invariant) -> None:
        """Tell what was mended from what holds by itself, and keep the first failure."""
        first = self._first[judgement.id]
        judgement.first = first.offenders
        changes = self.done.changes.get(judgement.id, [])
        if changes:
            judgement.outcome = MENDED
            judgement.mended = "; ".join(command for change in changes for command in change.typed)
        elif self.done.changes:
            judgement.outcome = MENDED
            causes = [claim for claim in self.done.changes if claim in invariant.explained_by]
            judgement.mended = f"by what mended {', '.join(causes or self.done.changes)}"
        else:
            judgement.settling = "holds again by itself"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Any:
        """When everything is judged, and has settled where that was asked for: plan, or mend and judge again."""
        result = yield
        if session.shouldstop or self._config.getoption("seatrial_capture"):
            return result
        goes_on = self._applies and self._is_unfinished()
        chosen = target(self._config) if self._items or goes_on else None
        if chosen is None:
            return result
        if not self._applies:
            self.plans = list(self._planned(chosen))
        else:
            self._mend(chosen)
            self._judge_finally()
        self._write_overlay(chosen)
        return result

    def _is_unfinished(self) -> bool:
        """Whether the journal given is of a run that was killed: it goes on though nothing is violated any more."""
        given = self._config.getoption("seatrial_journal")
        try:
            return bool(given) and read(Path(given)).unfinished
        except FileNotFoundError:
            return False
        except (OSError, TornJournal):
            return True  # opening it tells

    def _order(self) -> list[str]:
        """Return the violated claims, the most severe first, each cause before what it explains."""
        gate = self._config.stash[GATE]
        return [judgement.id for judgement in [*gate.violated, *gate.warned] if judgement.id in self._items]

    def _planned(self, chosen: Target) -> Iterator[Planned]:
        wanted_ids, remedies = only(self._config), load()
        source = Heard(chosen.source) if isinstance(chosen.source, Recorder) else chosen.source
        for claim in self._order():
            if not wanted_ids or claim in wanted_ids:
                yield planned(self._first[claim], remedies.get(claim), source, chosen.profile, self._wanted)

    def _wanted(self, change: Change) -> bool:
        """Whether nobody has waived what the change would mend."""
        return waivers_of(self._config).covering(change.claim, change.offender) is None

    def _mend(self, chosen: Target) -> None:
        remedies = load()
        bounds = Bounds(
            Risk.of(self._config.getoption("seatrial_remedy")),
            only(self._config),
            self._config.getoption("seatrial_remedy_limit") or chosen.profile.remedies.changes_max,
        )
        hand = self._hand(chosen)
        run = str(self._config.hook.pytest_seatrial_run(config=self._config))
        try:
            with journals.opened(self._path(chosen), Opened(run, chosen.name, hand.server, journals.operator())) as j:
                self.journal = str(j.path)
                with Lease(hand, j.run, chosen.profile.remedies.lease_s) as lease:
                    mending = Mending(
                        chosen.source, chosen.profile, remedies, hand, j, bounds,
                        judge=self._judge, wanted=self._wanted, confirm=partial(confirmed, self._config),
                        held=lease.held, say=self._say,
                    )  # fmt: skip
                    self.done = mending.done
                    mending.mend(self._order())
        except Refused as refused:
            self.done.refused = str(refused)
        except Failed as failed:
            self.done.stopped = str(failed)
        except TornJournal as torn:
            self.done.refused = str(torn)
        finally:
            hand.close()
        self._config.stash[GATE].refused = self.done.refused

    def _hand(self, chosen: Target) -> Hand:
        given = self._config.getoption
        kubeconfig = given("seatrial_kubeconfig") or chosen.cloud.kubeconfig
        client, context = connect(kubeconfig, given("seatrial_context") or chosen.cloud.context)
        limits = chosen.profile.remedies
        return Hand(
            client,
            limits.settle_disruptive_s,
            chosen.profile.settle_poll_s,
            self._say,
            chosen.cloud.openstack,
            kubeconfig,
            context,
        )

    def _path(self, chosen: Target) -> Path:
        return Path(self._config.getoption("seatrial_journal") or (chosen.evidence or Path()) / journals.FILE)

    def _judge(self, claim: str) -> Judgement:
        """Judge a claim from fresh facts, and tell nobody."""
        if claim not in self._collected:
            return Judgement(claim, "", "", NOT_JUDGED)
        item = self._collected[claim]
        self._config.hook.pytest_seatrial_reread(config=self._config, items=[item])
        manager = self._config.pluginmanager
        listener = manager.get_plugin("allure_listener")
        quietly = manager.subset_hook_caller("pytest_runtest_protocol", [listener] if listener else [])
        self._probing, self._seen = True, []
        try:
            quietly(item=item, nextitem=None)
        finally:
            self._probing = False
        judged = next(found for report in self._seen if (found := judgement_of(report)))
        if judged.outcome == VIOLATED:  # one that held before a change is told in the end, too
            self._items.setdefault(claim, item)
            self._first.setdefault(claim, judged)
        return judged

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a test that is only probed in the place of pytest, which would report it."""
        if not self._probing:
            return None
        self._seen = runtestprotocol(item, nextitem=nextitem, log=False)
        return True

    def _judge_finally(self) -> None:
        """Judge what was held back once more, for the report."""
        self._final = True
        items = list(self._items.values())
        if self.done.changes:
            self._config.hook.pytest_seatrial_reread(config=self._config, items=items)
        for item in items:
            self._config.hook.pytest_runtest_protocol(item=item, nextitem=None)

    def _write_overlay(self, chosen: Target) -> None:
        changes = self.done.all if self._applies else [change for plan in self.plans for change in plan.changes]
        text = overlay(changes)
        given = self._config.getoption("seatrial_overlay")
        path = Path(given) if given else (chosen.evidence / OVERLAY if chosen.evidence else None)
        if not text or path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            self._config.stash[GATE].trouble = f"{path}: {error.strerror}: the values were not written there"
            return
        self.overlay = str(path)

    def _say(self, text: str) -> None:
        self._config.hook.pytest_seatrial_announce(config=self._config, line=f"mending: {text}", passing=False)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell the plan, or what was done."""
        if self.plans:
            terminalreporter.section("the remedies")
            for line in told(self.plans):
                terminalreporter.write_line(line)
        if self._applies and (self._items or self.done != Done()):
            terminalreporter.section("mending")
            for line in self.done.told(self.journal):
                terminalreporter.write_line(line)
        if self.overlay:
            terminalreporter.write_line(f"what is changed lasts over the next `helm upgrade` with {self.overlay}")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse what cannot be mended before anything is contacted."""
    if config.getoption("collectonly"):
        return
    asks = config.getoption("seatrial_remedy") == Risk.DISRUPTIVE.word and not config.getoption("seatrial_yes")
    if asks and not somebody_answers(config):
        raise pytest.UsageError("--remedy=disruptive asks before each change: give --yes where nobody can answer")
    try:
        paused(target(config).profile.remedies.pause, datetime.now(UTC))
    except ValueError as error:
        raise pytest.UsageError(f"profile {target(config).profile.name}: remedies.pause: {error}") from error
    known: dict[str, Invariant] = {i.id: i for item in items if (i := invariant_of(item))}
    unknown = sorted(only(config) - set(known))
    if unknown:
        raise pytest.UsageError(f"--remedy-only {unknown[0]}: no invariant of this run has this id")
    if applies(config) and known and not isinstance(target(config).source, Recorder):
        raise pytest.UsageError("a recorded cloud cannot be mended: use --remedy=plan")


def pytest_configure(config: pytest.Config) -> None:
    """Take part, in one process and with somebody who can be asked."""
    if config.getoption("numprocesses", None):
        raise pytest.UsageError("--remedy changes one thing after the other: leave out -n")
    limit = config.getoption("seatrial_remedy_limit")
    if limit is not None and limit < 1:
        raise pytest.UsageError(f"--remedy-limit {limit}: expected a number of changes")
    if applies(config):
        heed_sigterm()  # the Lease is given back, the journal says how far the run came
    config.pluginmanager.register(Remediation(config), "seatrial-remediation")
