"""Which addresses may be connected to, decided on what a name resolves to at that moment."""

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from llm_gateway.errors import Fault, FaultKind
from llm_gateway.upstream.guard import Guard, IPAddress, Origin, Resolve

PRIVATE_IPV4 = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.0", "168.63.129.16"]
PRIVATE_IPV6 = ["::1", "::", "fe80::1", "fd00:ec2::254", "ff02::1", "64:ff9b::a00:1", "2002:a00:1::", "::ffff:10.0.0.1"]
SERVER = Origin("http", "llm.example", 11434)


def names(*rounds: Iterable[str]) -> Resolve:
    """A resolver that gives one round of addresses after the other."""
    left = [[ip_address(text) for text in found] for found in rounds]

    async def resolve(host: str, port: int) -> list[IPAddress]:
        return left.pop(0)

    return resolve


async def found(guard: Guard, origin: Origin = SERVER) -> list[str]:
    return [str(address) for address in await guard.addresses(origin)]


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111"])
def test_public_addresses_are_permitted(address: str) -> None:
    assert Guard().permits(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [*PRIVATE_IPV4, *PRIVATE_IPV6],
)
def test_others_are_permitted_only_inside_a_network_that_is_listed(address: str) -> None:
    assert not Guard().permits(ip_address(address))
    assert not Guard(allow_private=["192.168.0.0/16"]).permits(ip_address(address))
    assert Guard(allow_private=["0.0.0.0/0", "::/0"]).permits(ip_address(address))


def test_only_networks_shuts_out_everything_else_and_opens_nothing() -> None:
    closed = Guard(only_networks=["127.0.0.0/8", "8.8.8.0/24"])
    assert closed.permits(ip_address("8.8.8.8"))
    assert not closed.permits(ip_address("1.1.1.1"))
    assert not closed.permits(ip_address("127.0.0.1"))  # private: needs both lists
    opened = Guard(only_networks=["127.0.0.0/8"], allow_private=["127.0.0.0/8", "10.0.0.0/8"])
    assert opened.permits(ip_address("127.0.0.1"))
    assert opened.permits(ip_address("::ffff:127.0.0.1"))
    assert not opened.permits(ip_address("10.0.0.1"))
    assert not opened.permits(ip_address("8.8.8.8"))


async def test_a_name_is_judged_by_every_address_it_resolves_to() -> None:
    guard = Guard(resolve=names(["10.0.0.1", "8.8.8.8", "127.0.0.1", "8.8.8.8"]))
    assert await found(guard) == ["8.8.8.8"]


async def test_a_name_that_is_rebound_to_a_private_address_is_refused_at_the_next_connection() -> None:
    guard = Guard(resolve=names(["8.8.8.8"], ["127.0.0.1"]))
    assert await found(guard) == ["8.8.8.8"]
    with pytest.raises(Fault, match="loopback") as fault:
        await guard.addresses(SERVER)
    assert fault.value.kind is FaultKind.NOT_PERMITTED


async def test_families_take_turns_so_that_a_dead_one_costs_one_delay() -> None:
    guard = Guard(resolve=names(["2606:4700::1", "2606:4700::2", "8.8.8.8", "8.8.4.4"]))
    assert await found(guard) == ["2606:4700::1", "8.8.8.8", "2606:4700::2", "8.8.4.4"]


async def test_an_address_inside_another_family_is_connected_to_as_itself() -> None:
    guard = Guard(allow_private=["127.0.0.0/8"], resolve=names(["::ffff:127.0.0.1"]))
    assert await found(guard) == ["127.0.0.1"]


async def test_a_literal_address_asks_no_resolver() -> None:
    assert await found(Guard(resolve=names()), Origin("http", "8.8.8.8", 80)) == ["8.8.8.8"]


async def test_this_machines_own_address_counts_as_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can lend the machine a public address for a test, so the table is told that loopback were public."""
    monkeypatch.setattr("llm_gateway.upstream.guard._NOT_PUBLIC", ())
    with pytest.raises(Fault, match="own address"):
        await Guard().addresses(Origin("http", "127.0.0.1", 11434))
    assert await found(Guard(allow_private=["127.0.0.1/32"]), Origin("http", "127.0.0.1", 11434)) == ["127.0.0.1"]


@pytest.mark.parametrize("error", [OSError("no such host"), UnicodeError("label too long")])
async def test_a_name_that_does_not_resolve_is_a_dns_fault(error: Exception) -> None:
    async def resolve(host: str, port: int) -> list[IPAddress]:
        raise error

    with pytest.raises(Fault) as fault:
        await Guard(resolve=resolve).addresses(SERVER)
    assert fault.value.kind is FaultKind.DNS


async def test_a_name_without_addresses_is_a_dns_fault() -> None:
    with pytest.raises(Fault) as fault:
        await Guard(resolve=names([])).addresses(SERVER)
    assert fault.value.kind is FaultKind.DNS


async def test_a_resolver_that_hangs_is_given_up() -> None:
    async def resolve(host: str, port: int) -> list[IPAddress]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(Fault, match="did not resolve within") as fault:
        await Guard(resolve=resolve).addresses(SERVER, within=0.05)
    assert fault.value.kind is FaultKind.DNS


async def test_localhost_is_resolved_by_the_system() -> None:
    guard = Guard(only_networks=["127.0.0.0/8", "::1/128"], allow_private=["127.0.0.0/8", "::1/128"])
    assert set(await found(guard, Origin("http", "localhost", 11434))) <= {"127.0.0.1", "::1"}
