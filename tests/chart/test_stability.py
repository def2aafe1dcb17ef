"""The same values give the same manifest: each time, on each Helm, and from one commit to the next."""

import os
import re
from pathlib import Path

import yaml

from tests.chart.helm import APP, MINIMAL, Helm, each_chart, each_values_file

# What asks the cluster, the clock or a die: https://helm.sh/docs/chart_template_guide/function_list/
UNSTABLE = re.compile(
    r"\b(lookup|now|ago|date\w*|htmlDate\w*|rand\w*|uuidv4|shuffle|gen[A-Z]\w+|bcrypt|htpasswd|encryptAES|getHostByName"
    r"|\.Release\.(Revision|IsInstall|IsUpgrade)|\.Capabilities)\b"
)


@each_chart
def test_templates_ask_neither_cluster_nor_clock(chart: Path) -> None:
    """A Job that differs each time cannot be compared by GitOps tools, and `helm template` has no cluster."""
    for template in (chart / "templates").rglob("*.*"):
        actions = re.findall(r"\{\{(?!/\*|- /\*)(.*?)\}\}", template.read_text(), re.DOTALL)
        assert not [action for action in actions if UNSTABLE.search(action)], template


@each_chart
def test_rendered_twice_is_the_same(helm: Helm, chart: Path) -> None:
    """Byte for byte."""
    assert helm.template(chart, MINIMAL[chart]) == helm.template(chart, MINIMAL[chart])


@each_values_file
def test_both_helms_render_the_same(helm3: Helm, helm4: Helm, values: Path) -> None:
    """A team may move from Helm 3 to 4 without a change of its objects."""
    given = yaml.safe_load(values.read_text())
    chart = values.parents[1]
    assert helm3.render(chart, given) == helm4.render(chart, given)


@each_chart
def test_defaults_are_as_recorded(helm4: Helm, chart: Path) -> None:
    """The manifest of the least values; SAGE_UPDATE_SNAPSHOTS=1 records a change, for a reviewer to see."""
    snapshot = Path(__file__).parent / "snapshots" / f"{chart.name}.yaml"
    rendered = helm4.template(chart, MINIMAL[chart])
    if os.environ.get("SAGE_UPDATE_SNAPSHOTS"):
        snapshot.write_text(rendered)
    assert rendered == snapshot.read_text()


def test_notes_name_the_timeout_that_the_deadline_needs(helm4: Helm) -> None:
    """Helm gives up after 300 seconds, whatever the Job may take."""
    assert "--timeout" not in notes(helm4, "migration.deadline=240")
    assert "helm upgrade --timeout 660s" in notes(helm4, "migration.deadline=600")


def test_notes_say_when_nothing_guards_the_schema(helm4: Helm) -> None:
    """The release without the hook is not one like the others."""
    assert "migration.enabled is false: nothing migrated the database" in notes(helm4, "migration.enabled=false")


def test_notes_of_a_plain_job_say_who_waits_for_it(helm4: Helm) -> None:
    """Nothing aborts there: pods are not ready."""
    assert "new pods are not ready" in notes(helm4, "migration.mode=job")
    assert "new pods are not ready" not in notes(helm4, "migration.mode=helm")


def notes(helm4: Helm, value: str) -> str:
    """Return what Helm prints after an install; Helm 3 wants a cluster for that."""
    given = ("--set", "database.existingSecret=db", "--set", value)
    done = helm4.run("install", "orders", APP, "--dry-run=client", *given)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]
