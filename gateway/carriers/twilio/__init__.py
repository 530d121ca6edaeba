"""Twilio: Media Streams, TwiML, request signatures and the calls of its REST interface.

The modules are imported one by one where they are needed: `signature` and `markup` bring parts of
the twilio package with them, `wire` and `rest` do not.
"""
