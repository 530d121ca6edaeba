"""The names and defaults operators rely on (interface.md section 2), written down once more."""

from __future__ import annotations

import pytest

from gateway.settings import OPTIONS

PROMISED = {
    "AMIGO_BASE_URL": "https://api.amigo.ai",
    "AMIGO_ORGANIZATION_ID": "",
    "AMIGO_API_KEY": "",
    "AMIGO_API_KEY_ID": "",
    "AMIGO_USER_ID": "",
    "AMIGO_USER_POOL": (),
    "AMIGO_ADMIN_USER_ID": "",
    "AMIGO_NEW_USER_ROLE": "DefaultUserRole",
    "AMIGO_SERVICE_ID": "",
    "AMIGO_VERSION_SET": "release",
    "AMIGO_API_REVISION": "auto",
    "AMIGO_AUDIO_FORMAT": "auto",
    "AMIGO_AUDIO_RATE": 16000,
    "AMIGO_EXTRA_QUERY": (),
    "AMIGO_CLUSTER_NAME": None,
    "AMIGO_FINISH_FOREIGN": False,
    "TWILIO_ACCOUNT_SID": "",
    "TWILIO_AUTH_TOKEN": (),
    "TWILIO_SIGNATURE_KEYS": (),
    "GATEWAY_PUBLIC_URL": "",
    "GATEWAY_HOST": "0.0.0.0",
    "GATEWAY_PORT": 8080,
    "GATEWAY_STORE_URL": "sqlite:///voice-gateway.db",
    "GATEWAY_ADMIN_TOKEN": None,
    "GATEWAY_MAX_CALLS": 200,
    "GATEWAY_MAX_CALL_SECONDS": 3600,
    "GATEWAY_DRAIN_SECONDS": 600,
    "GATEWAY_IDENTITY": "fixed",
    "GATEWAY_IDENTITY_SECRET": None,
    "GATEWAY_ROUTES": None,
    "GATEWAY_RECONNECT_SECONDS": 10,
    "GATEWAY_RECORDINGS_DIR": None,
    "GATEWAY_INSECURE": False,
    "LOG_LEVEL": "info",
    "LOG_FORMAT": None,
    "GATEWAY_TURN_TAKING__VAD": "auto",
    "GATEWAY_TURN_TAKING__PRE_ROLL_MS": 400,
    "GATEWAY_TURN_TAKING__UPLOAD_AFTER_MS": 240,
    "GATEWAY_TURN_TAKING__MERGE_MS": 0,
    "GATEWAY_TURN_TAKING__MAX_UTTERANCE_MS": 30000,
    "GATEWAY_BARGE_IN__ENABLED": True,
    "GATEWAY_BARGE_IN__CONFIRM_MS": 450,
    "GATEWAY_BARGE_IN__LOOKAHEAD_MS": 400,
    "GATEWAY_BARGE_IN__DRAIN_MS": 8000,
    "GATEWAY_SILENCE__PROMPT_AFTER_MS": 10000,
    "GATEWAY_SILENCE__PROMPTS": 2,
    "GATEWAY_SILENCE__HANG_UP_AFTER_MS": 10000,
    "GATEWAY_SILENCE__FILLER_AFTER_MS": None,
    "GATEWAY_SILENCE__MAX_DEAD_AIR_MS": 2500,
}


@pytest.mark.parametrize("variable", PROMISED)
def test_a_promised_setting_has_its_name_and_default(variable: str) -> None:
    (option,) = [option for option in OPTIONS if option.variable == variable]

    assert option.default == PROMISED[variable]


def test_secrets_are_those_that_sign_in_or_open_doors() -> None:
    assert {option.variable for option in OPTIONS if option.secret} == {
        "AMIGO_API_KEY",
        "TWILIO_AUTH_TOKEN",
        "TWILIO_SIGNATURE_KEYS",
        "GATEWAY_ADMIN_TOKEN",
        "GATEWAY_IDENTITY_SECRET",
    }
