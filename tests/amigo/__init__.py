"""Tests of the conversation API's client."""
