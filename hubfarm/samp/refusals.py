"""What a reader of XML-RPC refuses, in words.

The reader in C and the one on expat raise ``ValueError(problem, position, what, where)``, with a
`problem` of the table below; so both say the same.
"""

from collections.abc import Mapping

_TEXTS: Mapping[str, str] = {
    "malformed": "not well-formed XML (about byte {position})",
    "doctype": "document types and entity declarations are refused",
    "encoding": "the encoding {what} is none that can be read",
    "attributes": "<{what}> has more than 16 attributes, and XML-RPC knows none",
    "markup": "a tag, comment or instruction is longer than 65536 bytes (about byte {position})",
    "root": "<{what}> cannot stand as the document's root",
    "child": "<{what}> cannot stand in <{where}>",
    "order": "a <{what}> holds {parts}",
    "more": "<{what}> holds more than one element",
    "nothing": "<{what}> holds nothing",
    "text": "there is text between the elements of <{what}>",
    "int": "not a SAMP int (an optional sign and digits): {what!r}",
    "double": "not a SAMP float (a decimal number, as 1.5 or 2e-3): {what!r}",
    "boolean": "not a SAMP boolean (0 or 1): {what!r}",
    "twins": "a <struct> holds two members of one name",
    "depth": "values nest deeper than {depth} levels",
    "string": "a string is longer than {string} characters",
    "values": "there are more than {values} values in it",
    "members": "a map that the hub has to look at has more than 10000 members",
}

_PARTS = {"member": "one <name> and then one <value>", "methodCall": "one <methodName> and then one <params>"}


def in_words(problem: str, position: int, what: bytes, where: str, **limits: int) -> str:
    """Say what is wrong with a document.

    Parameters
    ----------
    problem : str
        A key of the table.
    position : int
        Where it was noticed, bytes.
    what, where : bytes, str
        An element, a text or an encoding; for a child, its parent.
    **limits : int
        Those that were in force: ``depth``, ``string``, ``values``.

    Examples
    --------
    >>> in_words("child", 40, b"nil", "value")
    '<nil> cannot stand in <value>'
    """
    text = what.decode("utf-8", "replace")
    if problem == "child" and not where:
        problem = "root"
    return _TEXTS[problem].format(position=position, what=text[:40], where=where, parts=_PARTS.get(text), **limits)
