"""Telephone lines made to measure: recorded voices, noises and echoes put together so that the truth is known."""
