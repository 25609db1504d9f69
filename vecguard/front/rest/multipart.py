"""The one file of a `multipart/form-data` body (RFC 7578), piece by piece as it arrives."""

from __future__ import annotations

from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from vecguard.errors import InvalidArgument

_MULTIPART: Final = "Multipart error: "


class FilePart:
    """Reads a body that has one part, named `field`. What is not understood is refused."""

    def __init__(self, content_type: str, field: str) -> None:
        """Raises InvalidArgument: the content type is another, or has no boundary."""
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise InvalidArgument(f"{_MULTIPART}the content type must be multipart/form-data with a boundary")
        self._field = field.encode()
        self._name: bytes | None = None
        self._header = b""
        self._value = b""
        self._parts = 0
        self._pieces: list[bytes] = []
        self._ended = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError as fault:
            raise InvalidArgument(f"{_MULTIPART}{fault}") from None

    def feed(self, chunk: bytes) -> bytes:
        """What a piece of the body holds of the file.

        Raises:
            InvalidArgument: the body is malformed, or has another part.
        """
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise InvalidArgument(f"{_MULTIPART}the body is malformed") from None
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content

    def end(self) -> None:
        """Say that the body is over.

        Raises:
            InvalidArgument: it was cut off, or had no file.
        """
        if not self._ended:
            raise InvalidArgument(f"{_MULTIPART}the body ends too early")
        if self._parts == 0:
            raise InvalidArgument(f"{_MULTIPART}field `{self._field.decode()}` is missing")

    def _begin(self) -> None:
        self._name = None
        self._parts += 1

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._name = parse_options_header(self._value.decode("latin-1"))[1].get(b"name")
        self._header = self._value = b""

    def _headers_end(self) -> None:
        if self._name != self._field or self._parts > 1:
            raise InvalidArgument(f"{_MULTIPART}expected the one field `{self._field.decode()}`, a file")

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._pieces.append(data[start:end])

    def _end(self) -> None:
        self._ended = True
