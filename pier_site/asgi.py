"""The site as an ASGI application. What runs is followed over HTTP, as a stream of events (viewer.live)."""

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pier_site.settings")

# Whitenoise hands static files over as plain iterators: they are small, and collecting them is what we want.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

application = get_asgi_application()
