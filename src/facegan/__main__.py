"""`python -m facegan` is `facegan`."""

from .cli import main

if __name__ == "__main__":
    try:
        main()
    finally:
        # Ctrl-C inside exec of a string, which is how a dataclass is made, marks the interpreter: at the end of
        # `python -m` it would die of the signal although the command has exited with 130. A new string unmarks it.
        exec("")
