"""One adapter a file: each says how one family of heads orders the rows of its losses."""
