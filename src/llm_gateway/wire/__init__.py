"""Languages: bytes of clients and model servers <-> the neutral form. Pure: no I/O, no clock, no dice, no logging."""
