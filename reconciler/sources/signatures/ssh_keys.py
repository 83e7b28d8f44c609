"""Checks signatures of the kinds of keys that OpenSSH makes. Weak ones are refused: DSA, SHA-1, RSA below 2048 bits.

Wire forms: RFC 4253 section 6.6, RFC 5656 (ECDSA), RFC 8332 (RSA with SHA-2), RFC 8709 (Ed25519), and OpenSSH's
PROTOCOL.u2f for keys on a security token, whose signature also covers that a person touched it.
"""

import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from reconciler.sources.signatures.wire import Wire, WireError

SMALLEST_RSA_BITS: Final = 2048
_CURVES: Final[dict[bytes, tuple[ec.EllipticCurve, hashes.HashAlgorithm]]] = {
    b"nistp256": (ec.SECP256R1(), hashes.SHA256()),
    b"nistp384": (ec.SECP384R1(), hashes.SHA384()),
    b"nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
_RSA_HASHES: Final[dict[bytes, hashes.HashAlgorithm]] = {
    b"rsa-sha2-256": hashes.SHA256(),
    b"rsa-sha2-512": hashes.SHA512(),
}
_TOUCHED: Final = 0x01


def check(key: bytes, signature: bytes, message: bytes) -> None:
    """Whether a signature over a message is by that key; both in wire form.

    Raises:
        InvalidSignature: it is not.
        WireError: key or signature are malformed, of a kind that is not supported, or too weak.
    """
    public, signed = Wire(key), Wire(signature)
    kind, algorithm = public.string(), signed.string()
    if kind == b"ssh-rsa":
        _check_rsa(public, algorithm, signed, message)
    elif kind != algorithm:
        raise WireError("the signature is of another kind than the key")
    elif kind == b"ssh-ed25519":
        _ed25519(public).verify(_last(signed), message)
    elif kind == b"sk-ssh-ed25519@openssh.com":
        key_itself = _ed25519(public, ends=False)
        key_itself.verify(signed.string(), _touched(public, signed, message))
    elif kind.startswith(b"ecdsa-sha2-"):
        _check_ecdsa(public, signed, message)
    else:
        raise WireError("keys of this kind are not supported")


def _check_rsa(public: Wire, algorithm: bytes, signed: Wire, message: bytes) -> None:
    algorithm_hash = _RSA_HASHES.get(algorithm)
    if algorithm_hash is None:
        raise WireError("RSA signatures count with SHA-256 or SHA-512 only")
    exponent, modulus = public.integer(), public.integer()
    public.end()
    if modulus.bit_length() < SMALLEST_RSA_BITS:
        raise WireError(f"RSA keys count from {SMALLEST_RSA_BITS} bits on")
    try:
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise WireError("the RSA key is none") from error
    key.verify(_last(signed), message, padding.PKCS1v15(), algorithm_hash)


def _check_ecdsa(public: Wire, signed: Wire, message: bytes) -> None:
    name, point = public.string(), public.string()
    public.end()
    if name not in _CURVES:
        raise WireError("the curve is not known")
    curve, algorithm_hash = _CURVES[name]
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise WireError("the key is no point of its curve") from error
    parts = Wire(_last(signed))
    first, second = parts.integer(), parts.integer()
    parts.end()
    key.verify(encode_dss_signature(first, second), message, ec.ECDSA(algorithm_hash))


def _ed25519(public: Wire, *, ends: bool = True) -> Ed25519PublicKey:
    try:
        key = Ed25519PublicKey.from_public_bytes(public.string())
    except ValueError as error:
        raise WireError("the Ed25519 key is none") from error
    if ends:
        public.end()
    return key


def _touched(public: Wire, signed: Wire, message: bytes) -> bytes:
    """What a security token signs: the purpose of the key, whether somebody touched it, a counter, the message."""
    application = public.string()
    public.end()
    flags, counter = signed.take(1), signed.take(4)
    signed.end()
    if not flags[0] & _TOUCHED:
        raise InvalidSignature("nobody touched the security token")
    return hashlib.sha256(application).digest() + flags + counter + hashlib.sha256(message).digest()


def _last(signed: Wire) -> bytes:
    value = signed.string()
    signed.end()
    return value
