"""What a type checker says of the clients; `mypy --strict` reads this file, and nobody runs it.

An ``ignore`` that nothing needs is an error: each forgotten ``await`` below is one that a user's type checker finds.
"""

from hubfarm import AsyncClient, SAMPIntegratedClient
from hubfarm.client.data import Receipt


async def forgets_to_await(client: AsyncClient) -> None:
    client.enotify("c1", "my.mtype")  # type: ignore[unused-coroutine]
    client.enotify_all("my.mtype")  # type: ignore[unused-coroutine]
    client.ecall("c1", "tag", "my.mtype")  # type: ignore[unused-coroutine]
    client.ecall_all("tag", "my.mtype")  # type: ignore[unused-coroutine]
    client.ecall_and_wait("c1", "my.mtype", 10)  # type: ignore[unused-coroutine]
    client.ereply("msg-id", "samp.ok")  # type: ignore[unused-coroutine]
    client.send_table("stars.vot")  # type: ignore[unused-coroutine]
    client.send_image("sky.fits")  # type: ignore[unused-coroutine]
    client.send_spectrum("star.fits")  # type: ignore[unused-coroutine]
    client.highlight_row("stars", 3)  # type: ignore[unused-coroutine]
    client.select_rows("stars", [1, 2])  # type: ignore[unused-coroutine]
    client.point_at_sky(10.0, 41.0)  # type: ignore[unused-coroutine]
    client.notify("c1", {"samp.mtype": "my.mtype"})  # type: ignore[unused-coroutine]


async def awaits(client: AsyncClient) -> list[Receipt]:
    await client.ecall_and_wait("c1", "my.mtype", 10, value=21)
    return await client.send_table("stars.vot")


def needs_not(client: SAMPIntegratedClient) -> list[Receipt]:
    client.enotify_all("my.mtype")
    return client.send_table("stars.vot")
