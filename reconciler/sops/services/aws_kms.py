"""The door to AWS KMS, by boto3, which the extra `aws` installs.

Region and account come from the ARN in the file, which must be on `SOPS_KMS_ALLOWLIST` where that is set. Credentials
are those of the process: on a Fly machine set `AWS_ROLE_ARN`, and boto3 takes the role with the machine's own web
identity, so that no key is kept anywhere (https://fly.io/docs/security/openid-connect/). A role that the file names is
taken from there; a profile that it names is not, because profiles belong to the person who wrote the file.
"""

import base64
import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn, Protocol, cast

from reconciler.sops.master_keys import MasterKey
from reconciler.sops.metadata import KeyService, WrappedKey
from reconciler.sops.services import allow_list
from reconciler.sops.services.http import denied, unavailable, wrapped_bytes
from reconciler.sops.services.port import TIMEOUT_S, DamagedKeyError, NotForUsError

ALLOW_LIST_VARIABLE: Final = "SOPS_KMS_ALLOWLIST"
_NAME: Final = "AWS KMS"
_ARN: Final = re.compile(r"arn:aws[a-z-]{0,20}:kms:([a-z0-9-]{1,30}):[0-9]{12}:(?:key|alias)/[A-Za-z0-9/_-]{1,256}")
_ROLE: Final = re.compile(r"arn:aws[a-z-]{0,20}:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}")
_VARIABLES: Final = "AWS_"
_FOLDER: Final = ".aws"
_SESSION_NAME: Final = "catwalk-sops"
_NOT_OURS: Final = frozenset({"NotFoundException", "IncorrectKeyException"})
_DAMAGED: Final = frozenset({"InvalidCiphertextException", "ValidationException"})
_BUSY: Final = frozenset(
    {"ThrottlingException", "KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException"}
)


class _Call(Protocol):
    """A method of a client: its argument names are those of the API."""

    def __call__(self, **arguments: object) -> Mapping[str, object]: ...


class _Kms(Protocol):
    decrypt: _Call
    encrypt: _Call


class _Sts(Protocol):
    assume_role: _Call


class _Session(Protocol):
    def client(self, service: str, *, region_name: str, config: object) -> object: ...


class _Boto(Protocol):
    Session: Callable[..., _Session]


_Question = Callable[[_Kms, Mapping[str, object]], bytes]


class _Config(Protocol):
    Config: Callable[..., object]


class _Exceptions(Protocol):
    ClientError: type[Exception]
    BotoCoreError: type[Exception]
    NoCredentialsError: type[Exception]


class AwsKms:
    """Asks with the credentials of the process."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = allowed

    @property
    def kind(self) -> KeyService:
        """KMS entries of the metadata."""
        return KeyService.AWS_KMS

    def unwrap(self, key: WrappedKey) -> bytes:
        """The data key.

        Raises:
            NotForUsError: there is no such key.
            DamagedKeyError: the key is there, and the ciphertext or its context is not its own.
            KeyServiceUnavailable: no answer.
            KeyServiceDenied: no credentials, or they do not suffice.
            KeyServiceNotAllowed: the ARN is not on the list, or none.
        """

        def question(kms: _Kms, common: Mapping[str, object]) -> bytes:
            return _bytes(kms.decrypt(CiphertextBlob=wrapped_bytes(key.wrapped), **common), "Plaintext")

        return self._asked(key, question)

    def wrap(self, key: MasterKey, secret: bytes) -> str:
        """`secret` encrypted by the key, in base64.

        Raises:
            KeyServiceUnavailable: no answer.
            KeyServiceDenied: there is no such key, no credentials, or they do not suffice.
            KeyServiceNotAllowed: the ARN is not on the list, or none.
        """
        try:
            blob = self._asked(
                key, lambda kms, common: _bytes(kms.encrypt(Plaintext=secret, **common), "CiphertextBlob")
            )
        except (NotForUsError, DamagedKeyError):
            raise denied(
                _NAME, key.name, "AWS knows no such key that encrypts: correct the ARN in .sops.yaml"
            ) from None
        return base64.b64encode(blob).decode("ascii")

    def _asked(self, key: WrappedKey | MasterKey, question: _Question) -> bytes:
        arn, role = key.attributes.get("arn", ""), key.attributes.get("role", "")
        allow_list.check(arn, self._allowed, ALLOW_LIST_VARIABLE)
        match = _ARN.fullmatch(arn)
        if match is None or (role and not _ROLE.fullmatch(role)):
            raise allow_list.refused(arn, "it is no ARN of a KMS key, or its role is none of IAM")
        errors = cast("_Exceptions", importlib.import_module("botocore.exceptions"))
        try:
            kms = cast("_Kms", _session(role, match[1]).client("kms", region_name=match[1], config=_config()))
            return question(kms, {"KeyId": arn, "EncryptionContext": dict(key.context)})
        except errors.NoCredentialsError:
            raise denied(_NAME, arn, "set AWS credentials, or AWS_ROLE_ARN on a Fly machine") from None
        except errors.ClientError as error:
            _refuse(error, arn)
        except errors.BotoCoreError as error:
            # Chained to nothing: the exception carries the request.
            raise unavailable(_NAME, type(error).__name__) from None

    def __repr__(self) -> str:
        return f"AwsKms(allowed={list(self._allowed)})"


def aws_kms(environment: Mapping[str, str]) -> AwsKms | None:
    """Configured where boto3 is installed and anything speaks of AWS: a variable, or a folder; `None` without."""
    mentioned = any(name.startswith(_VARIABLES) and environment[name] for name in environment)
    if importlib.util.find_spec("boto3") is None or not (mentioned or _has_folder(environment.get("HOME", ""))):
        return None
    return AwsKms(allow_list.patterns(environment, ALLOW_LIST_VARIABLE, "*"))


def _has_folder(home: str) -> bool:
    return bool(home) and any((Path(home) / _FOLDER / name).is_file() for name in ("config", "credentials"))


def _bytes(answer: Mapping[str, object], name: str) -> bytes:
    found = answer.get(name)
    if not isinstance(found, bytes):
        raise unavailable(_NAME, f"its answer has no {name}")
    return found


def _session(role: str, region: str) -> _Session:
    boto = cast("_Boto", importlib.import_module("boto3"))
    if not role:
        return boto.Session()
    sts = cast("_Sts", boto.Session().client("sts", region_name=region, config=_config()))
    answer = sts.assume_role(RoleArn=role, RoleSessionName=_SESSION_NAME)
    given = cast("Mapping[str, str]", answer["Credentials"])
    return boto.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def _config() -> object:
    config = cast("_Config", importlib.import_module("botocore.config"))
    retries = {"total_max_attempts": 2, "mode": "standard"}
    return config.Config(connect_timeout=TIMEOUT_S / 3, read_timeout=TIMEOUT_S / 3, retries=retries)


def _refuse(error: Exception, arn: str) -> NoReturn:
    """Errors of the service, by their code. Chained to nothing: messages of AWS quote callers and roles."""
    response = cast("Mapping[str, Mapping[str, str]]", getattr(error, "response", {}))
    code = response.get("Error", {}).get("Code", "")
    if code in _NOT_OURS:
        raise NotForUsError("there is no such key") from None
    if code in _DAMAGED:
        raise DamagedKeyError("the ciphertext is not one of this key") from None
    if code in _BUSY:
        raise unavailable(_NAME, code) from None
    raise denied(
        _NAME, arn, f"AWS says {code or 'no'}: allow kms:Decrypt, and kms:Encrypt to write, on this key"
    ) from None
