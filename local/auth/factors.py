"""Stores second factors: one-time passwords by time (RFC 6238)."""

import base64
import hmac
import re
import secrets
import struct
import time
from uuid import UUID, uuid4

from local.auth.accounts import Connection, Row
from local.auth.errors import AuthError

MAX_FACTORS = 10
CHALLENGE_TTL_S = 300
STEP_S = 30


def add_factor(connection: Connection, user: Row, name: str, aal: str) -> Row:
    """Stores a factor that is not verified yet."""
    _check(user["factors"], name, aal)
    secret = base64.b32encode(secrets.token_bytes(20)).decode()
    row = connection.execute(
        """
        insert into mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)
        values (%s, %s, %s, 'totp', 'unverified', now(), now(), %s) returning *
        """,
        (uuid4(), user["id"], name, secret),
    ).fetchone()
    assert row
    return row


def _check(factors: list[Row], name: str, aal: str) -> None:
    if any(factor["friendly_name"] == name for factor in factors):
        message = f'A factor with the friendly name "{name}" for this user already exists'
        raise AuthError(422, "mfa_factor_name_conflict", message)
    if len(factors) >= MAX_FACTORS:
        message = "Maximum number of verified factors reached, unenroll to continue"
        raise AuthError(422, "too_many_enrolled_mfa_factors", message)
    if aal != "aal2" and any(factor["status"] == "verified" for factor in factors):
        raise AuthError(403, "insufficient_aal", "AAL2 required to enroll a new factor")


def get_factor(connection: Connection, user_id: UUID, factor_id: str) -> Row:
    """Returns a factor of the person."""
    try:
        wanted = UUID(factor_id)
    except ValueError:
        raise AuthError(404, "validation_failed", "factor_id must be an UUID") from None
    row = connection.execute(
        "select * from mfa_factors where id = %s and user_id = %s", (wanted, user_id)
    ).fetchone()
    if row is None:
        raise AuthError(404, "mfa_factor_not_found", "Factor not found")
    return row


def add_challenge(connection: Connection, factor_id: UUID, address: str) -> UUID:
    """Stores a challenge: the next code counts for it."""
    challenge = uuid4()
    connection.execute(
        "insert into mfa_challenges (id, factor_id, created_at, ip_address) values (%s, %s, now(), %s)",
        (challenge, factor_id, address),
    )
    connection.execute(
        "update mfa_factors set last_challenged_at = clock_timestamp() where id = %s", (factor_id,)
    )
    return challenge


def check_code(connection: Connection, factor: Row, challenge_id: UUID | None, code: str) -> None:
    """Refuses a wrong code and a challenge that is unknown, used or too old."""
    challenge = connection.execute(
        "select *, created_at < now() - make_interval(secs => %s) as has_expired"
        " from mfa_challenges where id = %s and factor_id = %s",
        (CHALLENGE_TTL_S, challenge_id, factor["id"]),
    ).fetchone()
    if challenge is None:
        message = "MFA factor with the provided challenge ID not found"
        raise AuthError(422, "mfa_factor_not_found", message)
    if challenge["verified_at"]:
        raise AuthError(422, "mfa_ip_address_mismatch", "Challenge and verify IP addresses mismatch.")
    if challenge["has_expired"]:
        message = f"MFA challenge {challenge_id} has expired, verify against another challenge or create a new challenge."
        raise AuthError(422, "mfa_challenge_expired", message)
    now = time.time()
    if code not in [totp(factor["secret"], now + shift) for shift in (-STEP_S, 0, STEP_S)]:
        raise AuthError(422, "mfa_verification_failed", "Invalid TOTP code entered")
    connection.execute("update mfa_challenges set verified_at = now() where id = %s", (challenge_id,))


def verify_factor(connection: Connection, factor: Row) -> None:
    """Marks a factor as verified and removes the person's others that are not."""
    connection.execute(
        "update mfa_factors set status = 'verified', updated_at = now() where id = %s", (factor["id"],)
    )
    connection.execute(
        "delete from mfa_factors where user_id = %s and status = 'unverified'", (factor["user_id"],)
    )


def delete_factor(connection: Connection, factor_id: UUID) -> None:
    """Removes a factor."""
    connection.execute("delete from mfa_factors where id = %s", (factor_id,))


def totp(secret: str, at: float) -> str:
    """Computes the code of a secret at a moment."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, struct.pack(">Q", int(at // STEP_S)), "sha1")
    offset = digest[-1] & 0xF
    return f"{(int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF) % 1_000_000:06}"


def qr_code(uri: str) -> str:
    """Draws the address of a secret as text: the fake has no encoder of QR codes."""
    shown = re.sub(r"[<>&]", "", uri)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="600" height="40"><text y="20">{shown}</text></svg>'
    )
