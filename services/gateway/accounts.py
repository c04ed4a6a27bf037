"""Users, their passwords and their logins."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.access import Role, User
from libs.common.database import transaction
from libs.common.schema import logins, memberships, users

VERIFIED = 10_000
"""Passwords whose verification is remembered; the oldest goes first."""
CHECKS_AT_ONCE = 4
"""argon2 takes 64 MiB and a core for each."""
REUSE_SECONDS = 60
"""Requests with Basic and no cookie share one login for so long, so that a script of them doesn't fill the table."""


@dataclass(frozen=True, slots=True)
class _Stored:
    user: User
    password_hash: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class _Verified:
    """`password_hash` as it was: a changed password makes this worthless at once."""

    password_hash: str
    token: str = ""
    token_at: float = 0.0


class Accounts:
    """Who is asking. Remembers verified passwords by a keyed digest of them, never the passwords."""

    def __init__(self, engine: AsyncEngine, login_minutes: int) -> None:
        self._engine = engine
        self.timeout = timedelta(minutes=login_minutes)
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._hasher = PasswordHasher()
        self._decoy = self._hasher.hash(secrets.token_hex())
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def by_password(self, login: str, password: str) -> User | None:
        """The user, if the password is right. An unknown or disabled one costs as much as a wrong password."""
        if "\0" in login:
            return None
        stored = await self._load(login)
        digest = self._digest(login, password)
        known = self._verified.get(digest)
        if stored and stored.enabled and known and hmac.compare_digest(known.password_hash, stored.password_hash):
            self._verified.move_to_end(digest)
            return stored.user
        async with self._checks:
            is_right = await asyncio.to_thread(self._verify, stored.password_hash if stored else self._decoy, password)
        if not (stored and stored.enabled and is_right):
            return None
        self._verified[digest] = _Verified(stored.password_hash)
        if len(self._verified) > VERIFIED:
            self._verified.popitem(last=False)
        return stored.user

    async def by_token(self, token: str) -> User | None:
        """The user of a login that has not expired; using it puts its end off."""
        columns = logins.c
        query = sa.select(columns.login, columns.expires_at - sa.func.now() < self.timeout * 0.9).where(
            columns.token_sha256 == _sha256(token), columns.expires_at > sa.func.now()
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        if row[1]:
            await self.keep(token)
        stored = await self._load(row.login)
        return stored.user if stored and stored.enabled else None

    async def keep(self, token: str) -> None:
        """Put the end of a login off: it is in use."""
        async with transaction(self._engine) as connection:
            await connection.execute(
                sa.update(logins)
                .where(logins.c.token_sha256 == _sha256(token))
                .values(expires_at=sa.func.now() + self.timeout)
            )

    async def open(self, login: str) -> str:
        """A new login; only the digest of its token is stored, so it works on every replica."""
        token = secrets.token_hex(16).upper()
        async with transaction(self._engine) as connection:
            await connection.execute(
                sa.insert(logins).values(
                    token_sha256=_sha256(token), login=login, expires_at=sa.func.now() + self.timeout
                )
            )
        return token

    async def open_shared(self, login: str, password: str) -> str:
        """The login that goes with Basic credentials that came without a cookie."""
        digest = self._digest(login, password)
        known = self._verified.get(digest)
        if known and known.token and time.monotonic() - known.token_at < REUSE_SECONDS:
            return known.token
        token = await self.open(login)
        if known:
            self._verified[digest] = _Verified(known.password_hash, token, time.monotonic())
        return token

    async def close(self, token: str) -> None:
        """End a login. Safe to repeat."""
        self._verified = OrderedDict(
            (digest, known if known.token != token else _Verified(known.password_hash))
            for digest, known in self._verified.items()
        )
        async with transaction(self._engine) as connection:
            await connection.execute(sa.delete(logins).where(logins.c.token_sha256 == _sha256(token)))

    async def _load(self, login: str) -> _Stored | None:
        roles = (
            sa.select(sa.func.jsonb_object_agg(memberships.c.project, memberships.c.role))
            .where(memberships.c.login == users.c.login)
            .scalar_subquery()
        )
        query = sa.select(users.c.password_hash, users.c.enabled, users.c.admin, roles.label("roles")).where(
            users.c.login == login
        )
        async with transaction(self._engine) as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        user = User(login, row.admin, {project: Role(role) for project, role in (row.roles or {}).items()})
        return _Stored(user, row.password_hash, row.enabled)

    def _digest(self, login: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{login}\0{password}".encode(), "sha256")

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
