"""One plugin of each kind for facegan, small enough to copy."""
