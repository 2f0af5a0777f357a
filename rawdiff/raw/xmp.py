"""XMP packets: carried on, freed of what no longer holds, with rawdiff's provenance added.

Adobe, "XMP Specification Part 1: Data Model" and "Part 3: Storage in Files".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from xml.dom import minidom
from xml.parsers.expat import ExpatError

RAWDIFF = "urn:rawdiff:1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_DC, _TIFF, _EXIF = (
    "http://purl.org/dc/elements/1.1/",
    "http://ns.adobe.com/tiff/1.0/",
    "http://ns.adobe.com/exif/1.0/",
)
# Settings for a raw file: a developer would apply them to finished pixels once more.
_DEVELOPMENT = (
    "http://ns.adobe.com/camera-raw-settings/1.0/",
    "http://ns.adobe.com/camera-raw-defaults/1.0/",
)
_OF_PIXELS = {
    (_TIFF, "Orientation"), (_TIFF, "ImageWidth"), (_TIFF, "ImageLength"), (_TIFF, "BitsPerSample"),
    (_TIFF, "Compression"), (_TIFF, "PhotometricInterpretation"), (_TIFF, "SamplesPerPixel"),
    (_TIFF, "PlanarConfiguration"), (_EXIF, "PixelXDimension"), (_EXIF, "PixelYDimension"),
    (_EXIF, "ColorSpace"), (_EXIF, "NativeDigest"), (_TIFF, "NativeDigest"), (_DC, "format"),
    (RAWDIFF, "Provenance"),
}  # fmt: skip
_LARGEST = 1 << 23
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about=""/></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
)


def carry_packet(packet: bytes, kind: str, provenance: Mapping[str, object] | None = None) -> bytes:
    """Return the packet for a new file, empty where there is nothing to say.

    Args:
        packet: the source's packet; a damaged one is left behind.
        kind: media type of the new file. Settings of raw developers stay only in "image/dng".
        provenance: kept as JSON in the property `rawdiff:Provenance`.
    """
    document = _parsed(packet)
    if document is None and provenance is None:
        return b""
    document = document or minidom.parseString(_EMPTY.encode())
    descriptions = list(document.getElementsByTagNameNS(_RDF, "Description"))
    for description in descriptions:
        if description.parentNode is not None and description.parentNode.localName == "RDF":
            _drop_stale(description, finished=kind != "image/dng")
    first = descriptions[0] if descriptions else _new_description(document)
    _set(first, "dc", _DC, "format", kind)
    if provenance is not None:
        _set(first, "rawdiff", RAWDIFF, "Provenance", json.dumps(provenance, sort_keys=True, default=str))
    return "".join(node.toxml() for node in document.childNodes).encode("utf-8")


def read_provenance(packet: bytes) -> str | None:
    """The provenance JSON of a packet that rawdiff wrote, None where there is none."""
    document = _parsed(packet)
    for description in document.getElementsByTagNameNS(_RDF, "Description") if document else ():
        if description.hasAttributeNS(RAWDIFF, "Provenance"):
            return str(description.getAttributeNS(RAWDIFF, "Provenance"))
    return None


def _parsed(packet: bytes) -> minidom.Document | None:
    """The packet as a tree; None for an empty, oversized or damaged one, or one that defines entities."""
    if not packet or len(packet) > _LARGEST or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return None
    try:
        document = minidom.parseString(packet.strip(b"\0 \r\n\t"))
    except (ExpatError, ValueError):
        return None
    return document if document.getElementsByTagNameNS(_RDF, "RDF") else None


def _drop_stale(description: minidom.Element, finished: bool) -> None:
    """Remove properties about the source's pixels, and raw settings from finished pictures."""

    def stale(node: minidom.Node) -> bool:
        return (node.namespaceURI, node.localName) in _OF_PIXELS or (
            finished and node.namespaceURI in _DEVELOPMENT
        )

    for attribute in [a for a in description.attributes.values() if stale(a)]:
        description.removeAttributeNode(attribute)
    for child in [c for c in description.childNodes if stale(c)]:
        description.removeChild(child)


def _new_description(document: minidom.Document) -> minidom.Element:
    root = document.getElementsByTagNameNS(_RDF, "RDF")[0]
    prefix = root.prefix or "rdf"
    description = document.createElementNS(_RDF, f"{prefix}:Description")
    description.setAttributeNS(_RDF, f"{prefix}:about", "")
    root.appendChild(description)
    return description


def _set(description: minidom.Element, prefix: str, namespace: str, name: str, text: str) -> None:
    description.setAttributeNS(_XMLNS, f"xmlns:{prefix}", namespace)
    description.setAttributeNS(namespace, f"{prefix}:{name}", text)
