"""A plain Job in place of the hook, applied by kubectl: readiness is the gate."""

from tests.e2e.load import no_failed_request
from tests.e2e.release import NAME, Manifest, Release, is_ready
from tests.e2e.services import BASE, HERE, SAMPLE
from tests.e2e.waiting import until

JOB_MODE = ("--set", "migration.mode=job")


def apply(release: Release, tag: str, *settings: str) -> None:
    """Render the release with an image, and apply what comes out."""
    values = ("--values", str(HERE / "values.yaml"), "--set", f"image.tag={tag}", *JOB_MODE, *settings)
    template = ("template", NAME, str(release.chart), "--namespace", release.namespace, "--skip-tests", *values)
    manifests = release.cluster.run(release.helm, *template).stdout
    release.kubectl("apply", "--filename=-", stdin=manifests)


def jobs(release: Release) -> dict[str, Manifest]:
    """Return the migration's Jobs by name."""
    found = release.get("jobs", "--selector", "app.kubernetes.io/component=migration")
    return {job["metadata"]["name"]: job for job in found}


def test_plain_job_gates_by_readiness(release: Release) -> None:
    """New pods serve when their schema is there; a failed migration leaves the old ones; the online run is a Job beside it."""
    apply(release, BASE)
    release.settle()
    first = set(jobs(release))
    assert len(first) == 1
    apply(release, BASE)
    assert set(jobs(release)) == first, "the same content is the same Job"

    before = {pod["metadata"]["uid"] for pod in release.pods()}
    with no_failed_request(release):
        apply(release, "mistake")

        def failed() -> list[str]:
            return [name for name, job in jobs(release).items() if job["status"].get("failed")]

        (name,) = until(failed, "the Job of the mistake has failed")
        assert "a11ce0000002" in release.kubectl("logs", f"job/{name}")
        serving = {pod["metadata"]["uid"] for pod in release.pods() if is_ready(pod)}
        assert before <= serving, f"the pods of before serve on, of {SAMPLE.fullname}"

        apply(release, "archive", "--set", "migration.online.enabled=true")
        release.settle()
        (online,) = (name for name in jobs(release) if "-online-" in name)
        release.kubectl("wait", f"job/{online}", "--for=condition=complete", "--timeout=60s")
    assert release.images() == {"archive"}
