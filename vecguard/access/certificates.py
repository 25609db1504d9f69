"""Principals by client certificate: TLS has verified it against the client CA, the policy knows the subject."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from vecguard.errors import Unauthenticated
from vecguard.model import Principal
from vecguard.policy.access import Access, literal_values

# Certificates of callers that TLS has let in; each is read once.
_REMEMBERED: Final = 512


@lru_cache(maxsize=_REMEMBERED)
def names_of(certificate: bytes) -> tuple[str, frozenset[str]]:
    """Subject (RFC 4514) and alternative names (DNS names, URIs, mail addresses) of a certificate in DER.

    Raises:
        ValueError: it cannot be read.
    """
    read = x509.load_der_x509_certificate(certificate)
    try:
        extension = read.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return read.subject.rfc4514_string(), frozenset()
    assert isinstance(extension, x509.SubjectAlternativeName)  # noqa: S101 - what that object identifier stands for
    texts = (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name)
    return read.subject.rfc4514_string(), frozenset(name.value for name in extension if isinstance(name, texts))


def principal_of(certificate: bytes, access: Access) -> Principal | None:
    """The principal that a certificate stands for; None where the policy does not know it.

    Raises:
        Unauthenticated: it cannot be read.
    """
    try:
        subject, names = names_of(certificate)
    except ValueError:
        raise Unauthenticated("the client certificate cannot be read") from None
    for entry in access.certificates:
        if entry.subject == subject or (entry.san is not None and entry.san in names):
            attributes = {name: literal_values(value) for name, value in entry.attributes.items()}
            return Principal(entry.name, frozenset(entry.roles), "certificate", attributes)
    return None
