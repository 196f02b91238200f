"""Domain names in the letters of any script, in the ASCII form that DNS and mail servers read."""

import re

# Underscores are in no host name, but in names that mail goes to all the same.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
ASCII_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
MAX_LENGTH = 253


def ascii_domain(domain: str) -> str:
    """Encodes by IDNA 2008 after UTS 46, non-transitional; raises ValueError for what is no domain.

    Python's own codec knows IDNA 2003 only, which takes ß for ss: another domain, with another owner.
    """
    if not domain.isascii():
        # Cold starts do not pay for it, and few addresses need it.
        import idna

        domain = idna.encode(domain, uts46=True).decode()
    if len(domain) > MAX_LENGTH or not ASCII_DOMAIN.fullmatch(domain):
        raise ValueError("not a domain")
    return domain
