"""The `ov2` subcommands, a module each; `ov2lib.cli` lists them."""
