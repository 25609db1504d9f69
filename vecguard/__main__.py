"""`python -m vecguard`: the command line."""

from vecguard.cli import app

if __name__ == "__main__":
    app(prog_name="vecguard")
