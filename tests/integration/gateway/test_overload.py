"""A gateway that has too much to do says so at once, and stays reachable for those who look after it."""

from __future__ import annotations

from llm_gateway.access.pressure import IN_A_ROW
from support.gateway import StartGateway
from support.rogues import StartRogue


async def test_a_late_loop_refuses_new_requests_typed_and_with_a_row(start: StartGateway, rogue: StartRogue):
    live = await start(await rogue())
    for _ in range(IN_A_ROW):
        live.gateway.pressure.ticked(1.0)
    refused = await live.chat()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert (await live.http.get("/v1/health")).status_code == 200
    assert (await live.http.get("/admin/api/servers", headers=live.admin())).status_code == 200
    row = await live.row()
    assert (row["status"], row["outcome"], row["error_code"]) == (503, "shed", "overloaded")
