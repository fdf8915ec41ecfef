"""What run folders tell of their runs: read without torch, and without trust in what stands there."""
