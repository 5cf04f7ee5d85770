"""The command line: one file a subcommand, in flow order."""
