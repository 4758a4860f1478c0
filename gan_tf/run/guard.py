"""For `distribute.time_limit`: a process beside another one, which it ends if that takes too long to find its peers.

    python guard.py SECONDS PARENT OTHERS...

TensorFlow waits for other workers inside C++, holding Python's lock: neither a thread nor a signal handler of the same
process would run. This one ends quietly when its standard input is closed.
"""

import os
import select
import signal
import socket
import sys


def answers(address: str) -> bool:
    """Whether anything listens at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except (OSError, ValueError):
        return False
    return True


def main(seconds: str, parent: str, *others: str) -> None:
    if select.select([sys.stdin], [], [], float(seconds))[0]:
        return
    missing = [address for address in others if not answers(address)]
    what = f"{', '.join(missing)} did not come" if missing else "all came, but they did not find each other"
    print(
        f"gan_tf: Of {1 + len(others)} workers, {what} within {seconds} s: check that all are started with the same "
        "cluster and can reach each other's addresses, or set GAN_TF_WORKER_TIMEOUT to more seconds.",
        file=sys.stderr,
        flush=True,
    )
    os.kill(int(parent), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
