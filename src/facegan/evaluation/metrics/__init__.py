"""The built-in metrics: the mathematics as free functions, then a frozen model of the protocol."""
