"""`python -m adamproof`: the command line."""

from adamproof.cli import main

if __name__ == "__main__":
    main()
