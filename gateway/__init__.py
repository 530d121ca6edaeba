"""Telephone calls to agents in the Amigo conversation API."""
