"""Which server URLs are accepted, in which canonical form, and what people are told about the others."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway.errors import InvalidRequest
from llm_gateway.upstream.guard import Guard, Origin

REFUSED = [
    # not a URL for a model server at all
    ("", "scheme"),
    ("example.com", "scheme"),
    ("//example.com", "scheme"),
    ("ftp://example.com", "'ftp'"),
    ("file:///etc/passwd", "'file'"),
    ("gopher://example.com:6379/_INFO", "'gopher'"),
    ("javascript:alert(1)", "'javascript'"),
    ("unix:///var/run/docker.sock", "'unix'"),
    ("http://", "host is missing"),
    ("http:///v1", "host is missing"),
    ("http:example.com", "host is missing"),
    ("http://:8080", "host is missing"),
    ("http://" + "a" * 2100, "2048"),
    # credentials, queries, fragments
    ("http://user:hunter2@example.com", "user name or password"),
    ("http://127.0.0.1@example.com", "user name or password"),
    ("http://example.com@127.0.0.1", "user name or password"),
    ("http://@example.com", "user name or password"),
    ("http://example.com/?key=1", "query or a fragment"),
    ("http://example.com?", "query or a fragment"),
    ("http://example.com#@127.0.0.1", "query or a fragment"),
    # characters that parsers disagree about
    ("http://exa mple.com", "blank"),
    (" http://example.com", "blank"),
    ("http://example.com\r\nX-Evil: 1", "control character"),
    ("http://127.0.0.1\t", "control character"),
    ("http://example.com\\@127.0.0.1", "backslash"),
    ("http://example.com\x00", "control character"),
    ("http://127%2e0.0.1", "not an IPv4 address"),
    ("http://example%2ecom", "not a host name"),
    ("http://-example.com", "not a host name"),
    ("http://exa$mple.com", "not a host name"),
    ("http://a..b", "not a host name"),
    ("http://" + "a" * 64 + ".com", "not a host name"),
    ("http://xn--" + "ü" * 80 + ".com", "xn--"),
    # ports
    ("http://example.com:0", "port 0"),
    ("http://example.com:22", "port 22"),
    ("http://example.com:25", "port 25"),
    ("http://example.com:6379", "port 6379"),
    ("http://example.com:5432", "port 5432"),
    ("http://example.com:2375", "port 2375"),
    ("http://example.com:65536", "1 to 65535"),
    ("http://example.com:-1", "1 to 65535"),
    ("http://example.com:80:90", "1 to 65535"),
    ("http://example.com:８０", "1 to 65535"),
    # paths
    ("http://example.com/../admin", "path"),
    ("http://example.com/v1/./x", "path"),
    ("http://example.com//evil.example", "path"),
    ("http://example.com/%2e%2e/", "path"),
    ("http://example.com/v1;x=1", "path"),
    # this machine, in every spelling
    ("http://127.0.0.1", "loopback"),
    ("http://127.0.0.1.", "loopback"),
    ("http://127.1", "loopback"),
    ("http://127.0.1", "loopback"),
    ("http://2130706433", "loopback"),
    ("http://0x7f000001", "loopback"),
    ("http://0x7F.0.0.0x1", "loopback"),
    ("http://0177.0.0.1", "loopback"),
    ("http://017700000001", "loopback"),
    ("http://127.255.255.254:8080", "loopback"),
    ("http://１２７.０.０.１", "loopback"),
    ("http://①②⑦.⓪.⓪.①", "loopback"),
    ("http://127。0。0。1", "loopback"),
    ("http://localhost", "loopback"),
    ("http://LOCALHOST.:11434", "loopback"),
    ("http://api.localhost", "loopback"),
    ("http://0", "unspecified"),
    ("http://0.0.0.0:11434", "unspecified"),
    ("http://0x0", "unspecified"),
    ("http://0x", "unspecified"),
    ("http://[::1]", "loopback"),
    ("http://[0:0:0:0:0:0:0:1]:11434", "loopback"),
    ("http://[::]", "unspecified"),
    ("http://[::ffff:127.0.0.1]", "loopback"),
    ("http://[::ffff:7f00:1]", "loopback"),
    # other networks that are not the internet
    ("http://10.0.0.5", "private"),
    ("http://0xa.5", "private"),
    ("http://012.0.0.5", "private"),
    ("http://172.16.0.1", "private"),
    ("http://172.31.255.255", "private"),
    ("http://192.168.1.1", "private"),
    ("http://[::ffff:192.168.1.1]", "private"),
    ("http://100.64.0.1", "CGNAT"),
    ("http://100.100.100.200", "CGNAT"),
    ("http://169.254.169.254", "link-local"),
    ("http://0xA9FEA9FE", "link-local"),
    ("http://168.63.129.16", "metadata"),
    ("http://192.0.0.192", "reserved"),
    ("http://198.18.0.1", "benchmarking"),
    ("http://203.0.113.7", "documentation"),
    ("http://224.0.0.1", "multicast"),
    ("http://255.255.255.255", "reserved"),
    ("http://[fd00:ec2::254]", "private"),
    ("http://[fe80::1]", "link-local"),
    ("http://[ff02::1]", "multicast"),
    ("http://[fec0::1]", "private"),
    ("http://[64:ff9b::127.0.0.1]", "NAT64"),
    ("http://[2002:7f00:1::]", "6to4"),
    ("http://[2001::1]", "reserved"),
    ("http://[::127.0.0.1]", "reserved"),
    ("http://[1234::1]", "reserved"),
    # not addresses
    ("http://256.0.0.1", "IPv4"),
    ("http://1.2.3.4.5", "IPv4"),
    ("http://4294967296", "IPv4"),
    ("http://08.0.0.1", "IPv4"),
    ("http://example.1", "IPv4"),
    ("http://" + "9" * 200, "IPv4"),
    ("http://[fe80::1%25eth0]", "IPv6"),
    ("http://[::1", "IPv6"),
    ("http://[::1]evil.example", "IP"),
    ("http://[12345::]", "IP"),
]


@pytest.mark.parametrize(("url", "reason"), REFUSED, ids=[repr(url)[:60] for url, _ in REFUSED])
def test_a_url_that_may_not_be_used_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Guard().check_url(url)
    assert reason in refused.value.message
    assert refused.value.param == "url"


ACCEPTED = [
    ("http://example.com", Origin("http", "example.com", 80), ""),
    ("https://example.com", Origin("https", "example.com", 443), ""),
    ("HTTP://Example.COM.:11434/", Origin("http", "example.com", 11434), ""),
    ("https://example.com:8443/v1/", Origin("https", "example.com", 8443), "/v1"),
    ("https://example.com/openai/v1", Origin("https", "example.com", 443), "/openai/v1"),
    ("http://example.com:", Origin("http", "example.com", 80), ""),
    ("http://ollama_gpu-1:11434", Origin("http", "ollama_gpu-1", 11434), ""),
    ("http://bücher.example:11434", Origin("http", "xn--bcher-kva.example", 11434), ""),
    ("http://8.8.8.8:11434", Origin("http", "8.8.8.8", 11434), ""),
    ("http://0x08080808:11434", Origin("http", "8.8.8.8", 11434), ""),
    ("http://010.8.8.8:11434", Origin("http", "8.8.8.8", 11434), ""),
    ("http://[2606:4700:4700:0::1111]:11434", Origin("http", "2606:4700:4700::1111", 11434), ""),
    ("http://[::ffff:8.8.8.8]:11434", Origin("http", "8.8.8.8", 11434), ""),
]


@pytest.mark.parametrize(("url", "origin", "base"), ACCEPTED, ids=[url for url, *_ in ACCEPTED])
def test_a_good_url_becomes_one_canonical_origin_and_a_base_path(url: str, origin: Origin, base: str) -> None:
    assert Guard().check_url(url) == (origin, base)


def test_a_private_address_is_accepted_inside_a_listed_network_only() -> None:
    guard = Guard(allow_private=["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"])
    for url in ("http://127.0.0.1:11434", "http://localhost:11434", "http://10.1.2.3:8000/v1", "http://[fd00::7]"):
        guard.check_url(url)
    with pytest.raises(InvalidRequest, match=r"such as 10\.2\.0\.1/32"):
        guard.check_url("http://10.2.0.1")


def test_a_public_server_may_be_listed_where_only_other_networks_may_be_connected_to() -> None:
    assert Guard(only_networks=["127.0.0.0/8"]).check_url("http://8.8.8.8:11434")


def test_a_password_in_a_url_is_not_repeated_in_the_message() -> None:
    with pytest.raises(InvalidRequest) as refused:
        Guard().check_url("http://admin:hunter2@example.com")
    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("http", "example.com", 80), "example.com"),
        (Origin("http", "example.com", 443), "example.com:443"),
        (Origin("https", "example.com", 443), "example.com"),
        (Origin("http", "2606:4700::1", 11434), "[2606:4700::1]:11434"),
    ],
)
def test_the_host_header_has_the_port_unless_it_is_the_schemes_own(origin: Origin, authority: str) -> None:
    assert origin.authority == authority
    assert str(origin) == f"{origin.scheme}://{authority}"


def test_a_network_that_is_none_is_an_error_at_once() -> None:
    with pytest.raises(ValueError):
        Guard(only_networks=["127.0.0.0/33"])


@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://[", "http://1.", "http://h:"]))
def test_any_text_is_either_an_origin_or_refused(text: str, start: str) -> None:
    with suppress(InvalidRequest):
        origin, base = Guard().check_url(start + text)
        again = Guard().check_url(f"{origin}{base}")
        assert again == (origin, base)
