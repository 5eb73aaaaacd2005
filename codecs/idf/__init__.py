"""The codec idf: Integer Discrete Flows, exact in integers."""
