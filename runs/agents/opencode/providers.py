"""What OpenCode knows of model providers: their variables and hosts, and the packages that it has built in."""

from collections.abc import Mapping
from typing import Final

from runs.agents.providers import Provider

PROVIDERS: Final[Mapping[str, Provider]] = {
    "amazon-bedrock": Provider(
        (
            "AWS_BEARER_TOKEN_BEDROCK",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
        ),
        ("bedrock-runtime.{AWS_REGION:us-east-1}.amazonaws.com",),
        settings=("AWS_SESSION_TOKEN", "AWS_REGION"),
    ),
    "anthropic": Provider(("ANTHROPIC_API_KEY",), ("api.anthropic.com",), ("ANTHROPIC_BASE_URL",)),
    "azure": Provider(
        ("AZURE_API_KEY",), ("{AZURE_RESOURCE_NAME}.openai.azure.com",), settings=("AZURE_RESOURCE_NAME",)
    ),
    "cerebras": Provider(("CEREBRAS_API_KEY",), ("api.cerebras.ai",)),
    "deepseek": Provider(("DEEPSEEK_API_KEY",), ("api.deepseek.com",)),
    "github-copilot": Provider(("GITHUB_TOKEN",), ("api.githubcopilot.com",)),
    "google": Provider(
        ("GOOGLE_GENERATIVE_AI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"), ("generativelanguage.googleapis.com",)
    ),
    "groq": Provider(("GROQ_API_KEY",), ("api.groq.com",)),
    "huggingface": Provider(("HF_TOKEN",), ("router.huggingface.co",)),
    "llama": Provider(("LLAMA_API_KEY",), ("api.llama.com",)),
    "mistral": Provider(("MISTRAL_API_KEY",), ("api.mistral.ai",)),
    "moonshotai": Provider(("MOONSHOT_API_KEY",), ("api.moonshot.ai",)),
    "openai": Provider(("OPENAI_API_KEY",), ("api.openai.com",), ("OPENAI_BASE_URL",)),
    "opencode": Provider(("OPENCODE_API_KEY",), ("opencode.ai",)),
    "openrouter": Provider(("OPENROUTER_API_KEY",), ("openrouter.ai",)),
    "xai": Provider(("XAI_API_KEY",), ("api.x.ai",)),
    "zai": Provider(("ZHIPU_API_KEY",), ("api.z.ai",)),
}
# Packages that `npm` of a provider may name without anything being fetched.
BUILT_IN: Final = frozenset(
    {
        "@ai-sdk/alibaba",
        "@ai-sdk/amazon-bedrock",
        "@ai-sdk/amazon-bedrock/mantle",
        "@ai-sdk/anthropic",
        "@ai-sdk/azure",
        "@ai-sdk/cerebras",
        "@ai-sdk/cohere",
        "@ai-sdk/deepinfra",
        "@ai-sdk/gateway",
        "@ai-sdk/github-copilot",
        "@ai-sdk/google",
        "@ai-sdk/google-vertex",
        "@ai-sdk/google-vertex/anthropic",
        "@ai-sdk/groq",
        "@ai-sdk/mistral",
        "@ai-sdk/openai",
        "@ai-sdk/openai-compatible",
        "@ai-sdk/perplexity",
        "@ai-sdk/togetherai",
        "@ai-sdk/vercel",
        "@ai-sdk/xai",
        "@openrouter/ai-sdk-provider",
        "gitlab-ai-provider",
        "venice-ai-sdk-provider",
    }
)
