"""Organizations over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, status

from app.database import Session
from app.models import Organization
from app.repositories.organizations import OrganizationRepo
from app.schemas import ErrorDetail, OrganizationCreate, OrganizationRead

router = APIRouter(prefix="/organizations", tags=["organizations"])


def organization_repo(session: Session) -> OrganizationRepo:
    """Give a request its repository."""
    return OrganizationRepo(session)


Organizations = Annotated[OrganizationRepo, Depends(organization_repo)]


async def existing_organization(org_id: UUID, organizations: Organizations) -> Organization:
    """Return the organization of the path, or answer 404."""
    organization = await organizations.get(org_id)
    if organization is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such organization")
    return organization


ExistingOrganization = Annotated[Organization, Depends(existing_organization)]


@router.post("", status_code=status.HTTP_201_CREATED, response_model=OrganizationRead)
async def create_organization(body: OrganizationCreate, organizations: Organizations) -> Organization:
    """Create an organization."""
    return await organizations.create(body.name)


@router.get(
    "/{org_id}",  # noqa: FAST003 - the dependency takes it
    response_model=OrganizationRead,
    responses={status.HTTP_404_NOT_FOUND: {"model": ErrorDetail, "description": "No such organization"}},
)
async def get_organization(organization: ExistingOrganization) -> Organization:
    """Return an organization."""
    return organization
