"""Sound as values: telephone codecs, WAV and MP3, sample rates, who speaks and when they stopped.

No I/O, no event loop, nothing of `gateway`. Import from the modules: the speech engines and the MP3
decoder are heavy, and not everybody needs them.
"""
