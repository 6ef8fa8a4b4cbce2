"""XML-RPC by the standard library, for programs that import it from ``astropy.samp.utils``; nothing of ours uses it.

Document types are refused, and with them entities of the document's own.
"""

import xmlrpc.client
from typing import Any


def _refuse(*_: object) -> None:
    raise ValueError("document types are refused")


def _reader(use_datetime: bool, use_builtin_types: bool) -> tuple[xmlrpc.client.ExpatParser, Any]:
    unmarshaller = xmlrpc.client.Unmarshaller(use_datetime, use_builtin_types)
    parser = xmlrpc.client.ExpatParser(unmarshaller)
    parser._parser.StartDoctypeDeclHandler = _refuse  # type: ignore[attr-defined]  # its own, and no other way in
    return parser, unmarshaller


def safe_xmlrpc_loads(
    data: str | bytes, use_datetime: bool = False, use_builtin_types: bool = False
) -> tuple[tuple[Any, ...], str | None]:
    """Return the parameters and the method's name of an XML-RPC document, as `xmlrpc.client.loads` does.

    Raises
    ------
    ValueError
        The document has a document type.
    xmlrpc.client.Fault
        It is a fault.

    Examples
    --------
    >>> safe_xmlrpc_loads(xmlrpc.client.dumps(("key",), "samp.hub.unregister"))
    (('key',), 'samp.hub.unregister')
    """
    parser, unmarshaller = _reader(use_datetime, use_builtin_types)
    parser.feed(data)
    parser.close()
    return unmarshaller.close(), unmarshaller.getmethodname()


class _Transport(xmlrpc.client.Transport):
    def getparser(self) -> Any:
        return _reader(self._use_datetime, self._use_builtin_types)


class _SafeTransport(_Transport, xmlrpc.client.SafeTransport):
    pass


class SAMPXXEServerProxy(xmlrpc.client.ServerProxy):
    """`xmlrpc.client.ServerProxy`, whose answers are read as `safe_xmlrpc_loads` does.

    Parameters
    ----------
    uri : str
        The endpoint.
    *args, **kwargs
        As `xmlrpc.client.ServerProxy` has them.
    """

    def __init__(self, uri: str, *args: Any, **kwargs: Any) -> None:
        if not args and "transport" not in kwargs:
            transport = _SafeTransport if uri.startswith("https:") else _Transport
            kwargs["transport"] = transport(
                use_datetime=kwargs.get("use_datetime", False), use_builtin_types=kwargs.get("use_builtin_types", False)
            )
        super().__init__(uri, *args, **kwargs)
