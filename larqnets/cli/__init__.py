"""The command line: a verb parses its arguments, makes one library call and prints."""
