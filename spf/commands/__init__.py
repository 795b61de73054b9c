"""The command `spf`: a function a command, in a module of its name; `spf.cli` lists them."""
