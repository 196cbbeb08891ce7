"""Taken up by every Python process that has this folder in PYTHONPATH: a way out of this machine is an error.

Processes are listed in the file WATCHED, attempts in the file ATTEMPTS (both from the environment), so that what
catches the error hides nothing.
"""

import os
import sys

LOCAL = {None, "", "localhost", "::1", os.uname().nodename}


def stop(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # others are paths of sockets in the file system
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in LOCAL and not host.startswith("127."):
        with open(os.environ["ATTEMPTS"], "a") as attempts:
            attempts.write(f"{event} {host} {sys.orig_argv}\n")
        raise PermissionError(f"{event}: {host} is not this machine")


sys.addaudithook(stop)
with open(os.environ["WATCHED"], "a") as watched:
    watched.write(f"{sys.orig_argv}\n")
