"""What LiteLLM and mini-swe-agent know of model providers, by the prefix of a model's name."""

from collections.abc import Mapping
from typing import Final

from runs.agents.providers import Provider

PROVIDERS: Final[Mapping[str, Provider]] = {
    "anthropic": Provider(
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        ("api.anthropic.com",),
        ("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"),
    ),
    "azure": Provider(("AZURE_API_KEY",), (), ("AZURE_API_BASE",), ("AZURE_API_VERSION",)),
    "bedrock": Provider(
        ("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("bedrock-runtime.{AWS_REGION_NAME}.amazonaws.com", "bedrock-runtime.{AWS_REGION}.amazonaws.com"),
        (),
        ("AWS_SESSION_TOKEN", "AWS_REGION_NAME", "AWS_REGION"),
    ),
    "cerebras": Provider(("CEREBRAS_API_KEY",), ("api.cerebras.ai",), ("CEREBRAS_API_BASE",)),
    "deepseek": Provider(("DEEPSEEK_API_KEY",), ("api.deepseek.com",), ("DEEPSEEK_API_BASE",)),
    "fireworks_ai": Provider(("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY"), ("api.fireworks.ai",)),
    "gemini": Provider(
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"), ("generativelanguage.googleapis.com",), ("GEMINI_API_BASE",)
    ),
    "groq": Provider(("GROQ_API_KEY",), ("api.groq.com",), ("GROQ_API_BASE",)),
    "hosted_vllm": Provider((), (), ("HOSTED_VLLM_API_BASE",), ("HOSTED_VLLM_API_KEY",)),
    "mistral": Provider(("MISTRAL_API_KEY",), ("api.mistral.ai",), ("MISTRAL_API_BASE",)),
    "moonshot": Provider(("MOONSHOT_API_KEY",), ("api.moonshot.ai",), ("MOONSHOT_API_BASE",)),
    "openai": Provider(("OPENAI_API_KEY",), ("api.openai.com",), ("OPENAI_API_BASE", "OPENAI_BASE_URL")),
    "openrouter": Provider(("OPENROUTER_API_KEY",), ("openrouter.ai",), ("OPENROUTER_API_BASE",)),
    "together_ai": Provider(("TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"), ("api.together.xyz",)),
    "vertex_ai": Provider(
        ("VERTEXAI_CREDENTIALS", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("aiplatform.googleapis.com", "{VERTEXAI_LOCATION}-aiplatform.googleapis.com", "oauth2.googleapis.com"),
        ("VERTEXAI_API_BASE",),
        ("VERTEXAI_PROJECT", "VERTEXAI_LOCATION"),
    ),
    "xai": Provider(("XAI_API_KEY",), ("api.x.ai",), ("XAI_API_BASE",)),
    "zai": Provider(("ZAI_API_KEY",), ("api.z.ai",), ("ZAI_API_BASE",)),
}
# Without a prefix LiteLLM goes by the model's name.
BARE_NAMES: Final = (("claude", "anthropic"), ("gpt", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"))

# These adapters of mini-swe-agent have an address of their own and read no variable for another.
OPENROUTER_CLASSES: Final = frozenset({"openrouter", "openrouter_textbased", "openrouter_response"})


def provider_name(model_name: str) -> str:
    """The provider that LiteLLM takes a model for, or an empty text."""
    prefix, slash, _ = model_name.partition("/")
    if slash:
        return prefix
    return next((provider for start, provider in BARE_NAMES if model_name.startswith(start)), "")
