"""The application: ``uvicorn app.main:app``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sage_migrate.readiness import SchemaReadiness
from sqlalchemy.ext.asyncio import async_sessionmaker

from app.database import create_engine
from app.drain import CloseConnectionsWhileDraining, drain_before_exit
from app.errors import answer_invalid_request
from app.routes import conversations, health, organizations
from app.settings import Settings

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the pool for as long as the process serves; the schema is migrated elsewhere, before it starts."""
    settings = Settings()
    engine = create_engine(settings)
    app.state.engine = engine
    # Not expired on commit: a model stays readable after it, where a lazy load would need a new transaction.
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    app.state.readiness = SchemaReadiness.from_script_location(str(_MIGRATIONS))
    app.state.schema_ready = False
    try:
        with drain_before_exit(app, seconds=settings.drain_seconds):
            yield
    finally:
        await engine.dispose()


def _operation_id(route: APIRoute) -> str:
    """Name operations like their functions, which is how generated clients name their methods."""
    return route.name


app = FastAPI(
    title="Conversations",
    summary="Conversations of organizations.",
    description="A service whose schema is migrated by `sage-migrate` before its pods roll.\n\n"
    "Lists are paged by key: give `next_cursor` of one page as `cursor` to get the next. "
    "A 503 means that the database is unavailable; a request that only reads can be repeated.",
    version="1.0.0",
    openapi_tags=[
        {"name": "organizations", "description": "Who owns conversations."},
        {"name": "conversations", "description": "Each is visible through its own organization only."},
        {"name": "health", "description": "For probes."},
    ],
    generate_unique_id_function=_operation_id,
    max_body_size=64 * 1024,
    lifespan=lifespan,
)
app.add_exception_handler(RequestValidationError, answer_invalid_request)
app.add_middleware(CloseConnectionsWhileDraining)
app.include_router(organizations.router)
app.include_router(conversations.router)
app.include_router(health.router)
