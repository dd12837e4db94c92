"""The look for ways out, asked where there are some: on the machine itself."""

import socket
import threading

import pytest

from runs.sandboxes.compose import canary

LOOKED_UP = "names of the internet are looked up"


@pytest.mark.parametrize(("code", "is_told"), [(0, True), (3, True), (2, False), (5, False)])
def test_a_name_server_that_knows_the_internet_is_told(
    monkeypatch: pytest.MonkeyPatch, code: int, is_told: bool
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(canary, "RESOLVER", server.getsockname())

        def answer() -> None:
            question, sender = server.recvfrom(512)
            server.sendto(question[:2] + bytes([0x81, 0x80 | code]) + question[4:], sender)

        thread = threading.Thread(target=answer)
        thread.start()
        found = canary.ways_out([], [], asks_resolver=True)
        thread.join()
    assert (LOOKED_UP in found) == is_told


def test_an_address_that_refuses_a_connection_is_reached() -> None:
    assert "the machine answers at 127.0.0.1" in canary.ways_out([], ["127.0.0.1"], asks_resolver=False)
