"""The verbs of the command line, a module for each group, loaded when called for."""
