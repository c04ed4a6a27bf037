"""`scandock`: what an operator types."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from aio_pika.exceptions import AMQPError
from sqlalchemy.exc import OperationalError

from libs.cli import accounts
from libs.cli.export import Progress, export_session
from libs.cli.people import project_app, user_app
from libs.cli.sessions import session_app
from libs.common.bucket import ensure_bucket
from libs.common.database import open_engine, upgrade
from libs.common.errors import Retryable, ScandockError
from libs.common.settings import Settings
from libs.common.storage import s3_store
from libs.common.topology import Management, apply_policies, declare_topology

app = typer.Typer(help="Scandock: XNAT-compatible image session import.", no_args_is_help=True)
app.add_typer(user_app, name="user")
app.add_typer(project_app, name="project")
app.add_typer(session_app, name="session")
WAIT_SECONDS = 120


@app.callback()
def scandock() -> None:
    """Operate a Scandock site; settings come from the environment."""


@app.command()
def setup() -> None:
    """Make the tables, the broker's topology, the bucket and the first user. Safe to repeat; waits for the servers.

    Reads AMQP_URL, DATABASE_URL, S3_*, AWS_* and, if set, RABBITMQ_MANAGEMENT_URL, SCANDOCK_ADMIN_USER,
    SCANDOCK_ADMIN_PASSWORD and SCANDOCK_DEMO_PROJECT.
    """
    asyncio.run(_setup(Settings()))


async def _setup(settings: Settings) -> None:
    await _until("database", lambda: asyncio.to_thread(upgrade, settings.database_url))
    await _until("broker", lambda: declare_topology(settings.amqp_url))
    if management_url := os.environ.get("RABBITMQ_MANAGEMENT_URL"):
        await _until("broker management", lambda: apply_policies(Management.of(management_url, settings.amqp_url)))
    await _until("object store", lambda: ensure_bucket(settings.s3))
    engine = open_engine(settings.database_url, 1)
    admin = os.environ.get("SCANDOCK_ADMIN_USER", "")
    if admin:
        await accounts.ensure_admin(engine, admin, os.environ["SCANDOCK_ADMIN_PASSWORD"])
    if demo := os.environ.get("SCANDOCK_DEMO_PROJECT"):
        await accounts.ensure_project(engine, demo, admin)
    await engine.dispose()
    typer.echo("setup: done")


@app.command()
def export(
    session: Annotated[str, typer.Argument(help="Session ID, or project/label")],
    directory: Annotated[Path, typer.Argument(help="Where to write it; made if there is none")],
) -> None:
    """Write a session as XNAT lays it out on disk: {project}/arc001/{label}/SCANS/…; repeated, it goes on."""
    folder = asyncio.run(_export(Settings(), session, directory))
    typer.echo(f"exported to {folder}")


async def _export(settings: Settings, session: str, directory: Path) -> Path:
    engine = open_engine(settings.database_url, 1)

    def tell(progress: Progress) -> None:
        typer.echo(f"\r{progress.done} of {progress.total} files, {progress.written} written", nl=False, err=True)

    try:
        return await export_session(engine, s3_store(settings.s3), session, directory, tell)
    except ScandockError as error:
        typer.echo(f"\n{error.detail}", err=True)
        raise typer.Exit(1) from error
    finally:
        await engine.dispose()


async def _until(name: str, step: Callable[[], Awaitable[None]]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            await step()
        except (OSError, AMQPError, OperationalError, Retryable) as error:
            if time.monotonic() > deadline:
                typer.echo(f"setup: the {name} cannot be used: {error}", err=True)
                raise typer.Exit(1) from error
            await asyncio.sleep(1)
        else:
            typer.echo(f"setup: {name} ready")
            return


if __name__ == "__main__":
    app()
