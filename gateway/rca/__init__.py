"""Why a call went as it did: rules over its record, and what the conversation API says of it."""

from gateway.rca.inquiry import Inquiry, inquire
from gateway.rca.rules import RULES, Finding, explain

__all__ = ["RULES", "Finding", "Inquiry", "explain", "inquire"]
