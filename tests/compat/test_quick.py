"""The released projects that are quick enough for every landing: those with pinned requirements."""

import pytest
from sage_migrate.scratch_server import ScratchServer

from tests.compat.comparison import SERVER_SETTINGS, compare
from tests.compat.environment import Project, provide, read_projects

QUICK = [project for project in read_projects().values() if project.lock.exists()]


@pytest.mark.parametrize("project", QUICK, ids=lambda project: project.name)
def test_the_result_is_bare_alembics(project: Project) -> None:
    """Bare Alembic and the gate end in the same schema, with one commit a revision."""
    environment = provide(project)
    with ScratchServer(settings=SERVER_SETTINGS) as server:
        result = compare(project, environment, server)
    assert not result.problems, "\n".join(result.problems)
    assert result.revisions
