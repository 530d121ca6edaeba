"""One file per command; a command may combine client, speech, sandbox and simulator."""
