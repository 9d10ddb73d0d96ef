"""`python -m fpnprobe` is the console script, where that is not on the path."""

from fpnprobe.cli.main import entry  # noqa: TID251 -- the one module that is the command line

if __name__ == "__main__":
    entry()
