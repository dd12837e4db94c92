"""The site as an ASGI application. Pages ask again while something runs, so HTTP is all there is."""

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pier_site.settings")

# Whitenoise hands static files over as plain iterators: they are small, and collecting them is what we want.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

application = get_asgi_application()
