"""Settings of the site, from the environment; docs/reference/settings.md lists every variable."""

import os
import sys
from pathlib import Path
from typing import Any

import dj_database_url
from django.utils.csp import CSP

from pier_site.secret_key import secret_key

BASE_DIR = Path(__file__).resolve().parent.parent

# Where the site keeps its database and its secret key. Job directories may lie anywhere.
DATA_DIR = Path(os.environ.get("PIER_DATA_DIR", BASE_DIR / "var")).expanduser().resolve()

# What can be made again: programs that agents need, their installations for the host sandbox, locks of builds.
CACHE_DIR = DATA_DIR / "cache"

# Where agents come from; empty means what npm and pip of this machine use, else the public registries.
PIER_NPM_REGISTRY = os.environ.get("PIER_NPM_REGISTRY", "")
PIER_PYPI_INDEX = os.environ.get("PIER_PYPI_INDEX", "")
# A PEM file with the certificate authorities that sandboxes are to trust besides the public ones.
PIER_EXTRA_CA_BUNDLE = os.environ.get("PIER_EXTRA_CA_BUNDLE", "")

DEBUG = os.environ.get("PIER_DEBUG", "") == "1"
SECRET_KEY = os.environ.get("PIER_SECRET_KEY") or secret_key(DATA_DIR / "secret-key")
ALLOWED_HOSTS = os.environ.get("PIER_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [origin for origin in os.environ.get("PIER_TRUSTED_ORIGINS", "").split(",") if origin]

INSTALLED_APPS = [
    # Importing daphne costs a third of a second, and only `runserver` uses it.
    *(["daphne"] if "runserver" in sys.argv[1:2] else []),
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "pier_site",
    "pier_site.accounts",
    "runs",
    "viewer",
    "critique",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "pier_site.accounts.auth.FragmentAwareLoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "pier_site.urls"
ASGI_APPLICATION = "pier_site.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.csp",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# IMMEDIATE is not optional: a read-then-write transaction that must upgrade its lock fails at once, at any timeout.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-20000; "
        "PRAGMA mmap_size=134217728; PRAGMA journal_size_limit=27103364;"
    ),
}


def database_settings() -> Any:
    """SQLite in DATA_DIR, or what DATABASE_URL names."""
    url = os.environ.get("DATABASE_URL")
    if url:
        database = dict(dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True))
    else:
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA_DIR / "pier.sqlite3"}
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["OPTIONS"] = SQLITE_OPTIONS
        # Tests use a file too: threads that share a database in memory lock each other out.
        database["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}
    return database


DATABASES: dict[str, Any] = {"default": database_settings()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "jobs"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # whitenoise warns about a directory that isn't there
# Files are served from where they lie: nothing has to be collected before a start.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# Pages show text written by hostile agents: nothing may run or load that the site did not serve itself.
SECURE_CSP: dict[str, Any] = {
    "default-src": [CSP.NONE],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF],
    "font-src": [CSP.SELF],
    "connect-src": [CSP.SELF],
    "form-action": [CSP.SELF],
    "base-uri": [CSP.NONE],
    "frame-ancestors": [CSP.NONE],
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
if os.environ.get("PIER_HTTPS", "") == "1":
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
