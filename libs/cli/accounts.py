"""First user and demo project, as `scandock setup` makes them."""

from argon2 import PasswordHasher
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.access import Role
from libs.common.database import transaction
from libs.common.schema import memberships, projects, users


async def ensure_admin(engine: AsyncEngine, login: str, password: str) -> None:
    """Make the first administrator, or give him this password."""
    digest = PasswordHasher().hash(password)
    statement = insert(users).values(
        login=login, password_hash=digest, admin=True, first_name="Site", last_name="Admin"
    )
    async with transaction(engine) as connection:
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=["login"], set_={"password_hash": digest, "admin": True, "enabled": True}
            )
        )


async def ensure_project(engine: AsyncEngine, project: str, owner: str) -> None:
    """Make a project that `owner` owns, unless there is one."""
    async with transaction(engine) as connection:
        await connection.execute(
            insert(projects).values(id=project, name=project, created_by=owner).on_conflict_do_nothing()
        )
        if owner:
            await connection.execute(
                insert(memberships).values(project=project, login=owner, role=Role.OWNER.value).on_conflict_do_nothing()
            )
