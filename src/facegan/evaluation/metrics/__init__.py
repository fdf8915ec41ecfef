"""The built-in metrics, each a frozen model of its protocol."""
