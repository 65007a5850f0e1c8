"""The command line: each module parses its options, calls one public function and prints."""
