"""`python -m facegan` is `facegan`."""

from .cli import main

if __name__ == "__main__":
    main()
