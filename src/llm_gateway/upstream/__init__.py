"""The only package that talks to model servers: where a packet may go, how it gets there, what comes back.

`guard` decides the address, `dial` opens the connection, `answer` reads HTTP/1.1 from its bytes, `connection` keeps
its time, `transport` keeps connections between requests; `drive` carries out on top of them what `fleet` decided.
"""
