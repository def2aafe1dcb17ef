"""Statements on organizations."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Organization


class OrganizationRepo:
    """Organizations of one session; the caller owns the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        """Bind the repository to ``session``."""
        self._session = session

    async def get(self, org_id: UUID) -> Organization | None:
        """Return the organization, if there is one."""
        return await self._session.get(Organization, org_id)

    async def create(self, name: str) -> Organization:
        """Add an organization."""
        organization = Organization(name=name)
        self._session.add(organization)
        await self._session.flush()
        return organization
