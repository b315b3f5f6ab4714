"""Who a machine is: a self-signed certificate, and the device id that people can read out to each other (``docs/protocol.md``, Identity).

No authority signs anything and no clock decides anything: a certificate is valid from 1970 to 9999, and only whether it is on the
allow-list counts. OpenSSL refuses an expired certificate even when it is pinned, so any shorter life would cut every node off on one day,
or whenever a clock jumps. The key is ECDSA on P-256, because every TLS library that an independent client could be written with speaks it.

The device id is the SHA-256 of the DER certificate in base32 with a check character after every 13 (Luhn mod 32, the idea of
Syncthing's device ids), written as eight groups of seven. A mistyped character is found, and the error names where it is.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import os
import secrets
from typing import Final, NewType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from lastro.domain.paths import to_bytes
from lastro.errors import ConfigError, UsageError
from lastro.filesystem.system import System
from lastro.messages import N_

DeviceId = NewType("DeviceId", str)
"""The canonical form: eight groups of seven capital letters and digits, joined by dashes."""

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_LOOKALIKES: Final = str.maketrans(
    {"0": "O", "1": "I", "8": "B", "-": None, " ": None, "\t": None, "\n": None}
)
_BLOCK: Final = 13
_CHECKED_BLOCK: Final = _BLOCK + 1
_LENGTH: Final = 4 * _CHECKED_BLOCK
_GROUP: Final = 7
_VALID_FROM: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_VALID_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


class Identity(Struct, frozen=True, kw_only=True):
    """This machine's own certificate (DER), and the path of the owner-only PEM file that holds its private key and the certificate."""

    certificate: bytes
    path: str

    @property
    def device(self) -> DeviceId:
        """The device id that peers know this machine by."""
        return device_id(self.certificate)


def device_id(certificate: bytes) -> DeviceId:
    """The device id of a certificate (DER bytes)."""
    return device_of_digest(hashlib.sha256(certificate).digest())


def device_of_digest(digest: bytes) -> DeviceId:
    """The device id of a certificate whose SHA-256 is ``digest``."""
    letters = base64.b32encode(digest).decode("ascii").rstrip("=")
    blocks = [letters[start : start + _BLOCK] for start in range(0, len(letters), _BLOCK)]
    return _grouped("".join(block + _check_character(block) for block in blocks))


def digest_of_device(device: DeviceId) -> bytes:
    """The SHA-256 that a device id stands for."""
    letters = device.replace("-", "")
    blocks = [letters[start : start + _BLOCK] for start in range(0, _LENGTH, _CHECKED_BLOCK)]
    return base64.b32decode("".join(blocks) + "====")


def parse_device_id(text: str) -> DeviceId:
    """Read a device id as people write it: any case, with or without dashes and spaces, ``0``, ``1`` and ``8`` for ``O``, ``I`` and ``B``.

    Raises:
        UsageError: it is too long or too short, or a character is wrong; the error names the groups where.
    """
    letters = text.upper().translate(_LOOKALIKES)
    strange = next((letter for letter in letters if letter not in _VALUES), None)
    if strange is not None:
        raise UsageError(
            N_("A device id has only letters and the digits 2 to 7: {character} is neither."),
            hint=N_("Copy the device id again from the other machine."),
            character=ascii(strange),
        )
    if len(letters) != _LENGTH:
        raise UsageError(
            N_("A device id has {expected} letters and digits; this one has {found}."),
            hint=N_("Copy the device id again from the other machine."),
            expected=_LENGTH,
            found=len(letters),
        )
    for start in range(0, _LENGTH, _CHECKED_BLOCK):
        block = letters[start : start + _CHECKED_BLOCK]
        if _check_character(block[:-1]) != block[-1]:
            raise UsageError(
                N_("The device id has a typing mistake in {groups}."),
                hint=N_("Compare these two groups with the other machine."),
                groups=f"{block[:_GROUP]}-{block[_GROUP:]}",
            )
    return _grouped(letters)


def load_or_make_identity(path: str, *, system: System | None = None) -> Identity:
    """The identity kept in the PEM file ``path`` (mode 0600); made and written first when there is none. The directory must exist.

    Two processes that make it at once end with the same one.

    Raises:
        ConfigError: the file holds no key and certificate, or others than its owner can read it.
    """
    if not os.path.lexists(to_bytes(path)):
        _write_new(path, _make_pem(), system or System())
    return load_identity(path)


def load_identity(path: str) -> Identity:
    """The identity kept in the PEM file ``path``.

    Raises:
        ConfigError: there is no such file, it holds no key and certificate, or others than its owner can read it.
    """
    try:
        descriptor = os.open(to_bytes(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigError(
            N_("The identity of this machine cannot be read: {path} ({reason})"),
            path=path,
            reason=error.strerror,
        ) from error
    with open(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise ConfigError(
                N_("Others can read the private key of this machine: {path}"),
                hint=N_("Run chmod 600 on it. If somebody may have copied it, remove it and pair again."),
                path=path,
            )
        pem = file.read()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
        certificate = x509.load_pem_x509_certificate(pem)
        same = _public_bytes(key.public_key()) == _public_bytes(certificate.public_key())
    except (ValueError, TypeError) as error:
        raise _not_an_identity(path) from error
    if not same:
        raise _not_an_identity(path)
    return Identity(certificate=certificate.public_bytes(serialization.Encoding.DER), path=path)


def _not_an_identity(path: str) -> ConfigError:
    return ConfigError(
        N_("This file is not an identity (a private key and its certificate): {path}"),
        hint=N_("Put it back from a copy, or remove it and pair again."),
        path=path,
    )


def _public_bytes(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError(key)
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _make_pem() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    # OpenSSL finds a trust anchor by its subject: one of its own for each certificate keeps an allow-list of many unambiguous.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"lastro-{secrets.token_hex(16)}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)


def _write_new(path: str, content: bytes, system: System) -> None:
    """Put ``content`` at ``path``, whole or not at all; what another process put there meanwhile stays."""
    directory, name = os.path.split(to_bytes(path))
    temporary = name + b"." + secrets.token_hex(8).encode() + b".new"
    folder = os.open(directory or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = system.open(folder, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            system.write(descriptor, content)
            system.sync(descriptor)
            system.rename_new(folder, temporary, folder, name)
        except OSError as error:
            system.remove(folder, temporary)
            if not isinstance(error, FileExistsError):
                raise
        finally:
            os.close(descriptor)
        system.sync(folder)
    finally:
        os.close(folder)


def _grouped(letters: str) -> DeviceId:
    return DeviceId("-".join(letters[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP)))


def _check_character(block: str) -> str:
    """Luhn's check character modulo 32 (https://en.wikipedia.org/wiki/Luhn_mod_N_algorithm): finds every single wrong character."""
    total = 0
    for position, letter in enumerate(reversed(block)):
        value = _VALUES[letter] * (2 if position % 2 == 0 else 1)
        total += value // 32 + value % 32
    return _ALPHABET[-total % 32]
