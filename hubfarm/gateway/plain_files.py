"""Files opened as they were meant: by a path that leads where it seems to lead.

A link on the way counts if it is the account's own or root's: what others have put into a place that is everybody's
(``/tmp``, say) leads nowhere.  Each step is taken from the directory before it: nothing can be exchanged meanwhile.
"""

import errno
import os
import stat
from collections import deque
from urllib.parse import unquote

MOST_LINKS = 40
"""On the way to one file."""


class NoPlainFile(Exception):
    """There is no file that can be read so; the text says why."""


def path_in(url: str, host: str) -> str:
    """Return the path in a ``file:`` URL of this host.

    Parameters
    ----------
    url : str
        The URL.
    host : str
        What this host is called.

    Raises
    ------
    NoPlainFile
        It is none, or its path goes back and forth.

    Examples
    --------
    >>> path_in("file:///tmp/a%20table.xml", "here"), path_in("file://localhost/tmp/x", "here")
    ('/tmp/a table.xml', '/tmp/x')
    >>> path_in("file:///tmp/%2e%2e/etc/passwd", "here")
    Traceback (most recent call last):
        ...
    hubfarm.gateway.plain_files.NoPlainFile: a path with . or .. in it
    """
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "file":
        raise NoPlainFile("not the URL of a file")
    if rest.startswith("//"):
        named, slash, rest = rest[2:].partition("/")
        rest = slash + rest
        if named.lower() not in ("", "localhost", "127.0.0.1", host.lower()):
            raise NoPlainFile("the file is of another host")
    path = unquote(rest.partition("?")[0].partition("#")[0], errors="surrogateescape")
    if not path.startswith("/") or "\0" in path:
        raise NoPlainFile("not the path of a file")
    if any(part in (".", "..") for part in path.split("/")):
        raise NoPlainFile("a path with . or .. in it")
    return path


def open_plain(path: str, uid: int | None = None) -> int:
    """Return a descriptor of a regular file, for reading.

    Parameters
    ----------
    path : str
        From the root.
    uid : int, optional
        Whose links count, beside root's; by default this account's.

    Raises
    ------
    NoPlainFile
        It is no regular file, or a link of somebody else's is on the way.
    OSError
        It cannot be opened.
    """
    trusted = {0, os.getuid() if uid is None else uid}
    parts = deque(part for part in path.split("/") if part)
    links = 0
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while parts:
            part = parts.popleft()
            step = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            status = os.fstat(step)
            if stat.S_ISLNK(status.st_mode):
                try:
                    target = os.readlink("", dir_fd=step)
                finally:
                    os.close(step)
                links += 1
                if status.st_uid not in trusted:
                    raise NoPlainFile("a link of another account is on the way")
                if links > MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                parts.extendleft(reversed([each for each in target.split("/") if each not in ("", ".")]))
                if target.startswith("/"):
                    os.close(here)
                    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                continue
            os.close(here)
            here = step
            if not parts and not stat.S_ISREG(status.st_mode):
                raise NoPlainFile("not a regular file")
        return _for_reading(here)
    finally:
        os.close(here)


def _for_reading(step: int) -> int:
    descriptor = os.open(f"/proc/self/fd/{step}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NoPlainFile("not a regular file")
    return descriptor
