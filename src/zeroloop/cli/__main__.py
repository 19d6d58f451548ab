"""`python -m zeroloop.cli`."""

from zeroloop.cli import main

if __name__ == "__main__":
    main()
