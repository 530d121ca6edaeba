"""What a call is: a pure state machine. Events and time in, commands out."""
