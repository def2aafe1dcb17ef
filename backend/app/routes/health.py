"""Probes: whether the process is alive, and whether it may get requests."""

from fastapi import APIRouter, Request, Response, status

from app.database import DATABASE_ERRORS, is_outage
from app.schemas import Health

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """Tell that the process is alive. The database is left out: restarting pods does not heal it."""
    return Health(status="ok")


@router.get(
    "/readyz",
    responses={status.HTTP_503_SERVICE_UNAVAILABLE: {"model": Health, "description": "Not ready"}},
)
async def readyz(request: Request, response: Response) -> Health:
    """Tell whether this process may get requests.

    It may once the schema was seen at the revision that this code needs, or known ahead of it, and until
    SIGTERM. What was seen once stays: an outage of the database must not take all pods out of service.
    """
    state = request.app.state
    reason: str | None = None
    if state.draining:
        reason = "The process is shutting down"
    elif not state.schema_ready:
        try:
            async with state.engine.connect() as connection:
                schema = await state.readiness.check(connection)
            state.schema_ready = schema.ready
            reason = None if schema.ready else schema.reason
        except DATABASE_ERRORS as error:
            if not is_outage(error):
                raise
            reason = "The database is unavailable"
    if reason is None:
        return Health(status="ready")
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Health(status="unready", reason=reason)
