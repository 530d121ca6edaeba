"""What the agent thought, would hear and could say: insights, recommendations, simulation, starters."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import Field

from gateway.sandbox import queries, roles
from gateway.sandbox.agent import Transition, overridden
from gateway.sandbox.bodies import Body, Filled, ObjectId, read_body, read_optional_body
from gateway.sandbox.conversations import Conversation, Interaction
from gateway.sandbox.errors import Refusal, invalid
from gateway.sandbox.options import Revision
from gateway.sandbox.state import ENTRY, IDENTITY, SANDBOX
from gateway.sandbox.talk import answered

_RULE = "36"


class _Context(Body):
    context: Filled = "A caller who wants to be done soon."


class _Starters(Body):
    service_id: ObjectId
    service_version_set_name: str = "release"
    facets: list[Filled] = Field(min_length=1)
    min_count: int = Field(ge=1, le=10)
    max_count: int = Field(ge=1, le=10)
    generation_instructions: Filled


class _Overrides(Body):
    agent_version_override: dict[str, Any] | None = None
    state_machine_version_override: dict[str, Any] | None = None


async def insights(request: web.Request) -> web.Response:
    """GET …/interaction/{iid}/insights: state, transitions, memory and thoughts of one interaction."""
    sandbox, who = request.app[SANDBOX], request[IDENTITY]
    who.need(roles.INSIGHTS, roles.STATE_MACHINE)
    conversation, interaction = _place(request)
    after = interaction.after
    here = sandbox.agent.describe(after)
    revision = sandbox.options.revision
    answer: dict[str, Any] = {
        "current_state_name": here.name,
        "current_state_action": here.action,
        "current_state_objective": here.objective,
        "state_transition_logs": [
            _logged(step, conversation, revision) for step in interaction.transitions
        ],
        "working_memory": [
            {"content": item.content, "context": item.context}
            for item in sandbox.agent.memory(after)
        ],
        "reflections": list(interaction.reflections) if who.may(roles.GET_MESSAGE) else [],
        "triggered_dynamic_behavior_set_version_info": None,
    }
    if revision == "2026-04":
        answer |= {"select_next_action_tool_call_logs": [], "engage_user_tool_call_logs": []}
    return web.json_response(answer)


async def recommend(request: web.Request) -> web.Response:
    """GET (2025-06) or POST (2026-04) …/recommend_responses: for the latest interaction only."""
    sandbox, who = request.app[SANDBOX], request[IDENTITY]
    who.need(roles.RECOMMEND)
    if sandbox.options.revision == "2026-04":
        await read_optional_body(request, _Context, rule=_RULE)
    conversation, interaction = _place(request)
    if conversation.finished:
        raise Refusal(400, "the conversation is finished", rule=_RULE)
    if interaction.id != conversation.interactions[-1].id:
        raise Refusal(400, "not the latest interaction", rule=_RULE)
    answers = list(sandbox.agent.recommend(interaction.after))
    return web.json_response({"recommended_responses": answers})


async def simulate(request: web.Request) -> web.Response:
    """POST …/interaction/{iid}/simulate (2025-06): run it again, perhaps otherwise; nothing is kept."""
    sandbox, who = request.app[SANDBOX], request[IDENTITY]
    who.need(roles.INTERACT)
    wanted = await read_body(request, _Overrides, rule="37")
    _, interaction = _place(request)
    try:
        agent = overridden(
            sandbox.agent, wanted.agent_version_override, wanted.state_machine_version_override
        )
    except ValueError as problem:
        raise invalid("body", "override", str(problem), rule="37") from None
    before = interaction.before or agent.greet().state
    kind = interaction.kind
    if kind == "greeting" and interaction.heard:
        kind = "user-message"
    outcome = answered(agent, before, kind, interaction.heard)
    reply = outcome.reply
    return web.json_response({"agent_message": reply.text, "conversation_ended": reply.ends})


async def starters(request: web.Request) -> web.Response:
    """POST …/conversation/conversation_starter: sentences a conversation could begin with."""
    sandbox, who = request.app[SANDBOX], request[IDENTITY]
    who.need(roles.CREATE)
    wanted = await read_body(request, _Starters, rule="starters")
    service = sandbox.options.service(wanted.service_id)
    if service is None or wanted.service_version_set_name not in service.version_sets:
        raise Refusal(404, "service or version set not found", rule="starters")
    least, most = sorted((wanted.min_count, wanted.max_count))
    made = sandbox.agent.starters(wanted.facets, least, most, wanted.generation_instructions)
    prompts = [{"prompt": one.prompt, "facets": list(one.facets)} for one in made]
    return web.json_response({"prompts": prompts})


def _place(request: web.Request) -> tuple[Conversation, Interaction]:
    conversation_id = queries.path_id(request, "conversation_id", rule=_RULE)
    interaction_id = queries.path_id(request, "interaction_id", rule=_RULE)
    request[ENTRY].conversation_id = conversation_id
    house = request.app[SANDBOX].conversations
    conversation = house.find(request[IDENTITY], conversation_id, rule=_RULE)
    return conversation, conversation.interaction(interaction_id)


def _logged(step: Transition, conversation: Conversation, revision: Revision) -> dict[str, Any]:
    machine = [conversation.service_id, 1]
    logged: dict[str, Any] = {
        "previous_state": step.previous,
        "previous_service_hierarchical_state_machine_version_info": machine,
        "next_state": step.next,
        "next_service_hierarchical_state_machine_version_info": machine,
        "type": step.kind,
    }
    if step.kind == "action":
        logged["previous_state_exit_condition_description"] = step.reason
        if revision == "2026-04":
            logged["tool_call_logs"] = []
    return logged
