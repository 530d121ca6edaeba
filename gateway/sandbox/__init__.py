"""A faithful Amigo conversation API on loopback, written from the public protocol facts alone.

It imports nothing it stands in for. `options` says what it can be told, `server.make_app` builds it,
`engines` gives its agent ears and a voice.
"""
