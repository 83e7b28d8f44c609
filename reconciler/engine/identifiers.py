"""The ids that the platform hands out, in their real shapes: a client that parses one finds what it would find there.

Shapes from Fly's API: machine ids are 14 hexadecimal digits, versions and events are ULIDs, lease nonces 12 hexadecimal
digits, volumes `vol_` and 16 letters or digits, request ids a ULID and a region, addresses of the private network start
with `fdaa:`.
"""

import secrets

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ADJECTIVES = ("bold", "calm", "dark", "icy", "late", "long", "misty", "quiet", "red", "shy", "still", "wild")
NOUNS = ("bird", "brook", "dawn", "field", "fire", "glade", "leaf", "moon", "pine", "river", "sun", "wave")


def machine_id() -> str:
    return secrets.token_hex(7)


def volume_id() -> str:
    return "vol_" + "".join(secrets.choice(CROCKFORD).lower() for _ in range(16))


def nonce() -> str:
    return secrets.token_hex(6)


def ulid(now_ns: int) -> str:
    """26 characters that sort by time to the millisecond."""
    number = (now_ns // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def request_id(now_ns: int, region: str) -> str:
    return f"{ulid(now_ns)}-{region}"


def machine_name() -> str:
    """`calm-river-4821`, as the platform names a machine whose creator did not."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}-{secrets.randbelow(9000) + 1000}"


def private_ip() -> str:
    words = (secrets.token_hex(2) for _ in range(4))
    return f"fdaa:0:{':'.join(words)}:0:2"


def flycast_ip() -> str:
    return f"fdaa:0:{secrets.token_hex(2)}:0:1::{secrets.randbelow(0xFFFE) + 1:x}"
