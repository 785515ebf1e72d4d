"""A sender of webhooks: `python -m tests.benchmarks.sender PORT TOKEN FILE` prints the seconds that
it took."""

import http.client
import pickle
import sys
import threading
import time
from pathlib import Path

_SENDERS = 8


def main(port: int, token: str, file: str) -> None:
    requests = pickle.loads(Path(file).read_bytes())  # noqa: S301  # our own, a moment old
    failures: list[object] = []

    def send(mine: list[tuple[bytes, dict[str, str]]]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for body, headers in mine:
            connection.request("POST", f"/webhooks/shipstation/{token}", body=body, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 202:
                failures.append(answer.status)
        connection.close()

    threads = [
        threading.Thread(target=send, args=(requests[start::_SENDERS],))
        for start in range(_SENDERS)
    ]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begin
    if failures:
        sys.exit(f"answered {failures[:5]}")
    sys.stdout.write(f"{took}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
