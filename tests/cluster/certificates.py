"""Certificates of one cluster: its own authority, servers, and a client per component.

They live as long as the cluster's folder, so that nothing outside it is ever trusted.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = dt.timedelta(days=30)
"""Longer than any test cluster stays up."""

CLOCK_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs what the cluster's parts show each other."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue(
        self,
        folder: Path,
        name: str,
        subject: str,
        *,
        groups: Sequence[str] = (),
        names: Sequence[str] = (),
        addresses: Sequence[IPv4Address] = (),
    ) -> None:
        """Write `name.crt` and `name.key`.

        Args:
            folder: Where to.
            name: Of the two files.
            subject: The user that it stands for.
            groups: The groups of that user.
            names: A server's host names. None and no addresses: a client's certificate.
            addresses: A server's addresses.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_distinguished(subject, groups), self.certificate.subject, key)
        alternatives = [
            *(x509.DNSName(value) for value in names),
            *(x509.IPAddress(value) for value in addresses),
        ]
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
            usage.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), False)
        _write(folder, name, key, builder.sign(self.key, hashes.SHA256()))


def make_authority(folder: Path) -> Authority:
    """Make an authority and write its `ca.crt` and `ca.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _distinguished("zeroloop test cluster", ())
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(True, None), True)
    authority = Authority(key, builder.sign(key, hashes.SHA256()))
    _write(folder, "ca", key, authority.certificate)
    return authority


def make_token_keys(folder: Path) -> None:
    """Write `tokens.key` and `tokens.pub`, which sign and check tokens of ServiceAccounts."""
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "tokens.key", key)
    (folder / "tokens.pub").write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def _distinguished(subject: str, groups: Sequence[str]) -> x509.Name:
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, subject),
        ]
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFE)
    )


def _write(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    _write_key(folder / f"{name}.key", key)
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / f"{name}.crt").write_bytes(pem)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
