"""Reads XML without document types: nothing multiplies, and no other file is read."""

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

# What a file that is no XML raises; the last two about an encoding that does not exist or is not supported.
MALFORMED = (expat.ExpatError, LookupError, ValueError)


class RefusedXMLError(ValueError):
    """The file declares a document type, with which entities come."""


def parse_xml(content: bytes) -> Element:
    """The root element of an XML file without a document type.

    Entities that multiply or read other files must be declared in a document type; it is refused where it begins.
    Python's own parser accepts it.

    Raises:
        RefusedXMLError: There is a document type.
        xml.parsers.expat.ExpatError, LookupError, ValueError: No well-formed XML (`MALFORMED`).
    """

    def refuse(name: str, *_) -> None:
        raise RefusedXMLError(f'document type {name!r}')

    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(content, True)
    return builder.close()
