"""Which kind a target is and what is wrong with it: found when it is applied, without sending or showing it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from zsync_pipelines.domain.alerts import Alert
from zsync_pipelines.domain.config import Sync
from zsync_pipelines.domain.run import RunOptions, RunStatus, SyncRun, Trigger
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service import alert_targets as alert_targets_module
from zsync_pipelines.service.alert_targets import alert_targets, fault, kind_of_target
from zsync_pipelines.service.apply import apply_paths
from zsync_pipelines.service.bootstrap import open_zsync
from zsync_pipelines_tests.config.examples import example, write
from zsync_pipelines_tests.support.world import START

SLACK = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
INVOKE = "/workflows/W1/triggers/manual/paths/invoke?api-version=1&sp=x&sv=1.0&sig=s"
WORKFLOW = f"https://prod-1.westeurope.logic.azure.com:443{INVOKE}"
PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
SECRET = "s3cr3t-planted"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("https://example.org/hook", "webhook"),
        ("http://user:pass@example.org:8080/hook?token=x", "webhook"),
        ("https://${HOST}/hook", "webhook"),
        ("https://notslack.com/hooks.slack.com", "webhook"),
        (f"https://hooks.slack.com/services/{SLACK}", "slack"),
        ("https://hooks.slack.com/services/${TOKENS}", "slack"),
        (WORKFLOW, "workflows"),
        (f"https://x.01.environment.api.powerplatform.com:443/powerautomate/automations/direct{INVOKE}", "workflows"),
        ("https://chat.googleapis.com/v1/spaces/S/messages?key=k&token=t", "gchat"),
        ("https://discord.com/api/webhooks/123456789012345678/abc-DEF_ghi", "discord"),
        (f"slack://{SLACK}/#alerts", "slack"),
        ("mailtos://user:${PASSWORD}@smtp.example.org?to=ops@example.org", "mailtos"),
        ("${HOOK}", "unknown"),
        ("${HOOK:-https://example.org/hook}", "unknown"),
        ("${SCHEME}://example.org", "unknown"),
    ],
)
def test_kinds(target, kind):
    assert kind_of_target(target) == kind
    assert fault(target) is None


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("ops@example.org", "is no URL; write https://..."),
        ("mailto:ops@example.org", "a mail target needs its server: mailtos://"),
        ("https://", "is no complete address"),
        ("https:///hook", "is no complete address"),
        (f"https://example.org:{SECRET}/", "is no complete address"),
        (f"slak://{SECRET}", "has an unknown scheme, did you mean 'slack'?"),
        ("htps://example.org/${TOKEN}", "has an unknown scheme, did you mean 'https'?"),
        (f"{SECRET}://x", "has an unknown scheme; some that are known: discord, "),
        (f"slack://{SECRET}", "is no complete 'slack' address"),
        (f"https://hooks.slack.com/services/{SECRET}", "is no complete"),
        ("pagerduty://", "is no complete 'pagerduty' address"),
        ("mqtt://broker.example.org/topic", "'mqtt' needs a library that is not installed"),
        ("mqtt://${BROKER}/topic", "'mqtt' needs a library that is not installed"),
        ("", "is no URL"),
    ],
)
def test_faults(target, says):
    found = fault(target)
    assert found is not None
    assert says in found
    assert SECRET not in found


@pytest.fixture
def app(tmp_path):
    return open_zsync({"ZSYNC_HOME": str(tmp_path / "home")})


def applied(app, tmp_path, *targets):
    document = example(syncs__vip__alerts=list(targets))
    return apply_paths(app, [write(tmp_path / "a.yaml", document)], offline=True)


def test_faults_are_reported_at_their_key_path_with_the_others_of_the_file(app, tmp_path, caplog):
    targets = ("https://example.org", f"slak://{SECRET}", "https://x/${TOKEN", "${HOOK}", f"slack://{SECRET}")
    with caplog.at_level("DEBUG"), pytest.raises(ConfigError) as caught:
        applied(app, tmp_path, *targets)
    assert [problem.path for problem in caught.value.problems] == ["syncs.vip.alerts.2"]
    assert "begins a reference that does not end well" in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        applied(app, tmp_path, *targets[:2], *targets[3:])
    assert [problem.path for problem in caught.value.problems] == ["syncs.vip.alerts.1", "syncs.vip.alerts.3"]
    assert {problem.file for problem in caught.value.problems} == {str(tmp_path / "a.yaml")}
    assert SECRET not in str(caught.value) + caplog.text


def test_what_is_understood_is_stored_as_written_and_shown_nowhere(app, tmp_path):
    report = applied(app, tmp_path, "https://example.org/${TOKEN}", f"https://example.org/{SECRET}")
    assert report.notes == ()
    sync = app.catalog.load().catalog.syncs["vip"]
    assert sync.alerts == ("https://example.org/${TOKEN}", f"https://example.org/{SECRET}")
    assert SECRET not in repr(sync) + repr(alert_targets(sync))


def test_apprise_is_imported_only_for_its_own_targets():
    code = """
import sys
import zsync_pipelines.cli.main, zsync_pipelines.service.run_sync, zsync_pipelines.service.alert_checks
from zsync_pipelines.service.alert_targets import fault
assert fault("https://example.org/hook") is None and fault("${HOOK}") is None
assert "apprise" not in sys.modules
assert fault("json://example.org") is None
assert "apprise" in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_apprise_its_targets_are_faults_that_name_the_extra(app, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError) as caught:
        applied(app, tmp_path, "https://example.org", "slack://${TOKENS}")
    assert [(p.path, p.message) for p in caught.value.problems] == [
        ("syncs.vip.alerts.1", "needs apprise, which is not installed: pip install 'zsync-pipelines[alerts]'")
    ]


def test_a_fingerprint_knows_a_target_wherever_it_stands_and_not_by_its_text():
    values = {"id": "s", "audience": "a", "destination": "d", "sync_mode": "mirror"}
    first = alert_targets(Sync.model_validate({**values, "alerts": ["https://a", "https://b", "https://a"]}))
    second = alert_targets(Sync.model_validate({**values, "alerts": ["https://b", "https://a"]}))
    assert [t.place for t in first] == [0, 1], "one that is named twice is one"
    assert {t.written: t.fingerprint for t in first} == {t.written: t.fingerprint for t in second}
    assert all(len(t.fingerprint) == 64 and "https" not in t.fingerprint for t in first)


def test_the_page_shows_targets_that_are_understood_and_names_every_service_host():
    ((block,), hosts) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL), alert_targets_module._SERVICES
    (sync,) = yaml.safe_load(block)["syncs"].values()
    assert [kind_of_target(target) for target in sync["alerts"]] == ["webhook", "mailtos", "slack"]
    assert [fault(target) for target in sync["alerts"]] == [None] * 3
    assert all(f"`{host}`" in PAGE or f"`*.{host}`" in PAGE for host in hosts)


def test_the_page_shows_the_body_as_it_is():
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shown = json.loads(block)
    run = SyncRun("r", "s", RunStatus.ERROR, Trigger.MANUAL, RunOptions(), None, START)
    body = Alert.of("a", None, run, None, START).to_json()
    assert list(shown) == list(body)
    assert shown["run"].keys() <= body["run"].keys()
    assert all(re.search(rf"^\| [^|]*`{key}`", PAGE, re.MULTILINE) for key in body)
